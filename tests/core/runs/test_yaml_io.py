"""A run's settings as YAML and as a command line."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StudioError
from core.runs.config import QLoRAConfig
from core.runs.yaml_io import command_line, from_yaml, to_yaml

CONFIGS = st.builds(
    QLoRAConfig,
    lora_rank=st.integers(1, 512),
    learning_rate=st.floats(1e-9, 1),
    packing=st.booleans(),
    sample_prompts=st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=50),
    subset=st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=20),
    scheduler=st.sampled_from(["constant", "linear", "cosine"]),
)


@given(CONFIGS)
def test_config_survives_yaml_round_trip(config):
    assert from_yaml(to_yaml(config)) == config


def test_yaml_is_grouped():
    text = to_yaml(QLoRAConfig())
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Model", "# LoRA", "# Data", "# Optimizer", "# Batch and length", "# Evaluation and checkpoints"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("lora_rank: [", "not valid YAML in line 1"),
        ("- a\n- b\n", "holds no settings"),
        ("", "holds no settings"),
        ("lora_rank: 0\nmax_length: 3\n", "Rank"),
        ("rank: 8\n", "rank"),
        ("!!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a: &a [1]\nlora_rank: *a\n", "not valid YAML in line 2"),
        ("seed: 1\nseed: 2\n", "names 'seed' twice"),
        ("seed: 0x" + "f" * 20_000, "Seed must be less than 4294967296 .given: a number of 80,000 bits"),
        *((f"seed: !!{tag}", "not valid YAML") for tag in ('int ""', 'float ""', "bool x", "timestamp x")),
    ],
)
def test_invalid_yaml_is_rejected_with_reason(text, why):
    with pytest.raises(StudioError, match=why):
        from_yaml(text, "'a.yaml'")


def test_command_line_has_changed_settings_only():
    assert command_line(QLoRAConfig()) == "python -m core train"
    words = shlex.split(command_line(QLoRAConfig(packing=False, keep_best=True, sample_prompts="It's?\nTwo", epochs=2)))
    assert words[4:] == ["--no-packing", "--epochs", "2.0", "--keep-best", "--sample-prompts", "It's?\nTwo"]
