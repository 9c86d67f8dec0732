from inspect import unwrap

import gradio as gr
import pytest

from core.data import subset
from studio.app import build
from studio.evaluate.power_hint import PowerHint
from tests.helpers.scored_evaluation import scored_evaluation


@pytest.mark.parametrize(
    ("chosen", "rows"),
    [
        (("subset", None, "keeper", "all", 1000), "With 340 rows"),
        (("subset", None, "keeper", "all", 50), "With 50 rows"),
        (("subset", None, "keeper", "held-out", 1000), "With 34 rows"),
        (("subset", None, "no-such", "all", 1000), ""),
        (("subset", None, None, None, None), ""),
        (("held-out", "no-such", None, None, 1000), ""),
        (("held-out", None, None, None, 1000), ""),
        (("file", None, None, None, 1000), ""),
    ],
)
def test_hint_names_the_rows_that_are_chosen(store, chosen, rows):
    text = PowerHint(store).describe(*chosen)["power"]
    assert (rows in text) if rows else text == ""


def test_hint_counts_the_rows_with_a_loss_where_the_loss_decides(store):
    hint = PowerHint(store)
    assert "With 100 rows" in hint.describe("subset", None, "keeper", "all", 1000, "generation", 100)["power"]
    assert "With 340 rows" in hint.describe("subset", None, "keeper", "all", 1000, "classification", 100)["power"]


def test_hint_uses_what_an_evaluation_has_measured(settings, tmp_path):
    store, evaluation = scored_evaluation(settings, tmp_path)
    subset.ensure_bundled(settings)
    assert f"Measured in {evaluation.id}" in PowerHint(store).describe("subset", None, "keeper", "all", 100)["power"]


def test_hint_follows_what_ends_meanwhile(settings):
    demo = build(settings)
    described = [function for function in demo.fns.values() if "PowerHint.describe" in str(unwrap(function.fn))]
    kinds = {type(demo.blocks.get(number)) for one in described for number, _ in one.targets}
    assert gr.State in kinds, "evaluations and runs that end"
    assert gr.Tab in kinds
