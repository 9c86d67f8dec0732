"""Facts about an exported adapter that pages, commands and cards state: its base, its rows and its held-out loss."""

from core.models import embedded
from core.runs.names import file_stem
from core.runs.progress import RunProgress, progress
from core.runs.store import Run
from core.settings import slug
from core.system.counting import counted


def base_name(run: Run) -> str:
    """Return the name under which another machine finds a run's base model."""
    model = run.config().model
    return embedded.HUB_ID if model == embedded.NAME else model


def base_note(run: Run) -> str:
    """Return why the base model answers differently elsewhere than it does here, as a sentence."""
    config = run.config()
    precision = "unquantized" if config.quantization == "none" else f"in {config.quantization}"
    note = f"During the training, the base model was loaded {precision}."
    if config.model == embedded.NAME:
        note += (
            " Its weights here are 16-bit safetensors that were dequantized from a 4-bit GGUF file (Q4_1), so they "
            "differ from those of the Hub."
        )
    return f"{note} With other weights or another precision the answers may differ; that is not measured."


def last_step(adapter: str) -> int | None:
    """Return the step of a checkpoint's adapter; None for the final one."""
    return None if adapter == "final" else int(adapter.removeprefix("step "))


def reached(run: Run, adapter: str) -> RunProgress:
    """Return the progress of a run at an adapter: of a checkpoint, what was known at its step."""
    events, last = run.events(), last_step(adapter)
    return progress(events if last is None else [e for e in events if getattr(e, "step", 0) <= last])


def describe_result(run: Run, adapter: str) -> str:
    """Return the held-out loss before and after the training, as an item of a list."""
    found = reached(run, adapter)
    base, tuned = found.base_loss, found.held_out_loss
    if not isinstance(base, float) or not isinstance(tuned, float):
        return "Result: no held-out loss was computed"
    share = f"; held-out accuracy {found.accuracy:.1%}" if isinstance(found.accuracy, float) else ""
    return f"Result: held-out loss {tuned:.3f}, {base:.3f} before the training (step {found.step:,}){share}"


def describe_rows(run: Run) -> str:
    """Return which rows a run was trained on, as a part of a list."""
    subset = run.subset()
    if subset is None:
        return "unknown"
    return f"{counted(subset.rows, 'row')} of the subset {subset.name} ({subset.source.describe()})"


def folder_name(run: Run, adapter: str) -> str:
    """Return the name of an adapter's exported files, without their suffix."""
    return f"{file_stem(run.title, run.id)}-{slug(adapter)}"


def zip_folder(run: Run, adapter: str) -> str:
    """Return the name of the folder in an adapter's zip."""
    return f"{folder_name(run, adapter)}-adapter"
