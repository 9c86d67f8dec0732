"""Preflight checks and the dry run from the Train tab."""

from types import SimpleNamespace

import psutil
import pytest
import torch
from transformers import LlamaConfig

from core.errors import StudioError
from core.hardware import gpu
from core.runs import fit
from core.runs.checks import Finding
from core.runs.config import QLoRAConfig
from core.runs.events import StageEvent
from core.runs.time_estimate import TimeEstimates
from core.system.jobs import Jobs
from core.train import dry_run, preparation
from studio.train.preflight import Preflight, findings_html
from tests.helpers.hostile_text import HOSTILE, ParsedHtml

GIB = 2**30


@pytest.fixture
def do(runs, toasts, frequent_updates):
    jobs = Jobs()
    LlamaConfig(vocab_size=32000).save_pretrained(runs.settings.models_dir / "seven")
    yield Preflight(runs, jobs, TimeEstimates(runs))
    jobs.close()


def test_check_run_that_does_not_fit_offers_a_change_that_fits(do, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(12 * GIB, 12 * GIB))
    values = QLoRAConfig(model="seven", batch_size=16, kernels="off", subset="nowhere").model_dump()
    *stages, shown = do.check(**values)
    assert "Checking" in stages[0]["stage"]
    assert "no subset 'nowhere'" in ParsedHtml(shown["findings"]).text
    assert "of GPU memory needed, 12.0 GiB free" in shown["memory"]
    assert "over" in shown["memory"]
    assert shown["make_fit"]["visible"]
    assert "Batch size" in shown["make_fit"]["value"]
    changes = do.make_fit(**values)
    assert changes["batch_size"] < 16
    assert changes["gradient_accumulation"] * changes["batch_size"] >= 16
    assert "lora_rank" not in changes
    changed = values | changes
    assert not list(do.check(**changed))[-1]["make_fit"]["visible"]
    with pytest.raises(StudioError, match="nothing to change"):
        do.make_fit(**changed)


def test_make_fit_with_fused_kernels_offloads_before_it_reduces_the_batch(do, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(12 * GIB, 12 * GIB))
    values = QLoRAConfig(model="seven", batch_size=16).model_dump()
    assert "offload" in list(do.check(**values))[-1]["make_fit"]["value"]
    changes = do.make_fit(**values)
    assert changes["gradient_checkpointing"] == "offload"
    assert "batch_size" not in changes


def test_check_several_gpus_shows_the_memory_of_each(do, monkeypatch):
    monkeypatch.setattr(gpu, "list_memory", lambda: [gpu.GPUMemory(12 * GIB, 12 * GIB)] * 2)
    memory = list(do.check(**QLoRAConfig(model="seven", gpus=2).model_dump()))[-1]["memory"]
    assert "of GPU memory on each of 2 GPUs needed, 12.0 GiB free" in memory


def test_check_without_a_gpu_does_not_claim_that_no_smaller_batch_fits(do, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: None)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=GIB, total=2 * GIB))
    memory = list(do.check(**QLoRAConfig(model="seven", batch_size=16).model_dump()))[-1]["memory"]
    assert "this machine has no GPU. Lower the batch size or the maximum length, or" in memory
    assert "larger GPU" not in memory


def test_dry_run_beside_a_chat_shows_the_stages_and_says_what_to_do(runs, monkeypatch):
    """The chat frees its memory for a run only, so a dry run must not wait for it."""
    stages = []

    def prepare(settings, config, run, events, waits_for_chat):
        assert not waits_for_chat
        events.write(StageEvent(text="Tokenizing 5 rows"))
        raise torch.OutOfMemoryError

    estimate = SimpleNamespace(would_fit_alone=True, fits=False, needed=20 * GIB, free=8 * GIB)
    monkeypatch.setattr(fit, "fit", lambda *_: estimate)
    monkeypatch.setattr(preparation, "prepare", prepare)
    with pytest.raises(StudioError, match=r"about 20.0 GiB, and 8.0 GiB were free. If a chat's model is"):
        dry_run.perform(runs.settings, QLoRAConfig(), lambda share, stage: stages.append(stage))
    assert stages == ["Loading the model and the rows", "Tokenizing 5 rows"]
    estimate.fits = True
    with pytest.raises(StudioError, match="Set gradient checkpointing"):
        dry_run.perform(runs.settings, QLoRAConfig(), lambda share, stage: None)


@pytest.mark.slow
def test_measure_runs_two_steps_and_leaves_no_files(do, runs, small_tokenizer):
    from tests.helpers.tiny_model import tiny_llama

    folder = runs.settings.models_dir / "tiny"
    tiny_llama(vocab_size=len(small_tokenizer)).save_pretrained(folder)
    small_tokenizer.save_pretrained(folder)
    config = QLoRAConfig(model="tiny", quantization="none", max_steps=100, gradient_accumulation=2)
    *running, last = do.dry_run(**config.model_dump())
    assert running
    for words in ("peak memory, measured", "per step on the longest rows", "for the whole run"):
        assert words in last["measured"]
    estimate = do.estimates.estimate(config)
    assert not estimate.speed.run
    assert estimate.seconds > 0
    assert runs.runs() == []
    assert not list(runs.settings.runs_dir.glob(".dry-run-*"))


def test_measure_invalid_settings_or_active_run_raises(do, a_run):
    with pytest.raises(StudioError, match="no subset 'nowhere'"):
        list(do.dry_run(**QLoRAConfig(model="seven", subset="nowhere").model_dump()))
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process().pid))
    with pytest.raises(StudioError, match="trains on this machine"):
        list(do.dry_run(**QLoRAConfig().model_dump()))


@pytest.mark.parametrize("text", HOSTILE)
def test_findings_hostile_text_stays_text(text):
    page = ParsedHtml(findings_html([Finding("problem", text), Finding("fine", "y")]))
    assert [tag for tag, _ in page.tags] == ["ul", "li", "li"]
