"""Search for an adapter of a run by its name."""

from pathlib import Path

from core.errors import StudioError
from core.runs.store import Run


def adapter_folder(run: Run, name: str) -> Path:
    """Return the folder of an adapter.

    Args:
        run: The run.
        name: "final", or "step N" for a checkpoint.

    Raises:
        StudioError: The run has no such adapter.
    """
    adapters = run.adapters()
    if name not in adapters:
        known = ", ".join(adapters) or "none yet"
        raise StudioError(f"The run {run.title} has no adapter {name!r}. It has: {known}.")
    return adapters[name]
