"""The fit of a run in memory, and the smallest change that makes it fit."""

import json

import pytest

from core.hardware import cpu, gpu
from core.runs.config import QLoRAConfig
from core.runs.fit import fit

GIB = 2**30


@pytest.fixture
def seven(settings):
    """A model folder with the config.json of Llama 2 7B; its weights are not needed for their size."""
    from transformers import LlamaConfig

    LlamaConfig(vocab_size=32000).save_pretrained(settings.models_dir / "seven")
    return settings


@pytest.fixture
def card(monkeypatch):
    return lambda gigabytes: monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(gigabytes * GIB, gigabytes * GIB))


def test_fit_offers_smallest_change_if_run_does_not_fit(seven, card):
    config = QLoRAConfig(model="seven", batch_size=16, max_length=1024)
    card(80)
    assert fit(seven, config).fits
    card(12)
    result = fit(seven, config)
    assert not result.fits
    assert result.changes == {"gradient_checkpointing": "offload"}
    assert fit(seven, config.model_copy(update=result.changes)).fits
    result = fit(seven, config.model_copy(update={"kernels": "off"}))
    assert result.changes.keys() == {"batch_size", "gradient_accumulation"}
    card(2)
    result = fit(seven, config)
    assert (result.fits, result.changes) == (False, {})


@pytest.mark.parametrize("gigabytes", [6, 8, 10, 12, 16, 20, 24, 32, 48])
def test_fit_with_the_offered_change_fits_in_float32(seven, card, gigabytes):
    config = QLoRAConfig(model="seven", batch_size=16, compute_dtype="float32", kernels="off")
    card(gigabytes)
    result = fit(seven, config)
    assert not result.changes or fit(seven, config.model_copy(update=result.changes)).fits


def test_fit_with_auto_checkpointing_recomputes_as_needed(seven, card):
    ways = ("auto", "off", "on")

    def totals():
        results = [fit(seven, QLoRAConfig(model="seven", gradient_checkpointing=how)) for how in ways]
        return [result.forecast.total for result in results]

    card(80)
    auto, off, on = totals()
    assert auto == off
    card(24)
    auto, off, on = totals()
    assert on < auto < off
    assert fit(seven, QLoRAConfig(model="seven")).fits


def test_fit_counts_float32_weights_on_cpu_without_bfloat16(seven, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: None)
    needed = {}
    for is_fast in (True, False):
        monkeypatch.setattr(cpu, "multiplies_bfloat16", lambda is_fast=is_fast: is_fast)
        needed[is_fast] = fit(seven, QLoRAConfig(model="seven", quantization="none")).needed
    assert needed[False] - needed[True] >= 2 * 6.7e9
    assert needed[False] == fit(seven, QLoRAConfig(model="seven", quantization="none", compute_dtype="float32")).needed


def test_fit_keeps_to_gpu_memory_setting(seven, card):
    card(80)
    result = fit(seven, QLoRAConfig(model="seven", gpu_memory=16.0))
    assert result.free == 16 * GIB
    assert result.fits
    # Only the plan of "auto" keeps to it.
    result = fit(seven, QLoRAConfig(model="seven", gpu_memory=16.0, gradient_checkpointing="off"))
    assert (result.free, result.fits) == (80 * GIB, True)


@pytest.mark.parametrize(
    ("free", "total", "limit", "waits"),
    [
        (3, 80, 0.0, True),
        (3, 80, 16.0, True),
        # The user's limit stays when the GPU is empty.
        (80, 80, 4.0, False),
        (3, 80, 4.0, False),
        (80, 80, 0.0, False),
        (2, 2, 0.0, False),
    ],
)
def test_run_waits_for_the_gpu_only_if_others_take_what_it_needs(seven, monkeypatch, free, total, limit, waits):
    monkeypatch.setattr(gpu, "memory", lambda: gpu.GPUMemory(free * GIB, total * GIB))
    result = fit(seven, QLoRAConfig(model="seven", gpu_memory=limit))
    assert (result.would_fit_alone and not result.fits) == waits


def test_fit_uses_the_fullest_of_the_gpus_in_use(seven, monkeypatch):
    frees = [80 * GIB, 12 * GIB, 1 * GIB]
    monkeypatch.setattr(gpu, "list_memory", lambda: [gpu.GPUMemory(free, 80 * GIB) for free in frees])
    result = fit(seven, QLoRAConfig(model="seven", gpus=2, batch_size=16, gradient_checkpointing="on"))
    assert (result.free, result.gpus) == (12 * GIB, 2)
    assert result.fits, "each takes half of the batch"
    assert not fit(seven, QLoRAConfig(model="seven", gpus=3, batch_size=18)).fits


def test_fit_without_gpu_uses_machine_memory(seven, monkeypatch):
    monkeypatch.setattr(gpu, "memory", lambda: None)
    result = fit(seven, QLoRAConfig(model="seven"))
    assert not result.on_gpu
    assert result.needed == result.forecast.total


def test_fit_of_missing_or_unsupported_model_is_none(settings):
    assert fit(settings, QLoRAConfig(model="nope")) is None
    folder = settings.models_dir / "odd"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bloom"}))
    assert fit(settings, QLoRAConfig(model="odd")) is None
