"""What a run's curves warn of, each once, at the step where it began."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from core.runs.metrics_series import HELD_OUT, Timeline

Kind = Literal["not a number", "climbing loss", "held-out loss turned", "exploding gradient", "learning rate 0"]

_SETTLED = 20  # steps before a loss or a gradient has a usual size
_CLIMBED = 1.25  # the smoothed loss against its least
_TURNED = 1.02  # a held-out loss against its least, twice in a row
_EXPLODED = 20  # a gradient's norm against the median of the fifty before it


@dataclass(frozen=True)
class Alert:
    kind: Kind
    step: int
    text: str


def alerts(timeline: Timeline, total: int = 0) -> list[Alert]:
    """The warnings so far, the earliest first.

    Args:
        total: steps of the whole run; after the last one a learning rate of 0 is as it should be.
    """
    found = [
        _not_a_number(timeline),
        _climbing(timeline),
        _turned(timeline),
        _exploding(timeline),
        _no_rate(timeline, total),
    ]
    return sorted((alert for alert in found if alert), key=lambda alert: alert.step)


def _first(flags: pd.Series) -> int | None:
    return int(flags.idxmax()) if flags.any() else None


def _series(timeline: Timeline, measure: str) -> pd.Series:
    steps, values = timeline.values(measure)
    return pd.Series(values, index=steps)


def _not_a_number(timeline: Timeline) -> Alert | None:
    steps = timeline.not_numbers()
    if not steps:
        return None
    text = f"The loss is no number since step {steps[0]}. Lower the learning rate, or compute in bfloat16 or float32."
    return Alert("not a number", steps[0], text)


def _climbing(timeline: Timeline) -> Alert | None:
    loss = _series(timeline, "loss")
    if len(loss) <= _SETTLED:
        return None
    smooth = loss.ewm(halflife=8).mean()
    step = _first((smooth > _CLIMBED * smooth.cummin()) & (pd.RangeIndex(len(loss)) >= _SETTLED))
    if step is None:
        return None
    return Alert("climbing loss", step, f"The loss climbs since about step {step}. A lower learning rate may help.")


def _turned(timeline: Timeline) -> Alert | None:
    loss = _series(timeline, HELD_OUT)
    worse = loss > _TURNED * loss.cummin()
    step = _first(worse & worse.shift(1, fill_value=False))
    if step is None:
        return None
    best = int(loss.loc[:step].idxmin())
    return Alert(
        "held-out loss turned", step,
        f"The held-out loss rises since step {best}: the model begins to learn the rows by heart. Stop, or take the "
        f"checkpoint nearest to step {best}.",
    )  # fmt: skip


def _exploding(timeline: Timeline) -> Alert | None:
    norm = _series(timeline, "grad_norm")
    usual = norm.rolling(50, min_periods=_SETTLED).median().shift(1)
    step = _first(norm > _EXPLODED * usual)
    if step is None:
        return None
    return Alert(
        "exploding gradient", step,
        f"The gradient at step {step} was {norm[step] / usual[step]:.0f} times its usual size. It was cut to the "
        "maximum norm; look at the rows of that step.",
    )  # fmt: skip


def _no_rate(timeline: Timeline, total: int) -> Alert | None:
    rate = _series(timeline, "learning_rate")
    if len(rate):
        rate = rate[(rate.index > rate.index[0]) & ((rate.index < total - 1) | (total == 0))]
    step = _first(rate == 0)
    if step is None:
        return None
    return Alert("learning rate 0", step, f"The learning rate is 0 since step {step}: nothing is learned any more.")
