"""The GPU arbiter: chat, run and evaluation share one GPU only if all fit."""

import os

import pytest
from transformers import LlamaConfig

from core.chat import arbiter
from core.chat.requests import base_identity
from core.errors import StudioError
from core.evaluate import process
from core.evaluate.classification.predict import predict
from core.evaluate.config import EvaluationConfig
from core.evaluate.prompts import Prompt
from core.evaluate.store import EvaluationStore
from core.hardware import gpu
from core.runs.config import QLoRAConfig

GIB = 2**30


@pytest.fixture
def seven(runs):
    """A model folder of Llama-2-7B's shape, without weights."""
    LlamaConfig(vocab_size=32000).save_pretrained(runs.settings.models_dir / "seven")
    return QLoRAConfig(model="seven", batch_size=4, max_length=512)


@pytest.fixture
def card(monkeypatch):
    """Pretend that there is a GPU with given total and free GiB."""

    def make(total: float, free: float | None = None):
        monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(int((free or total) * GIB), int(total * GIB)))

    return make


@pytest.fixture
def running(a_run, seven):
    """Make an active run of the 7B shape whose worker is this process."""

    def make(status="running"):
        run = a_run(config=seven, status=status, ended=None)
        run.save_state(run.saved_state().with_process(os.getpid()))
        return run

    return make


def test_arbiter_chat_beside_run_loads_only_if_both_fit(runs, seven, running, card):
    card(10)
    # Without a run the check passes.
    arbiter.check_fits_beside_run(runs, seven)
    run = running()
    with pytest.raises(StudioError, match=f"The run {run.title} trains on this GPU and has priority: .* of its 10 GiB"):
        arbiter.check_fits_beside_run(runs, seven)
    # Memory that the run holds already is not counted twice.
    card(80, free=10)
    arbiter.check_fits_beside_run(runs, seven)


def test_arbiter_chat_beside_run_of_unknown_need_is_refused(runs, seven, running, card):
    running()
    (runs.settings.models_dir / "seven" / "config.json").write_text('{"model_type": "bloom"}')
    card(80)
    with pytest.raises(StudioError, match="an unknown share of its 80 GiB"):
        arbiter.check_fits_beside_run(runs, seven)


def test_arbiter_beside_run_names_who_asks_and_what_the_run_takes(runs, seven, running, a_run, card):
    trained = a_run(config=seven)
    card(10)
    running()
    both = r"the {}'s model would take about \d\.\d GiB of its 10 GiB, and the run takes about \d+\.\d GiB\. {} when"
    with pytest.raises(StudioError, match=both.format("chat", "Ask again")):
        arbiter.check_fits_beside_run(runs, seven)
    store = EvaluationStore(runs.settings)
    with pytest.raises(StudioError, match=both.format("evaluation", "Start or resume the evaluation")):
        process.submit(store, EvaluationConfig(subset="keeper", run=trained.id, prompts="held-out"))
    assert store.all() == []


def test_arbiter_without_gpu_run_needs_no_chat_memory(runs, seven, running, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: None)
    running()
    arbiter.check_fits_beside_run(runs, seven)
    assert not arbiter.run_lacks_memory(runs.settings, seven)


@pytest.fixture
def answering(runs):
    """Make an active evaluation whose worker is this process."""
    evaluation = EvaluationStore(runs.settings).create(EvaluationConfig(subset="keeper", limit=1))

    def make(status="running"):
        state = evaluation.saved_state().model_copy(update={"status": status})
        evaluation.save_state(state.with_process(os.getpid()))
        return evaluation

    return make


def test_arbiter_chat_beside_evaluation_loads_only_if_both_fit(runs, seven, answering, card):
    card(80)
    # There is no evaluation yet.
    assert not arbiter.check_fits_beside_evaluation(runs.settings, seven)
    evaluation = answering()
    assert arbiter.check_fits_beside_evaluation(runs.settings, seven)
    card(80, free=10)
    with pytest.raises(StudioError, match=f"{evaluation.id} uses this GPU.* leaves 5.0 of its 80 GiB; .* pause"):
        arbiter.check_fits_beside_evaluation(runs.settings, seven)
    card(80)
    answering("preparing")
    with pytest.raises(StudioError, match="is loading its model"):
        arbiter.check_fits_beside_evaluation(runs.settings, seven)
    answering("paused")
    assert not arbiter.check_fits_beside_evaluation(runs.settings, seven)


def test_arbiter_evaluation_beside_chat_that_does_not_fit_leaves_no_folder(runs, seven, a_run, card):
    store, run = EvaluationStore(runs.settings), a_run(config=seven)
    card(80, free=3)
    with pytest.raises(StudioError, match=r"3\.0 of this GPU's 80 GiB are free.* unload it in the Chat tab"):
        process.submit(store, EvaluationConfig(subset="keeper", run=run.id, prompts="held-out"))
    assert store.all() == []
    card(80)
    arbiter.check_fits_free_memory(runs.settings, base_identity(runs, run).config)


def test_arbiter_without_gpu_every_check_passes(runs, seven, answering, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: None)
    answering()
    assert not arbiter.check_fits_beside_evaluation(runs.settings, seven)
    arbiter.check_fits_free_memory(runs.settings, seven)


def test_arbiter_classifier_of_an_evaluation_leaves_the_run_its_memory(runs, running, a_run, card):
    run = a_run(config=QLoRAConfig(model="seven", task="classify"))
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").touch()
    card(10)
    running()
    with pytest.raises(StudioError, match="the evaluation's model would take"):
        predict(runs, run.id, [Prompt([{"role": "user", "content": "?"}])])
