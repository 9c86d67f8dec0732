"""Notes on an export that was compared: with what, and which settings would come closer to the model as trained."""

from core.export.config import FORMS, ExportConfig
from core.export.result import Fidelity

# Share of the adapter's own effect from which rounding hides much of it.
_MUCH = 0.25


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


def weigh_rounding(found: Fidelity, base: Fidelity) -> str:
    """Return how much of what was trained a model in 4 bits keeps: rounding may change more than a small adapter does.

    Args:
        found: The comparison of the exported model with the one that was trained.
        base: The comparison of the base without the adapter.
    """
    text = (
        f"The base without the adapter has a mean KL divergence of {base.mean_kl:.2g} from the model as trained, and "
        f"this file of {found.mean_kl:.2g}."
    )
    if found.mean_kl < _MUCH * base.mean_kl:
        return text
    return f"{text} Rounding to 4 bits hides much of what was trained: export the adapter, or the form Merged model."
