"""Validation errors as one sentence per problem."""

import pytest
from pydantic import ValidationError

from core.errors import sentences
from core.runs.config import QLoRAConfig


def test_sentences_has_one_line_per_problem():
    with pytest.raises(ValidationError) as caught:
        QLoRAConfig(max_length=0, lora_targets=" , ", quantization="nf3")
    lines = sentences(caught.value, str.upper).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("QUANTIZATION: ")
    assert "MAX_LENGTH: Input should be greater than or equal to 16 (given: 0)." in lines
    targets = "expected 'all-linear', 'attention', 'mlp' or module names, separated by commas (given: ' , ')."
    assert f"LORA_TARGETS: {targets}" in lines


def test_sentences_shortens_a_long_or_deeply_nested_value():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for given in ("x" * 100_000, deep, ["y"] * 100_000):
        with pytest.raises(ValidationError) as caught:
            QLoRAConfig(max_length=given)
        assert len(sentences(caught.value)) < 400
