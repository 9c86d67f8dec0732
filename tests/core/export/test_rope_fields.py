"""Rotary positions under the names of transformers 4: what other engines read, and what transformers 5 still reads."""

import json

import pytest
from transformers import AutoConfig, Gemma3TextConfig, GPT2Config, LlamaConfig, Phi3Config

from core.export.rope_fields import legacy_rope_fields

LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e5}
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}
GEMMA = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LlamaConfig(rope_parameters={"rope_type": "default", "rope_theta": 1e5}), {"rope_theta": 1e5}),
        (LlamaConfig(rope_parameters=LINEAR), {
            "rope_theta": 1e5, "rope_scaling": {"rope_type": "linear", "factor": 2.0},
        }),
        (Phi3Config(hidden_size=64, num_attention_heads=4, rope_parameters=dict(LONG)), {
            "rope_theta": 1e4, "partial_rotary_factor": 1.0,
            "rope_scaling": {
                "rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8,
                "original_max_position_embeddings": 4096,
            },
        }),
        (Gemma3TextConfig(), {"rope_theta": 1e6, "rope_local_base_freq": 1e4}),
        (Gemma3TextConfig(rope_parameters=GEMMA), {
            "rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        }),
        (GPT2Config(), {}),
    ],
)  # fmt: skip
def test_fields_are_read_by_transformers_5_as_before(config, expected, tmp_path):
    assert legacy_rope_fields(config) == expected
    config.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | legacy_rope_fields(config)))
    read = AutoConfig.from_pretrained(tmp_path)
    assert getattr(read, "rope_parameters", None) == getattr(config, "rope_parameters", None)
