"""Notes on an export that was compared: with what, and which settings would come closer to the model as trained."""

from core.export.config import FORMS, ExportConfig
from core.export.result import Fidelity


def advise(config: ExportConfig, found: Fidelity | None, is_one_type: bool) -> list[str]:
    """Return notes on a file; of several types, the table shows which is closer.

    Args:
        config: The form and its settings.
        found: The comparison; None if there was none.
        is_one_type: Whether the export is one file.
    """
    if found is None:
        return []
    if config.also:
        return ["Compared with this run's adapter alone, so the difference shows what the others change on its rows."]
    if found.grade == "same" or not is_one_type:
        return []
    if config.base == "original":
        return ["Base weights as trained would come closer."]
    if "quantization" in FORMS[config.form].settings and config.quantization[0] not in ("F16", "BF16"):
        return ["A GGUF type with more bits would come closer."]
    if config.form == "merged-4bit":
        return ["The form Merged model, which is not rounded to 4 bits once more, would come closer."]
    return []
