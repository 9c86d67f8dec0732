"""Validation errors as one sentence per problem."""

import re

import pytest
from pydantic import ValidationError

from core.errors import sentences
from core.runs.config import TITLES, QLoRAConfig

FIELDS = list(QLoRAConfig.model_fields)


def test_sentences_has_one_line_per_problem():
    with pytest.raises(ValidationError) as caught:
        QLoRAConfig(max_length=0, lora_targets=" , ", quantization="nf3")
    lines = sentences(caught.value, str.upper).splitlines()
    assert len(lines) == 3
    assert lines[0] == "QUANTIZATION must be 'nf4', 'fp4', 'int8' or 'none' (given: 'nf3')."
    assert "MAX_LENGTH must be at least 16 (given: 0)." in lines
    targets = "expected 'all-linear', 'attention', 'mlp' or module names, separated by commas (given: ' , ')."
    assert f"LORA_TARGETS: {targets}" in lines


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [None, "", "x" * 5000, [], {}, -1, 1e9, 1.5, float("nan"), True])
def test_sentences_have_no_words_of_pydantic(name, value):
    try:
        QLoRAConfig(**{name: value})
    except ValidationError as error:
        text = sentences(error, TITLES.__getitem__)
        assert text.startswith(TITLES[name])
        assert not re.search(r"Input|Value error|valid \w+|dictionary|greater|less than or|pydantic", text), text


def test_sentences_about_settings_that_disagree_name_the_one_to_change():
    with pytest.raises(ValidationError) as caught:
        QLoRAConfig(keep_best=True, eval_rows=0)
    expected = "Held-out rows: “Keep the best adapter” needs held-out rows: set Held-out rows above 0."
    assert sentences(caught.value, TITLES.__getitem__) == expected


def test_sentences_shortens_a_long_or_deeply_nested_value():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    wide: list = ["z"] * 20
    for _ in range(20):
        wide = [wide] * 20
    for given in ("x" * 100_000, deep, ["y"] * 100_000, wide, 10**5_000):
        with pytest.raises(ValidationError) as caught:
            QLoRAConfig(max_length=given)
        assert len(sentences(caught.value)) < 600
