import gradio as gr
import psutil
import pytest
from transformers import LlamaConfig

from core.errors import StudioError
from core.hardware import gpu
from core.runs.config import QLoRAConfig
from core.system.jobs import Jobs
from studio.train.preflight import Checking
from studio.train.values import KNOBS

GIB = 2**30


@pytest.fixture
def do(runs, toasts):
    jobs = Jobs()
    LlamaConfig(vocab_size=32000).save_pretrained(runs.settings.models_dir / "seven")
    yield Checking(runs, jobs)
    jobs.close()


def test_problems_memory_and_the_change_that_fits_are_shown_and_made(do, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(12 * GIB, 12 * GIB))
    values = QLoRAConfig(model="seven", batch_size=16, kernels="off", subset="nowhere").model_dump()
    findings, memory, button = do.check(**values)
    assert "no subset &#x27;nowhere&#x27;" in findings
    assert "12.0 GiB free of GPU memory" in memory
    assert "over" in memory
    assert button["visible"]
    assert "Batch size" in button["value"]
    updates = dict(zip(KNOBS, do.make_fit(**values), strict=True))
    assert updates["batch_size"] < 16
    assert updates["gradient_accumulation"] * updates["batch_size"] >= 16
    assert updates["lora_rank"] == gr.skip()
    changed = values | {name: value for name, value in updates.items() if value != gr.skip()}
    *_, button = do.check(**changed)
    assert not button["visible"]
    with pytest.raises(StudioError, match="nothing to change"):
        do.make_fit(**changed)


def test_fused_blocks_first_move_what_they_keep_out_of_the_gpu(do, monkeypatch):
    """The batch stays as it is."""
    monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(12 * GIB, 12 * GIB))
    values = QLoRAConfig(model="seven", batch_size=16).model_dump()
    *_, button = do.check(**values)
    assert "offload" in button["value"]
    updates = dict(zip(KNOBS, do.make_fit(**values), strict=True))
    assert (updates["gradient_checkpointing"], updates["batch_size"]) == ("offload", gr.skip())


def test_several_gpus_are_told_of(do, monkeypatch):
    monkeypatch.setattr(gpu, "cards", lambda: [gpu.GPUMemory(12 * GIB, 12 * GIB)] * 2)
    _, memory, _ = do.check(**QLoRAConfig(model="seven", gpus=2).model_dump())
    assert "12.0 GiB free of GPU memory on each of 2 GPUs" in memory


@pytest.mark.slow
def test_two_real_steps_are_measured_and_leave_nothing(do, runs, tokenizer):
    from tests.helpers.tiny_model import tiny_llama

    folder = runs.settings.models_dir / "tiny"
    tiny_llama(vocab_size=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = QLoRAConfig(model="tiny", quantization="none", max_steps=100, gradient_accumulation=2)
    *running, last = do.measure(**config.model_dump())
    assert running
    for words in ("most memory, measured", "a step on the longest rows", "for the whole run"):
        assert words in last["measured"]
    assert runs.runs() == []
    assert not list(runs.settings.runs_dir.glob(".measure-*"))


def test_what_cannot_be_measured_is_a_sentence(do, a_run):
    with pytest.raises(StudioError, match="no subset 'nowhere'"):
        list(do.measure(**QLoRAConfig(model="seven", subset="nowhere").model_dump()))
    run = a_run(status="running", ended=None)
    run.save_state(run.saved_state().with_process(psutil.Process().pid))
    with pytest.raises(StudioError, match="trains on this machine"):
        list(do.measure(**QLoRAConfig().model_dump()))
