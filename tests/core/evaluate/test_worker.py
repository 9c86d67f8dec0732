"""What the worker asks before it goes on; the worker as a process is tested with `process`."""

import os

import pytest
from transformers import LlamaConfig

from core.errors import StudioError
from core.evaluate import process
from core.evaluate.config import EvaluationConfig
from core.evaluate.store import EvaluationStore
from core.evaluate.worker import Worker
from core.hardware import gpu
from core.runs.config import QLoRAConfig

GIB = 2**30


@pytest.fixture
def seven(runs):
    """A run of Llama-2-7B's shape, without weights."""
    LlamaConfig(vocab_size=32000).save_pretrained(runs.settings.models_dir / "seven")
    return runs.create(QLoRAConfig(model="seven", batch_size=4, max_length=512))


def trains(run, status="running"):
    run.save_state(run.saved_state().model_copy(update={"status": status}).with_process(os.getpid()))


@pytest.fixture
def card(monkeypatch):
    def make(total, free=None):
        monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(int((free or total) * GIB), int(total * GIB)))

    return make


def test_none_starts_beside_a_run_that_needs_the_gpu(runs, seven, card):
    trains(seven)
    card(10)
    store = EvaluationStore(runs.settings)
    with pytest.raises(StudioError, match="trains on this GPU and comes first"):
        process.submit(store, EvaluationConfig(subset="keeper", model="seven"))
    assert store.all() == []


def test_it_makes_room_for_a_run_that_is_about_to_load(runs, seven, card):
    store = EvaluationStore(runs.settings)
    worker = Worker(store, store.create(EvaluationConfig(subset="keeper", model="seven", limit=1)))
    card(10, free=4)
    assert worker._goes_on()
    trains(seven, "preparing")
    worker._looked = 0.0
    assert not worker._goes_on()
    assert seven.id in worker._yielding
    worker = Worker(store, worker.evaluation)
    card(80)
    assert worker._goes_on(), "there is room for both"


def test_a_pause_begins_no_other_answer(runs):
    store = EvaluationStore(runs.settings)
    worker = Worker(store, store.create(EvaluationConfig(subset="keeper", limit=1)))
    assert worker._goes_on()
    worker.evaluation.request("pause").parent.mkdir()
    worker.evaluation.request("pause").touch()
    assert not worker._goes_on()
