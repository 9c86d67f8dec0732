"""One app on a Space for all attacks, with a published and an unpublished run and dataset."""

import json
import os
import shutil

import pytest

from core.access import visibility
from core.data import sources
from core.models import embedded
from core.runs.config import QLoRAConfig
from core.runs.store import RunState, RunStore
from core.settings import Settings
from studio.app import build
from tests.helpers.datasets import copy_bundled
from tests.helpers.fork_server import ForkServer
from tests.helpers.run_events import write
from tests.helpers.space_server import ENVIRONMENT, start_space

PLAIN = {"instruction": "a public question", "output": "a public answer"}
SECRET_ROW = {"instruction": "what the owner keeps", "output": "an answer nobody else may read"}
STEP = {"event": "step", "step": 1, "loss": 2.0, "tokens": 10, "seconds": 1.0}


def furnish(settings: Settings) -> None:
    """Create runs and datasets: one of each published, one of each hidden."""
    copy_bundled(settings)
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


@pytest.fixture(scope="session")
def functions(tmp_path_factory):
    """The event handlers of the page, with their marks for visitors."""
    return build(Settings(home=tmp_path_factory.mktemp("home")).prepare()).fns


@pytest.fixture(scope="session")
def space_fork_server():
    """A process that has imported the app on a Space: Gradio and the app read its variables at import."""
    made = ForkServer(("studio.serve",), os.environ | ENVIRONMENT)
    yield made
    made.close()


@pytest.fixture(scope="module")
def on_space(tmp_path_factory, space_fork_server):
    home = tmp_path_factory.mktemp("space") / "home"
    settings = Settings(home=home).prepare()
    (embedded.folder(settings)).mkdir(parents=True)
    (embedded.folder(settings) / "config.json").write_text('{"model_type": "llama"}')
    furnish(settings)
    shutil.rmtree(embedded.folder(settings))
    made = start_space(home, space_fork_server)
    yield made
    made.stop()
