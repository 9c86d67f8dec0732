"""Reasons why something of the Export tab cannot be done with a run, known before the work starts.

The page shows them beside the disabled button, and the jobs raise the same sentences. Whether a run can be verified is
in `core.runs.receipt`, which reads receipts.
"""

from core.data import subset as subsets
from core.errors import StudioError
from core.export.config import FORMS, ExportConfig
from core.models import catalogue
from core.models.gguf_families import check_type
from core.models.weight_headers import find_file
from core.runs.store import Run
from core.settings import Settings
from core.system.files import read_json


def form_problem(settings: Settings, run: Run, config: ExportConfig) -> str:
    """Return why a run cannot be exported in a form, as sentences with the next step; "" if nothing is known.

    Args:
        settings: The studio's settings.
        run: The run.
        config: The form and its settings.
    """
    used, of_run = FORMS[config.form].settings, run.config()
    if config.form == "adapter":
        return ""
    if of_run.classifies:
        return "A classifier has a head beside its adapter. Export it as an adapter for PEFT."
    if config.form == "combined" and not config.also:
        return "Combine with is empty. Name at least one further adapter, as RUN or RUN=WEIGHT."
    if of_run.quantization == "int8" and config.base == "as trained" and "base" in used:
        return (
            "The run loaded its base in int8, which also rounds the inputs of each product, so no merged weights "
            "give the same results. Set Base weights to original."
        )
    try:
        model = catalogue.locate(settings, of_run.model, of_run.revision)
        path = find_file(model, "config.json")
        if path and ("quantization" in used or config.form == "gguf-adapter"):
            check_type(str(read_json(path).get("model_type")))
    except (StudioError, OSError, ValueError) as error:
        return str(error)
    return ""


def publish_problem(settings: Settings, run: Run) -> str:
    """Return why the rows of a run cannot be searched before it is published, with the next step; "" if they can."""
    try:
        subsets.find(settings, run.config().subset)
    except StudioError as error:
        return f"The rows of this run cannot be read: {error}"
    return ""
