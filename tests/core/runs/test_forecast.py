"""The memory forecast, compared with measurements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig

from core.models.shape import ModelShape
from core.runs.config import QLoRAConfig
from core.runs.forecast import find_smaller_settings, forecast
from core.runs.presets import CARDS, LONG_CONTEXT

SEVEN = ModelShape.from_config(LlamaConfig(vocab_size=32000))
ONE = ModelShape(22, 2048, 5632, 32, 4, 64, 32000, is_tied=False)
GIB, MIB = 2**30, 2**20

# (shape, checkpointing, rows, length, MiB above what was held) as bench/card_memory.py --grid measured them on an H100
MEASURED = [
    (SEVEN, True, 1, 512, 415.8), (SEVEN, True, 1, 1024, 562.9), (SEVEN, True, 2, 1024, 1029.9),
    (SEVEN, True, 4, 1024, 1966.9), (SEVEN, True, 8, 1024, 3900.6), (SEVEN, False, 1, 512, 2976.6),
    (SEVEN, False, 1, 1024, 5793.5), (SEVEN, False, 2, 1024, 11460.5), (SEVEN, False, 4, 1024, 22833.4),
    (ONE, True, 4, 1024, 794.3), (ONE, True, 8, 1024, 1588.9), (ONE, False, 1, 1024, 1876.1),
    (ONE, False, 4, 1024, 7403.3),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "checkpointing", "rows", "length", "mib"), MEASURED)
def test_activations_match_measurements(shape, checkpointing, rows, length, mib):
    config = QLoRAConfig(batch_size=rows, max_length=length)
    found = forecast(shape, config, checkpointing).parts["activations"] / MIB
    assert found == pytest.approx(mib, rel=0.10)


# Fused blocks as bench/train.py measured them: (gradient_checkpointing, blocks recomputed, tokens of the longest batch,
# GiB at the peak).
FUSED = [
    ("auto", 0, 8707, 29.32), ("on", 31, 8707, 7.79), ("offload", 32, 8707, 5.47), ("auto", 30, 8192, 8.56),
    ("offload", 32, 8192, 5.47),
]  # fmt: skip


@pytest.mark.parametrize(("checkpointing", "blocks", "tokens", "gib"), FUSED)
def test_peak_of_fused_blocks_matches_measurements(checkpointing, blocks, tokens, gib):
    found = forecast(SEVEN, QLoRAConfig(gradient_checkpointing=checkpointing), blocks, fused=True, tokens=tokens)
    assert found.total / GIB == pytest.approx(gib, rel=0.10)


@pytest.mark.parametrize("fused", [True, False])
def test_each_recomputed_block_saves_memory(fused):
    totals = [forecast(SEVEN, QLoRAConfig(), blocks, fused=fused).total for blocks in range(32)]
    assert totals == sorted(totals, reverse=True)
    offloaded = forecast(SEVEN, QLoRAConfig(gradient_checkpointing="offload"), 32, fused=True).total
    assert offloaded < forecast(SEVEN, QLoRAConfig(), 32, fused=True).total


def test_memory_before_first_pass_matches_measurements():
    parts = forecast(SEVEN, QLoRAConfig(), checkpointing=True).parts
    assert (parts["weights"] + parts["adapters"]) / MIB == pytest.approx(3849.5, rel=0.01)


CONFIGS = st.builds(
    QLoRAConfig,
    batch_size=st.integers(1, 64),
    max_length=st.sampled_from([256, 1024, 4096]),
    lora_rank=st.sampled_from([4, 16, 64]),
    gradient_accumulation=st.integers(1, 4),
    optimizer=st.sampled_from(["adamw", "adamw_8bit", "paged_adamw_8bit", "adafactor"]),
    quantization=st.sampled_from(["nf4", "int8", "none"]),
)


@given(CONFIGS)
def test_forecast_grows_with_every_size(config):
    base = forecast(SEVEN, config, True).total
    for more in ({"batch_size": config.batch_size + 1}, {"lora_rank": config.lora_rank * 2},
                 {"max_length": config.max_length * 2}):  # fmt: skip
        assert forecast(SEVEN, config.model_copy(update=more), True).total > base
    assert forecast(SEVEN, config, False).total > base


@given(config=CONFIGS, free=st.floats(4, 80))
def test_find_smaller_settings_returns_change_that_fits_and_keeps_rows_per_update(config, free):
    found = find_smaller_settings(SEVEN, config, False, free * GIB)
    if found is None:
        least = config.model_copy(update={"batch_size": 1, "max_length": 256, "optimizer": "paged_adamw_8bit"})
        assert forecast(SEVEN, least, True).device > free * GIB * 0.9
        return
    changes, why = found
    changed = config.model_copy(update=changes)
    assert forecast(SEVEN, changed, True).device <= free * GIB
    assert why
    assert changed.batch_size * changed.gradient_accumulation >= config.batch_size * config.gradient_accumulation


def test_forecast_of_several_gpus_splits_activations_not_weights():
    one, two = (forecast(SEVEN, QLoRAConfig(batch_size=8 * gpus, gpus=gpus), True).parts for gpus in (1, 2))
    assert one == two
    shared = forecast(SEVEN, QLoRAConfig(batch_size=8, gpus=2), True).parts
    assert shared["weights"] == one["weights"]
    assert shared["activations"] < one["activations"]


@given(rows=st.integers(1, 12), gpus=st.integers(2, 4), free=st.floats(5, 12))
def test_smaller_batch_is_divisible_by_gpus(rows, gpus, free):
    config = QLoRAConfig(batch_size=rows * gpus, gpus=gpus, max_length=4096)
    changes, _ = find_smaller_settings(SEVEN, config, True, free * GIB) or ({}, "")
    fresh = QLoRAConfig(**config.model_dump() | changes)
    assert fresh.batch_size * fresh.gradient_accumulation >= config.batch_size


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("preset", [*CARDS, LONG_CONTEXT], ids=lambda preset: preset.name)
def test_forecast_of_each_preset_fits_its_gpu(preset, fused):
    card = {"8 GB card": 8, "12 GB card": 12, "16 GB card": 16, "24 GB card": 24, "80 GB card": 80}.get(preset.name, 24)
    config = preset.config()
    found = forecast(SEVEN, config, config.gradient_checkpointing != "off", fused=fused)
    assert found.device < card * 1e9 * 0.95
