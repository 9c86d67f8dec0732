"""One app on a Space for all attacks, with a published run, one that is not, and data of the same two kinds."""

import json
import shutil

import pytest

from core.access import visibility
from core.data import sources, subset
from core.models import embedded
from core.runs.config import QLoRAConfig
from core.runs.store import RunState, RunStore
from core.settings import Settings
from tests.helpers.run_events import write
from tests.helpers.space_server import start_space

PLAIN = {"instruction": "a public question", "output": "a public answer"}
SECRET_ROW = {"instruction": "what the owner keeps", "output": "an answer nobody else may read"}
STEP = {"event": "step", "step": 1, "loss": 2.0, "tokens": 10, "seconds": 1.0}


def furnish(settings: Settings) -> None:
    """A home with one of everything that a visitor may see, and one that they may not."""
    subset.ensure_bundled(settings)
    runs = RunStore(settings)
    for name in ("shown", "hidden"):
        run = runs.create(QLoRAConfig())
        run.folder.rename(run.folder.with_name(f"{name}-run"))
        run = runs.run(f"{name}-run")
        run.save_state(RunState(status="finished", created=1000.0, ended=1200.0))
        run.log.write_text(f"the log of {name}")
        write(run, [STEP])
    for name, row in (("shown", PLAIN), ("hidden", SECRET_ROW)):
        path = settings.home / f"{name}.jsonl"
        path.write_text(json.dumps(row) + "\n")
        data = sources.open_file(settings, path)
        if name == "shown":
            visibility.publish(settings, "datasets", data.id, True)
    visibility.publish(settings, "runs", "shown-run", True)


@pytest.fixture(scope="module")
def on_space(tmp_path_factory):
    home = tmp_path_factory.mktemp("space") / "home"
    settings = Settings(home=home).prepare()
    (embedded.folder(settings)).mkdir(parents=True)
    (embedded.folder(settings) / "config.json").write_text('{"model_type": "llama"}')
    furnish(settings)
    shutil.rmtree(embedded.folder(settings))
    made = start_space(home)
    yield made
    made.end()
