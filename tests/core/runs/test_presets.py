"""Presets: each is a complete config with a reason, and the paper preset has the paper's numbers."""

import pytest
from pydantic import ValidationError

from core.models import embedded
from core.runs.config import QLoRAConfig
from core.runs.presets import PRESETS, QLORA_PAPER_7B, QUICK_DEMO, Preset


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_is_valid_and_has_a_reason(name):
    preset = PRESETS[name]
    config = preset.config()
    assert preset.name == name
    assert len(preset.reason) > 40
    assert {field: getattr(config, field) for field in preset.values} == preset.values


def test_preset_with_unknown_field_is_rejected():
    with pytest.raises(ValidationError, match="rank"):
        Preset("x", "y", {"rank": 4}).config()


def test_given_values_override_preset():
    assert QUICK_DEMO.config(max_steps=3) == QLoRAConfig(**(QUICK_DEMO.values | {"max_steps": 3}))


def test_quick_demo_uses_bundled_model_and_data():
    config = QUICK_DEMO.config()
    assert (config.model, config.subset) == (embedded.NAME, "keeper")
    assert config.eval_steps <= config.max_steps
    assert config.eval_rows > 0


def test_paper_preset_has_the_numbers_of_the_paper():
    """Dettmers et al. 2023, appendix B.2 and table 9: 7B and 13B on OASST1."""
    config = QLORA_PAPER_7B.config()
    assert (config.lora_rank, config.lora_alpha, config.lora_dropout) == (64, 16, 0.1)
    assert config.target_names == ["all-linear"]
    assert (config.learning_rate, config.scheduler, config.warmup_ratio) == (2e-4, "constant", 0.0)
    assert config.batch_size * config.gradient_accumulation == 16
    assert (config.max_grad_norm, config.adam_beta2, config.optimizer) == (0.3, 0.999, "paged_adamw_32bit")
    assert (config.quantization, config.double_quantization) == ("nf4", True)
    assert (config.max_steps, config.max_length) == (1875, 512)
    assert config.model == "meta-llama/Llama-2-7b-hf"


def test_paper_preset_reason_names_its_numbers():
    for words in ("rank 64", "alpha 16", "dropout 0.1", "2e-4", "batch 16", "0.3", "beta2 0.999", "NF4"):
        assert words in QLORA_PAPER_7B.reason
