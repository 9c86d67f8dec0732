import numpy as np

from core.evaluate.classification.labels import label_set
from core.evaluate.classification.scoring import Classification
from core.evaluate.guard import Ability
from core.evaluate.probes import probes
from studio.evaluate.ability_html import ability_html, classification_html
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
