"""The example run: a small adapter that this studio trained on the bundled conversations, there from the first start.

core/runs/example/ holds its run folder as the worker left it, without what only a resume or another program needs:
the optimizer's state, copies of the tokenizer, and the files of transformers that are no safetensors.
`docs/make_example.py` trains it again and writes the folder.
"""

import shutil
import tempfile
import time
from pathlib import Path

from filelock import FileLock

from core.access.visibility import EXAMPLE_RUN
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


def is_example(run_id: str) -> bool:
    """Return whether a run is the example."""
    return run_id == EXAMPLE_RUN
