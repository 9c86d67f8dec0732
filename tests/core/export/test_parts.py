"""Texts that name further adapters with their weights."""

import pytest
from pydantic import ValidationError

from core.export.config import ExportConfig
from core.export.parts import Part, parse_part


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a", Part("a", "final", 1)), ("a=0.5", Part("a", "final", 0.5)), ("a/step 20=-2", Part("a", "step 20", -2)),
        (" a /step 3", Part("a", "step 3", 1)), ("a/=1e-1", Part("a", "final", 0.1)),
    ],
)  # fmt: skip
def test_text_is_read(text, part):
    assert parse_part(text) == part


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"also": ["a=x"]}, "has the weight 'x'"), ({"also": ["a=0"]}, "that is not 0"),
        ({"also": ["a=nan"]}, "has the weight 'nan'"), ({"also": ["a=9"]}, "between -4 and 4"),
        ({"also": ["=1"]}, "names no run"), ({"also": [""]}, "names no run"),
        ({"also": ["a=1", "a/final=2"]}, "a/final is named twice"),
        ({"also": ["a"], "weight": 0}, "Own weight is 0"), ({"weight": 0.5}, "Own weight needs further adapters"),
        ({"combination": "svd"}, "Combination needs further adapters"),
        ({"also": ["a"], "form": "adapter"}, "or choose the form combined"),
    ],
)  # fmt: skip
def test_settings_that_name_no_combination_are_refused(values, reason):
    with pytest.raises(ValidationError, match=reason):
        ExportConfig(**({"form": "merged"} | values))
