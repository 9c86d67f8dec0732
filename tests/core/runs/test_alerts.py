"""Alerts on the events of a run: nan, rising losses, large gradients, zero rates."""

import json
import math

import pytest

from core.runs import events
from core.runs.alerts import alerts
from core.runs.metrics_series import Timeline


@pytest.fixture
def timeline(tmp_path):
    """Make the timeline of a run from its losses and further fields per step."""

    def make(losses, evals=(), **others):
        path = tmp_path / events.FILE
        lines = []
        for i, loss in enumerate(losses):
            event = {"event": "step", "step": i + 1, "loss": loss, "grad_norm": 1.0, "learning_rate": 1e-3}
            lines.append(event | {name: values[i] for name, values in others.items()})
        lines += [{"event": "eval", "step": step, "loss": loss} for step, loss in evals]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        made = Timeline(path)
        made.update()
        return made

    return make


FALLING = [2 + math.exp(-i / 20) + 0.1 * math.sin(i * 7) for i in range(100)]


def kinds(made, total=0):
    return {alert.kind: alert.step for alert in alerts(made, total)}


def test_ordinary_run_has_no_alerts(timeline):
    evals = [(0, 3.0), (25, 2.5), (50, 2.3), (75, 2.31), (100, 2.29)]
    rates = [*(1e-3 * (99 - i) / 99 for i in range(100))]
    assert kinds(timeline(FALLING, evals, learning_rate=rates), total=100) == {}
    assert kinds(timeline([])) == {}


def test_nan_loss_is_alerted(timeline):
    made = timeline([*FALLING[:30], "nan", "nan"])
    assert kinds(made) == {"not a number": 31}


def test_rising_loss_is_alerted(timeline):
    found = kinds(timeline([*FALLING, *(2 + i / 10 for i in range(40))]))
    assert list(found) == ["climbing loss"]
    assert 101 <= found["climbing loss"] <= 130


def test_rising_held_out_loss_is_alerted(timeline):
    made = timeline(FALLING, [(0, 3.0), (20, 2.0), (40, 2.1), (60, 2.2), (80, 2.4)])
    [alert] = alerts(made)
    assert (alert.kind, alert.step) == ("held-out loss rising", 60)
    assert "has been rising since step 20" in alert.text
    assert kinds(timeline(FALLING, [(0, 3.0), (20, 2.0), (40, 2.1), (60, 1.9)])) == {}, "once is no turn"


RISING = [2 + i / 10 for i in range(40)]
PASSES = [(0, 3.0), (20, 2.0), (40, 2.1), (60, 2.2), (80, 2.4)]
RATE = [1e-3] * 60


@pytest.mark.parametrize(
    ("losses", "passes", "rates", "words"),
    [
        ([*FALLING[:30], "nan", "nan"], (), None, "has not been a number since step 31."),
        ([*FALLING[:30], "nan", 1.0, "nan", 1.0], (), None, "was not a number at step 31 and at 1 later step."),
        ([*FALLING[:30], "nan", *FALLING[30:32]], (), None, "was not a number at step 31."),
        ([*FALLING[:30], "nan", 1.0, "inf", 1.0, "nan"], (), None, "was not a number at step 31 and at 2 later steps."),
        # A loss that is missing is not one that is no number.
        ([*FALLING[:30], None, "nan", None], (), None, "has not been a number since step 32."),
        ([*FALLING[:30], None, None], (), None, ""),
        ([*FALLING, *RISING], (), None, "The loss has been rising since about step 97."),
        ([*FALLING, *RISING, *[2.0] * 60], (), None, "The loss rose from about step 97, and fell again later."),
        (FALLING, PASSES, None, "has been rising since step 20"),
        (FALLING, [*PASSES, (100, 1.9)], None, "The held-out loss rose from step 20, and fell again later."),
        (FALLING, (), [*RATE, *[0.0] * 40], "has been 0 since step 61, so the run no longer trains"),
        (FALLING, (), [*RATE, 0.0, *RATE[:39]], "was 0 at step 61, so nothing was trained there"),
    ],
)
def test_alert_names_its_first_step_only_while_its_cause_lasts(timeline, losses, passes, rates, words):
    texts = [
        alert.text for alert in alerts(timeline(losses, passes, **({"learning_rate": rates} if rates else {})), 200)
    ]
    assert len(texts) == bool(words)
    assert words in "".join(texts)


def test_exploding_gradient_is_alerted(timeline):
    norms = [1.0 + 0.2 * math.sin(i) for i in range(100)]
    norms[70] = 50.0
    [alert] = alerts(timeline(FALLING, grad_norm=norms))
    assert (alert.kind, alert.step) == ("exploding gradient", 71)
    assert "clipped" not in alert.text, "whether the norm exceeds the maximum depends on the run's settings"


def test_zero_learning_rate_before_the_end_is_alerted(timeline):
    rates = [1e-3] * 60 + [0.0] * 40
    assert kinds(timeline(FALLING, learning_rate=rates), total=200) == {"learning rate 0": 61}
    assert kinds(timeline(FALLING, learning_rate=[0.0, *[1e-3] * 98, 0.0]), total=100) == {}, "warm-up and last step"


def test_alerts_are_unique_and_sorted_by_step(timeline):
    rates = [1e-3] * 50 + [0.0] * 50
    made = timeline([*FALLING[:80], *["inf"] * 20], learning_rate=rates)
    assert [alert.kind for alert in alerts(made, 200)] == ["learning rate 0", "not a number"]


def test_loss_of_classifier_near_zero_may_jump_but_not_climb_back(timeline):
    learned = [max(0.02, 0.7 - i / 40) for i in range(60)]
    jumps = [*learned, 0.4, 0.5, 0.02, 0.02]
    made = timeline(jumps)
    assert list(kinds(made)) == ["climbing loss"], "of tokens, it would be one"
    made.take(events.EvalEvent(step=60, loss=0.1, accuracy=0.9, macro_f1=0.9))
    assert kinds(made) == {}
    lost = timeline([*learned, *[0.7] * 30])
    lost.take(events.EvalEvent(step=60, loss=0.1, accuracy=0.9, macro_f1=0.9))
    assert list(kinds(lost)) == ["climbing loss"]
