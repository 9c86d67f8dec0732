"""Notes on a compared export: what would come closer, and whether rounding hides what was trained."""

import pytest

from core.export.advice import advise, weigh_rounding
from core.export.config import ExportConfig
from core.export.result import Fidelity


def fidelity(kl, same=0.95):
    return Fidelity(rows=8, tokens=90, same_choice=same, mean_kl=kl, high_kl=2 * kl, loss=2.0, exported_loss=2.1)


@pytest.mark.parametrize(
    ("config", "kl", "is_one_type", "expected"),
    [
        ({"form": "merged", "base": "original"}, 0.1, True, "Base weights as trained"),
        ({"form": "gguf"}, 0.1, True, "more bits"),
        ({"form": "gguf"}, 0.1, False, ""),
        ({"form": "gguf", "quantization": "F16"}, 0.1, True, ""),
        ({"form": "merged-4bit"}, 0.1, True, "The form Merged model"),
        ({"form": "merged", "also": ["other"]}, 0.1, True, "this run's adapter alone"),
    ],
)
def test_advice_names_what_would_come_closer(config, kl, is_one_type, expected):
    found = advise(ExportConfig(**config), fidelity(kl), is_one_type)
    assert len(found) == bool(expected)
    assert all(expected in note for note in found)


def test_export_that_was_not_compared_or_is_the_same_needs_no_advice():
    assert advise(ExportConfig(form="gguf"), None, True) == []
    assert advise(ExportConfig(form="gguf"), fidelity(1e-5, 1.0), True) == []


@pytest.mark.parametrize(("kl", "hides"), [(0.0001, False), (0.001, True), (0.02, True)])
def test_rounding_that_changes_as_much_as_the_adapter_is_named(kl, hides):
    note = weigh_rounding(fidelity(kl), fidelity(0.002))
    assert f"of 0.002 from the model as trained, and this file of {kl:.2g}." in note
    assert ("hides much of what was trained" in note) is hides
