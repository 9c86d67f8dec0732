"""Import of adapters that were made elsewhere, and their removal: the part of the Export tab and its handlers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import SecretStr, ValidationError

from components.model_form import build_field
from components.progress_bar import build_progress_bar
from core.chat.types import BaseIdentity
from core.errors import StudioError, sentences
from core.export.import_settings import ImportSettings
from core.export.tasks import import_adapter
from core.models import catalogue
from core.runs.imported import AdapterStore
from core.settings import Settings
from core.system import secret_masking
from core.system.jobs import Job, Jobs
from studio.handlers import info
from studio.hub_push import result_html
from studio.job_bars import JobBars
from studio.job_progress import follow
from studio.wiring import UNLIMITED, connect

KIND = "import-adapter"
_FORM = "import"
_NONE_IMPORTED = "None is imported yet. The list is of the adapters that were imported here."
_NAMES = ("source", "revision", "base", "quantization", "compute_dtype", "token")
_TITLES = {name: field.title or name for name, field in ImportSettings.model_fields.items()}


class ImportActions:
    """Event handlers of imports. They hold no widgets, so tests call them directly."""

    def __init__(self, settings: Settings, jobs: Jobs):
        self.settings, self.jobs, self.store = settings, jobs, AdapterStore(settings)

    def list_adapters(self) -> dict[str, Any]:
        """List the imported adapters, and the models that can be a base."""
        choices = [(f"{each.id} ({each.origin().kind})", each.id) for each in self.store.folders()]
        models = [(model.label, model.name) for model in catalogue.available(self.settings)]
        return {
            "imported": gr.update(choices=choices, value=None, info="" if choices else _NONE_IMPORTED),
            "base": gr.update(choices=models),
            "remove": gr.update(interactive=bool(choices)),
        }

    def add(self, upload: str | None, **values: Any) -> Iterator[dict[str, Any]]:
        """Import an adapter from an uploaded ZIP, or else from the Hub."""
        archive = Path(upload) if upload else None
        options = _read(archive, values)
        name = archive.name if archive else options.source
        job = self.jobs.start(f"{KIND}/{name}", f"Importing {name}", import_adapter, self.settings, options, archive)
        yield {"result": ""}
        yield from follow(job, self.show)

    def show(self, job: Job) -> dict[str, Any]:
        """Return the updates that show an imported adapter."""
        found = self.store.find(job.result)
        base = BaseIdentity.from_config(found.config()).label
        text = f"{found.id}: {found.origin().kind}, on {base}. Choose that base in Chat, or this model in Evaluate."
        return {"result": result_html(" ".join([text, *found.origin().notes])), **self.list_adapters()}

    def remove(self, name: str | None) -> dict[str, Any]:
        """Delete the chosen adapter."""
        if not name:
            raise StudioError("No adapter is chosen. Choose one of the list to remove it.")
        self.store.delete(name)
        info("It is no longer offered in Chat and Evaluate.", title=f"Removed {name}")
        return {"result": "", **self.list_adapters()}


def _read(archive: Path | None, values: dict[str, Any]) -> ImportSettings:
    """Return the form's values as settings.

    Raises:
        StudioError: A value is missing or cannot be used.
    """
    token = (values.pop("token", None) or "").strip()
    secret_masking.mask_value(token)
    source = archive.name if archive else (values.pop("source", None) or "").strip()
    if not source:
        raise StudioError("No adapter is named. Type the Hub id of an adapter, or choose a ZIP.")
    texts = {name: value or "" for name, value in values.items() if name in _NAMES and name != "source"}
    try:
        return ImportSettings(source=source, token=SecretStr(token) if token else None, **texts)
    except ValidationError as error:
        raise StudioError(sentences(error, lambda name: _TITLES.get(name, name))) from error


def build_export_import(settings: Settings, bars: JobBars, demo: gr.Blocks) -> None:
    """Build the part in the open layout, and connect it.

    Args:
        settings: The studio's settings.
        bars: Progress bars of all jobs.
        demo: The page, for its load event.
    """
    do = ImportActions(settings, bars.jobs)
    with gr.Accordion("Import an adapter", open=False, elem_id="import-box", elem_classes="qs-quiet") as box:
        with gr.Row(elem_classes="qs-even"):
            fields = {
                "source": build_field(_FORM, ImportSettings, "source", placeholder="owner/name", min_width=200),
                "revision": build_field(_FORM, ImportSettings, "revision", placeholder="main", min_width=140),
                "token": build_field(_FORM, ImportSettings, "token", type="password", min_width=200),
            }
        with gr.Row(elem_classes="qs-even"):
            fields["base"] = build_field(_FORM, ImportSettings, "base", choices=[], min_width=200)
            for name in ("quantization", "compute_dtype"):
                fields[name] = build_field(_FORM, ImportSettings, name, min_width=140)
        upload = gr.File(label="Or a ZIP of an adapter's folder", file_types=[".zip"], height=140, elem_id="import-zip")
        with gr.Row():
            start = gr.Button("Import", size="sm", variant="primary", scale=0, min_width=140, elem_id="import-start")
        bar = build_progress_bar("import-progress")
        result = gr.HTML(elem_id="import-result", padding=False)
        with gr.Row(equal_height=True):
            imported = gr.Dropdown(label="Imported adapters", elem_id="import-list", filterable=False, scale=3)
            remove = gr.Button("Remove", size="sm", variant="stop", scale=0, min_width=100, elem_id="import-remove")
    lists = {"imported": imported, "base": fields["base"], "remove": remove}
    connect(demo.load, do.list_adapters, outputs=lists, **UNLIMITED)
    # The next import removes what a cancelled one has left.
    job = bars.add(bar, KIND, shown={"result": result, **lists}, finish=do.show, box=box)
    given = {"upload": upload, **fields}
    connect(start.click, do.add, given, job.outputs, show_progress="hidden", api_name="import_adapter")
    connect(remove.click, do.remove, {"name": imported}, {"result": result, **lists}, api_name="remove_adapter")
