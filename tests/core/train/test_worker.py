"""The worker: a short run of the embedded model from start to adapter, its settings, and what it refuses.

Workers that are stopped or killed: tests/core/runs/test_faults.py.
"""

import os

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig

from core.data import subset
from core.data.recipe import Recipe
from core.data.tokens import CHATML_TEMPLATE
from core.errors import StudioError
from core.hardware import gpu
from core.hub.download import DownloadCancelled
from core.models import catalogue
from core.models.loading import Precision, load_base
from core.runs import process
from core.runs import receipt as receipts
from core.runs.config import QLoRAConfig
from core.runs.events import EventWriter
from core.runs.store import Run, RunStore
from core.train import preparation, worker
from core.train.preparation import configure_tracker, prepare, wait_for_gpu_memory
from core.train.trl_config import make_sft_config
from tests.helpers.datasets import copy_bundled
from tests.helpers.tiny_runs import wait_until_ended

pytestmark = pytest.mark.slow

SHORT = {"max_steps": 3, "batch_size": 2, "max_length": 128, "eval_rows": 2, "save_steps": 2, "learning_rate": 1e-3}
TINY = SHORT | {"model": "tiny", "quantization": "none", "compute_dtype": "float32"}


def steps(run):
    return [event for event in run.events() if event.event == "step"]


def test_run_finishes_with_adapter_that_peft_loads(store):
    """Of the embedded model: tests/test_image.py."""
    run = process.submit(store, QLoRAConfig(**SHORT, model="tiny", chat_template="chatml"))
    state = wait_until_ended(run, 300)
    assert (state.status, state.cause) == ("finished", ""), run.log_tail()
    kinds = [event.event for event in run.events()]
    assert kinds[-1] == "done"
    assert [event.step for event in steps(run)] == [1, 2, 3]
    evals = [event for event in run.events() if event.event == "eval"]
    assert [event.step for event in evals] == [0, 3]
    assert evals[0].rows == 2
    prepared = next(event for event in run.events() if event.event == "prepared")
    assert prepared.left_out == {}
    assert any("unpacked" in choice for choice in prepared.choices)
    assert any(choice.startswith("Deterministic is auto: on a CPU") for choice in prepared.choices)
    assert prepared.template == "ChatML"
    assert AutoTokenizer.from_pretrained(run.adapter).chat_template == CHATML_TEMPLATE
    assert list(run.adapters()) == ["final", "step 3", "step 2"]
    receipt = receipts.read(run)
    assert (receipt.adapter_step, len(receipt.links)) == (3, 3)
    assert "model.safetensors" in receipt.base_files

    from peft import PeftModel

    base = load_base(catalogue.find(store.settings, "tiny"), Precision("none", compute_dtype="float32"))
    tuned = PeftModel.from_pretrained(base.model, run.adapter)
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert tuned(ids).logits.isfinite().all()
        with tuned.disable_adapter():
            plain = tuned(ids).logits
        assert not torch.equal(tuned(ids).logits, plain)


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"lora_targets": "q_proj,nonsense"}, "'nonsense' matches no module of"),
        ({"max_length": 100_000}, r"more than the context of tiny \(2,048 tokens\)"),
        ({"max_length": 16}, "no token carries loss within 16 tokens"),
    ],
)
def test_prepare_rejects_settings_that_model_does_not_allow(store, over, words):
    """How a worker ends on one: tests/core/runs/test_faults.py."""
    run = store.create(QLoRAConfig(**TINY | over))
    with pytest.raises(StudioError, match=words):
        prepare(store.settings, run.config(), run, EventWriter(run.events_file))


def test_worker_applies_its_settings(store):
    """Look for max_length, answers_only, eval_steps, quantization and the subset in the events of a run."""
    bundled = subset.find(store.settings, "keeper").recipe.dataset
    subset.create(store.settings, "four", Recipe(dataset=bundled, rows=4, method="first"))
    over = {"subset": "four", "eval_rows": 1, "eval_steps": 1, "max_length": 100, "save_steps": 0, "max_steps": 0}
    run = process.submit(store, QLoRAConfig(**TINY | over, answers_only=False, epochs=1))
    assert wait_until_ended(run).status == "finished", run.log_tail()
    prepared = next(event for event in run.events() if event.event == "prepared")
    assert prepared.rows == 4
    assert prepared.truncated == 4
    assert prepared.answer_tokens == prepared.tokens - 4
    assert prepared.held_out_rows == 1
    assert not any("unpacked" in choice for choice in prepared.choices)
    assert [event.step for event in run.events() if event.event == "eval"] == [0, 1, 2]
    assert list(run.adapters()) == ["final", "step 2"], "save_steps 0: only the last"


def test_run_waits_until_chat_frees_gpu_memory(settings, monkeypatch, tmp_path):
    free = iter([3, 3, 70])
    seen = lambda: gpu.GPUMemory(next(free) * 2**30, 80 * 2**30)  # noqa: E731
    monkeypatch.setattr(gpu, "memory", seen)
    LlamaConfig(vocab_size=32000).save_pretrained(settings.models_dir / "seven")
    events = EventWriter(tmp_path / "events.jsonl")
    wait_for_gpu_memory(settings, QLoRAConfig(model="seven"), events)
    text = (tmp_path / "events.jsonl").read_text()
    assert text.count("Waiting for the GPU's memory") == 1
    assert next(free, None) is None
    monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(2**30, 2 * 2**30))
    # On a GPU that is too small even when empty, there is nothing to wait for.
    wait_for_gpu_memory(settings, QLoRAConfig(model="seven"), events)


def test_stop_during_a_download_ends_the_run_before_anything_is_loaded(studio, monkeypatch):
    copy_bundled(studio)
    run = RunStore(studio).create(QLoRAConfig(**SHORT))

    def download(model, report, is_cancelled):
        report("Downloading tiny, 1.0 GiB of 12.0 GiB")
        assert not is_cancelled()
        run.stop_request.parent.mkdir(exist_ok=True)
        run.stop_request.touch()
        assert is_cancelled()
        raise DownloadCancelled(model.name)

    monkeypatch.setattr(preparation, "fetch", download)
    assert worker._run_to_end(studio, run) == (
        "stopped", "Stopped on request, during the download of the model. Resume continues with the next file.",
    )  # fmt: skip
    assert [event.text for event in run.events()] == ["Downloading tiny, 1.0 GiB of 12.0 GiB"]


@pytest.mark.parametrize(("tracker", "variable", "words"), [
    ("tensorboard", "TENSORBOARD_LOGGING_DIR", "tensorboard --logdir runs/a-run/tensorboard"),
    ("wandb", "WANDB_PROJECT", "project qlora-studio, as a-run"),
    ("trackio", None, "trackio show --project qlora-studio"),
])  # fmt: skip
def test_configure_tracker_sets_variable_and_notes_location(tmp_path, monkeypatch, tracker, variable, words):
    for name in ("TENSORBOARD_LOGGING_DIR", "WANDB_PROJECT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    run = Run(tmp_path / "a-run")
    (text,) = configure_tracker(QLoRAConfig(report_to=tracker), run)
    assert words in text
    assert variable is None or os.environ[variable] in ("qlora-studio", str(run.folder / "tensorboard"))
    assert make_sft_config(QLoRAConfig(), str(run.checkpoints_dir), 1).run_name == "a-run"
    assert configure_tracker(QLoRAConfig(), run) == []
