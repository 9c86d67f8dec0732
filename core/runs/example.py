"""The example run: a small adapter that this studio trained on the bundled conversations, there from the first start.

core/runs/example/ holds its run folder as the worker left it, without what only a resume or another program needs:
the optimizer's state, copies of the tokenizer, and the files of transformers that are no safetensors.
`docs/make_example.py` trains it again and writes the folder.
"""

import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

from core.access.visibility import EXAMPLE_RUN
from core.runs.store import Run
from core.settings import Settings
from core.system.files import write_json

FOLDER = Path(__file__).parent / "example"


def install(settings: Settings) -> None:
    """Copy the example run into STUDIO_HOME, once: if the user deletes it, it does not come back.

    STUDIO_EXAMPLE=0 leaves it out, which is how it stays away from a Space without persistent storage.
    """
    # Written last, so that an installation that was interrupted is repeated.
    done = settings.home / "example.json"
    if not settings.example or done.exists():
        return
    with FileLock(f"{done}.lock"):
        target = settings.runs_dir / EXAMPLE_RUN
        if done.exists():
            return
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=settings.runs_dir, prefix=".example.") as scratch:
                # Renamed as a whole, so that no list ever shows half a run.
                shutil.copytree(FOLDER, Path(scratch) / "run")
                (Path(scratch) / "run").rename(target)
        write_json(done, {"run": EXAMPLE_RUN, "installed": time.time()})


def newest_result(runs: Iterable[Run]) -> Run | None:
    """Return the run that a page proposes: the newest with a result, and the example only if there is no other.

    A run that was stopped has a result, too: its adapter answers like that of a finished one. Without any result it is
    the newest run that has a checkpoint.

    Args:
        runs: Readable runs, newest first.
    """
    found = [run for run in runs if run.adapters()]
    results = [run for run in found if run.state().status in ("finished", "stopped")]
    return next(iter([*(run for run in results if not is_example(run.id)), *results, *found]), None)


def is_example(run_id: str) -> bool:
    """Return whether a run is the example."""
    return run_id == EXAMPLE_RUN
