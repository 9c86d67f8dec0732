"""Warnings computed from a run's metrics, each reported once, for the first step that shows it.

The thresholds are heuristics: they are chosen to stay silent on ordinary runs, not to detect every problem.
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from core.runs.metrics_series import CLASSIFIER_METRICS, HELD_OUT_LOSS, Timeline
from core.system.counting import counted

Kind = Literal["not a number", "climbing loss", "held-out loss rising", "exploding gradient", "learning rate 0"]

# Steps before the loss and the gradient norm have settled enough to be judged.
_SETTLING_STEPS = 20
# Smoothed loss divided by its minimum so far.
_CLIMB_RATIO = 1.25
# Share of its start above which the loss of a classifier is judged: near 0, one wrong label multiplies it.
_CLASSIFIER_SHARE = 0.5
# Held-out loss divided by its minimum so far, at two evaluation passes in a row.
_TURN_RATIO = 1.02
# Gradient norm divided by the median of the fifty steps before.
_EXPLOSION_RATIO = 20


@dataclass(frozen=True)
class Alert:
    """A warning with the first step that shows its cause. A loss that rises began to do so before that step."""

    kind: Kind
    step: int
    text: str


def alerts(timeline: Timeline, total: int = 0) -> list[Alert]:
    """Return the warnings so far, the earliest first.

    Args:
        timeline: The metrics of the run.
        total: Steps of the whole run; at the last step a learning rate of 0 is normal. 0 if unknown.
    """
    found = [
        _not_a_number(timeline),
        _climbing(timeline),
        _held_out_rising(timeline),
        _exploding(timeline),
        _no_rate(timeline, total),
    ]
    return sorted((alert for alert in found if alert), key=lambda alert: alert.step)


def _first(flags: pd.Series) -> int | None:
    return int(flags.idxmax()) if flags.any() else None


def _series(timeline: Timeline, metric: str) -> pd.Series:
    steps, values = timeline.values(metric)
    return pd.Series(values, index=steps)


def _not_a_number(timeline: Timeline) -> Alert | None:
    steps = timeline.not_numbers()
    if not steps:
        return None
    numbers, _ = timeline.values("loss")
    when = f"has not been a number since step {steps[0]}"
    if (numbers > steps[0]).any():
        others = f" and at {counted(len(steps) - 1, 'later step')}" if len(steps) > 1 else ""
        when = f"was not a number at step {steps[0]}{others}"
    return Alert(
        "not a number", steps[0], f"The loss {when}. Lower the learning rate, or compute in bfloat16 or float32."
    )


def _climbing(timeline: Timeline) -> Alert | None:
    loss = _series(timeline, "loss")
    if len(loss) <= _SETTLING_STEPS:
        return None
    # An exponential mean, because the loss of one step depends mostly on its rows.
    smooth = loss.ewm(halflife=8).mean()
    high = (smooth > _CLIMB_RATIO * smooth.cummin()) & (pd.RangeIndex(len(loss)) >= _SETTLING_STEPS)
    if any(len(timeline.values(metric)[0]) for metric in CLASSIFIER_METRICS):
        high &= smooth > _CLASSIFIER_SHARE * smooth.iloc[0]
    step = _first(high)
    if step is None:
        return None
    begin = int(smooth.loc[:step].idxmin())
    when = f"has been rising since about step {begin}"
    if not high.iloc[-1]:
        when = f"rose from about step {begin}, and fell again later"
    return Alert("climbing loss", step, f"The loss {when}. A lower learning rate may help.")


def _held_out_rising(timeline: Timeline) -> Alert | None:
    loss = _series(timeline, HELD_OUT_LOSS)
    worse = loss > _TURN_RATIO * loss.cummin()
    step = _first(worse & worse.shift(1, fill_value=False))
    if step is None:
        return None
    best = int(loss.loc[:step].idxmin())
    if not worse.iloc[-1]:
        return Alert("held-out loss rising", step, f"The held-out loss rose from step {best}, and fell again later.")
    return Alert(
        "held-out loss rising", step,
        f"The held-out loss has been rising since step {best}: the model is overfitting. Stop the run, or use the "
        f"checkpoint nearest to step {best}.",
    )  # fmt: skip


def _exploding(timeline: Timeline) -> Alert | None:
    norm = _series(timeline, "grad_norm")
    # Shifted by one, so that a step is compared with the steps before it only.
    usual = norm.rolling(50, min_periods=_SETTLING_STEPS).median().shift(1)
    step = _first(norm > _EXPLOSION_RATIO * usual)
    if step is None:
        return None
    return Alert(
        "exploding gradient", step,
        f"The gradient at step {step} was {norm[step] / usual[step]:.0f} times its usual norm. Check the rows "
        "of that step.",
    )  # fmt: skip


def _no_rate(timeline: Timeline, total: int) -> Alert | None:
    rate = _series(timeline, "learning_rate")
    if len(rate):
        # The first step of a warm-up and the last step of most schedules have a learning rate of 0.
        rate = rate[(rate.index > rate.index[0]) & ((rate.index < total - 1) | (total == 0))]
    step = _first(rate == 0)
    if step is None:
        return None
    when = f"has been 0 since step {step}, so the run no longer trains"
    if (rate.loc[step:] != 0).any():
        when = f"was 0 at step {step}, so nothing was trained there"
    return Alert("learning rate 0", step, f"The learning rate {when}. Check Schedule and Steps.")
