import numpy as np

from core.evaluate.classification.labels import label_set
from core.evaluate.classification.scoring import Classification
from core.evaluate.guard import Ability
from core.evaluate.metrics import METRICS
from core.evaluate.probes import probes
from studio.evaluate.ability_html import StepPoint, ability_html, classification_html, over_steps_html
from studio.evaluate.verdict_view import _by_steps, _step_title
from tests.helpers.hostile_text import HOSTILE

MARKUP = HOSTILE[0]


def test_a_gain_that_costs_ability_is_a_warning_with_the_checkpoint_that_costs_none():
    right = np.ones((3, len(probes())))
    right[2, :100] = 0
    html = ability_html(
        Ability(right), ["base", "step 10", MARKUP], ["base", "run/step 10", "run"], 0, 2, [None, 0.1, 0.4]
    )
    assert 'class="ev-warning"' in html
    assert "step 10 gains without a measurable loss" in html
    assert MARKUP not in html
    html = ability_html(Ability(right[[0, 2]]), ["base", "tuned"], ["base", "run"], 0, 1, [None, 0.4])
    assert "Compare earlier checkpoints" in html
    html = ability_html(Ability(right[:2]), ["base", "step 10"], ["base", "run/step 10"], 0, 1, [None, 0.4])
    assert "ev-warning" not in html


def test_labels_confusions_and_calibration_are_shown_and_escaped():
    labels = label_set(["positive", MARKUP])
    true = np.array([0, 1, 0, 1])
    probabilities = np.array([[[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]]])
    found = Classification(
        labels, true, np.array([[0, 1, -1, 1]]), np.ones((1, 4), bool), np.array([[0, 1, 1, 1]]),
        np.array([[0, 1, 1, 1]]), probabilities,
    )  # fmt: skip
    html = classification_html(found, ["tuned"])
    assert MARKUP not in html
    assert "75.0%" in html
    assert "25.0%" in html, "the share of answers without a label"
    assert html.count("<circle") == 4
    assert "By the likeliest label" in html
    assert html.count(">no label<") == 2, "in the summary, and in the matrix of written answers"


def test_checkpoints_are_plotted_beside_the_task_in_the_order_of_their_steps():
    points = [StepPoint("base", 2.0, 0.5), StepPoint("step 10", 1.5, 0.5), StepPoint(MARKUP, 1.0, 0.25)]
    html = over_steps_html(METRICS["loss"], points)
    assert MARKUP not in html
    assert html.count("<svg") == 2
    assert "over the steps, lower is better" in html
    assert "Tokens over the steps</figcaption>" in over_steps_html(METRICS["tokens"], points)
    assert 'points="20.0,20.0 120.0,50.0 220.0,80.0 "' in html
    assert 'points="20.0,20.0 120.0,20.0 220.0,80.0 "' in html
    assert (
        over_steps_html(METRICS["loss"], [StepPoint("base", None, 0.5), StepPoint("tuned", 1.0, 0.5)]).count("<svg")
        == 1
    )


def test_lanes_of_a_plot_over_the_steps_are_named_by_their_steps():
    assert [_step_title(lane) for lane in ("base", "run/step 64", "run")] == ["base", "step 64", "final"]


def test_adapters_of_a_run_follow_the_base_by_their_steps():
    lanes = ["run", "base", "run/step 20", "run/step 4"]
    assert _by_steps(lanes, 1) == [1, 3, 2, 0]
    assert _by_steps(["base", "other", "run/step 4", "run"], 0) == [0, 2, 3]
    assert _by_steps(["base"], 0) == [0]
