"""Checks of the worker before new answers begin; the process as a whole is tested in test_process.py."""

import os
import shutil
from types import SimpleNamespace

import pytest
from transformers import LlamaConfig

from core.errors import StudioError
from core.evaluate import process, worker
from core.evaluate.config import EvaluationConfig
from core.evaluate.store import EvaluationStore
from core.evaluate.worker import Worker
from core.hardware import gpu
from core.hub.download import DownloadCancelled
from core.runs.config import QLoRAConfig

GIB = 2**30


@pytest.fixture
def llama_7b(runs):
    """A run with the shape of Llama-2-7B, without weights."""
    LlamaConfig(vocab_size=32000).save_pretrained(runs.settings.models_dir / "llama_7b")
    return runs.create(QLoRAConfig(model="llama_7b", batch_size=4, max_length=512))


def set_training(run, status="running"):
    run.save_state(run.saved_state().model_copy(update={"status": status}).with_process(os.getpid()))


@pytest.fixture
def card(monkeypatch):
    def make(total, free=None):
        monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(int((free or total) * GIB), int(total * GIB)))

    return make


def test_submit_beside_a_run_that_needs_the_gpu_raises(runs, llama_7b, card):
    set_training(llama_7b)
    card(10)
    store = EvaluationStore(runs.settings)
    with pytest.raises(StudioError, match="trains on this GPU and has priority"):
        process.submit(store, EvaluationConfig(subset="keeper", model="llama_7b"))
    assert store.all() == []


def test_may_continue_yields_to_a_run_that_is_about_to_load(runs, llama_7b, card):
    store = EvaluationStore(runs.settings)
    one = Worker(store, store.create(EvaluationConfig(subset="keeper", model="llama_7b", limit=1)))
    card(10, free=4)
    assert one._may_continue()
    set_training(llama_7b, "preparing")
    one._last_run_check = 0.0
    assert not one._may_continue()
    assert llama_7b.title in one._yield_reason
    one = Worker(store, one.evaluation)
    card(80)
    assert one._may_continue(), "both fit into the memory"


def test_may_continue_pause_requested_is_false(runs):
    store = EvaluationStore(runs.settings)
    one = Worker(store, store.create(EvaluationConfig(subset="keeper", limit=1)))
    assert one._may_continue()
    one.evaluation.request("pause").parent.mkdir()
    one.evaluation.request("pause").touch()
    assert not one._may_continue()


def test_answers_that_have_begun_are_reported_until_one_ends(runs, monkeypatch):
    store = EvaluationStore(runs.settings)
    one = Worker(store, store.create(EvaluationConfig(subset="keeper", limit=1)))
    monkeypatch.setattr(worker, "_REPORT_SECONDS", -1.0)
    generator = SimpleNamespace(begun=3, joined=64)
    assert not one._report_begun(generator, has_ended=False, lines=[])
    assert one.evaluation.saved_state().stage == "Reading the first prompts: 3 of 64"
    generator.begun = 64
    assert not one._report_begun(generator, has_ended=False, lines=[])
    assert one.evaluation.saved_state().stage == "Writing the first answers"
    assert one._report_begun(generator, has_ended=False, lines=[{"prompt": 0}])
    assert one.evaluation.saved_state().stage == ""
    assert one._report_begun(generator, has_ended=True, lines=[])
    assert one.evaluation.saved_state().stage == ""


@pytest.mark.parametrize(("request_name", "status"), [("stop", "stopped"), ("pause", "paused")])
def test_request_during_a_download_ends_the_evaluation(runs, monkeypatch, request_name, status):
    store, stages = EvaluationStore(runs.settings), []
    evaluation = store.create(EvaluationConfig(subset="keeper", limit=1))

    def download(model, report, is_cancelled):
        report("Downloading tiny, 1.0 GiB of 12.0 GiB")
        stages.append(evaluation.saved_state().stage)
        assert not is_cancelled()
        evaluation.request(request_name).parent.mkdir()
        evaluation.request(request_name).touch()
        assert is_cancelled()
        raise DownloadCancelled(model.name)

    monkeypatch.setattr(worker, "fetch", download)
    ended = worker._run(store, evaluation)
    assert ended[0] == status
    assert ended[1].endswith("on request, during the download of the model. Resume continues with the next file.")
    assert stages == ["Downloading tiny, 1.0 GiB of 12.0 GiB"]


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), "The memory ran out; what was written until then is kept."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "The memory ran out; "),
        (KeyError("lane"), "KeyError in the studio itself: 'lane'. See worker.log for details."),
    ],
)
def test_failure_has_its_cause_in_the_state(runs, monkeypatch, error, cause):
    store = EvaluationStore(runs.settings)
    evaluation = store.create(EvaluationConfig(subset="keeper", limit=1))

    def fail(self):
        raise error

    monkeypatch.setattr(worker.Worker, "work", fail)
    status, found = worker._run(store, evaluation)
    assert (status, found[: len(cause)]) == ("failed", cause)


def test_failure_after_a_run_was_deleted_names_the_run(runs, monkeypatch):
    store, run = EvaluationStore(runs.settings), runs.create(QLoRAConfig())
    evaluation = store.create(EvaluationConfig(subset="keeper", limit=1, lanes=["base", run.id]))

    def read(self):
        shutil.rmtree(run.folder)
        (run.folder / "adapter").read_text()

    monkeypatch.setattr(worker.Worker, "work", read)
    cause = f"The run {run.id} was deleted, so it cannot answer any more. Start an evaluation of other models."
    assert worker._run(store, evaluation) == ("failed", cause)
