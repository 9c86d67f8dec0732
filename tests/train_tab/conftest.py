"""A home with the bundled subset, a model that is only a folder, and runs that are only files."""

import pytest
from train_events import write

from core.data import subset
from core.models import embedded
from core.runs.config import QLoRAConfig
from core.runs.store import RunState, RunStore


@pytest.fixture
def runs(settings):
    subset.ensure_bundled(settings)
    # a config.json is all that makes a folder a local model; nothing is loaded here
    model = embedded.folder(settings)
    model.mkdir(parents=True)
    (model / "config.json").write_text('{"model_type": "llama", "max_position_embeddings": 8192}')
    return RunStore(settings)


@pytest.fixture
def a_run(runs):
    """Makes a run of some events in some state."""

    def make(said=(), config=None, **state):
        run = runs.create(config or QLoRAConfig())
        run.save_state(RunState(**({"status": "finished", "created": 1000.0, "ended": 1200.0} | state)))
        write(run, said)
        return run

    return make


@pytest.fixture
def toasts(monkeypatch):
    import gradio as gr

    said: list[str] = []
    for kind in ("Info", "Warning"):
        monkeypatch.setattr(gr, kind, lambda text, **_: said.append(text))
    return said
