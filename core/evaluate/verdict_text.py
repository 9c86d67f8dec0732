"""Sentences of a verdict: plain, with the unit of every number, and with as many digits as the interval supports."""

import math

from core.evaluate.metrics import Metric
from core.evaluate.statistics.paired import MIN_CLUSTERS, MIN_DIFFERING_CLUSTERS, PairedDifference
from core.evaluate.statistics.power import MAX_ROWS, POWER

_HEADS = {"better": "Better", "worse": "Worse", "unclear": "Unclear"}
_DECIMALS = {"share": 1, "score": 1, "nats": 3, "count": 1, "ratio": 2}
_MAX_DECIMALS = 8


def title_in_sentence(metric: Metric) -> str:
    """Return the title of a metric as it is written inside a sentence: "word F1", "BLEU"."""
    return metric.title if metric.title[1:2].isupper() else metric.title[0].lower() + metric.title[1:]


def format_change(metric: Metric, value: float, decimals: int | None = None) -> str:
    """Return a difference with its sign and unit, such as "+4.5 points" for a share.

    Args:
        metric: The metric.
        value: The difference.
        decimals: Number of decimals; None for the metric's usual number.
    """
    unit = " points" if metric.scale == "share" else ""
    return _number(metric, value, _DECIMALS[metric.scale] if decimals is None else decimals, "+") + unit


def _number(metric: Metric, value: float, decimals: int, sign: str = "") -> str:
    text = f"{value * (100 if metric.scale == 'share' else 1):{sign},.{decimals}f}"
    # A rounded value is not negative zero.
    is_zero = not text.strip("+-0.,")
    return text.replace("-", "" if is_zero else "−")


def _decimals(metric: Metric, found: PairedDifference) -> int:
    """Return the number of decimals: two digits of the interval's width, and no end that excludes 0 is rounded to 0."""
    unit, usual = 100 if metric.scale == "share" else 1, _DECIMALS[metric.scale]
    sizes = [abs(value) * unit for value in (found.low, found.high) if value and math.isfinite(value)]
    if math.isfinite(found.error) and found.high > found.low:
        sizes.append((found.high - found.low) * unit / 10)
    else:
        sizes += [abs(found.difference) * unit] if found.difference and math.isfinite(found.difference) else []
    return min(max([usual, *(math.ceil(-math.log10(size)) for size in sizes)]), _MAX_DECIMALS)


def describe_size(found: PairedDifference) -> str:
    """Return the number of rows, and of conversations if they differ."""
    rows = f"{found.rows:,} row{'s' * (found.rows != 1)}"
    if found.clusters == found.rows:
        return rows
    return f"{rows} of {found.clusters:,} conversation{'s' * (found.clusters != 1)}"


def describe_change(metric: Metric, found: PairedDifference) -> str:
    """Return the change of a metric with its interval: "word F1 rose from 31.0% to 36.2% (+5.2 points, …)"."""
    decimals = _decimals(metric, found)
    unit = "%" if metric.scale == "share" else ""
    first, second = (f"{_number(metric, value, decimals)}{unit}" for value in (found.first_mean, found.second_mean))
    verb = "rose" if found.difference > 0 else "fell"
    text = f"{title_in_sentence(metric)} "
    text += f"{verb} from {first} to {second}" if found.difference else f"stayed at {first}"
    details = [format_change(metric, found.difference, decimals)] if found.difference else []
    if found.problem == "constant":
        details[0] += " in every conversation" if found.clusters < found.rows else " in every row"
    elif not math.isnan(found.low):
        low = _number(metric, found.low, decimals, "+")
        details.append(f"{found.confidence:.0%} interval {low} to {format_change(metric, found.high, decimals)}")
    return f"{text} ({', '.join(details)}{'; ' * bool(details)}{describe_size(found)})"


def describe_outcome(metric: Metric, found: PairedDifference, outcome: str) -> str:
    """Return the sentence of a comparison, without advice.

    Args:
        metric: The metric.
        found: Its difference.
        outcome: "better", "worse" or "unclear".
    """
    head, title = _HEADS[outcome], title_in_sentence(metric)
    if found.problem == "no rows":
        return f"{head}: no row has a value of {title} for both models."
    if found.problem == "identical":
        return f"{head}: both models have the same {title} in each row ({describe_size(found)})."
    change = describe_change(metric, found)
    if found.problem in ("", "constant"):
        if outcome == "unclear" and metric.better == "neither" and found.direction:
            return f"Changed: {change}. Neither direction is better by itself."
        doubt = ""
        if outcome == "unclear" and (found.low > 0 or found.high < 0) and not found.direction:
            doubt = f" The exact test does not confirm the difference (p = {format_p_value(found.p_value)})."
        return f"{head}: {change}.{doubt}"
    return f"{head}, as {_describe_problem(found)}: {change}."


def describe_beside(metric: Metric, found: PairedDifference) -> str:
    """Return the sentence of a metric that does not decide: its change, or why it is unclear."""
    if found.problem in ("", "constant"):
        return f"{describe_change(metric, found)}."
    return describe_outcome(metric, found, "unclear")


def _describe_problem(found: PairedDifference) -> str:
    """Return why there is no interval, as a part of a sentence."""
    unit = "rows" if found.clusters == found.rows else "conversations"
    if found.problem == "few clusters":
        return f"fewer than {MIN_CLUSTERS} {unit} can be compared"
    if found.problem == "uneven clusters":
        return "a few conversations have most of the rows"
    moved = found.risen + found.fallen
    return f"only {moved:,} row{'s differ' if moved != 1 else ' differs'}, and fewer than {MIN_DIFFERING_CLUSTERS} " \
           f"{unit} can differ by chance"  # fmt: skip


def describe_need(metric: Metric, found: PairedDifference, needed: int | None, detectable: float | None) -> str:
    """Return the advice for an unclear comparison: how many rows would tell, and what these rows can tell.

    Args:
        metric: The metric.
        found: Its difference, with an interval.
        needed: Rows that detect the observed difference with 80 % power; None for more than `MAX_ROWS`.
        detectable: Smallest difference that these rows detect; None if they detect none.
    """
    sentences = []
    if found.difference:
        rows = f"more than {MAX_ROWS:,}" if needed is None else f"about {_round_up(needed):,}"
        if needed is None or needed > found.rows:
            sentences.append(f"To detect a difference of this size, {rows} rows are needed ({POWER:.0%} power).")
    if detectable is not None:
        decimals = _decimals(metric, found)
        change = format_change(metric, detectable, decimals).lstrip("+")
        sentences.append(f"These {found.rows:,} rows detect a difference of {change} or more.")
    return " ".join(sentences)


def _round_up(count: int) -> int:
    """Return a number rounded up to two digits: the spread that it follows from is an estimate."""
    unit = 10 ** max(len(str(count)) - 2, 0)
    return math.ceil(count / unit) * unit


def format_p_value(value: float) -> str:
    """Return a p-value as text; "not tested" for NaN."""
    if math.isnan(value):
        return "not tested"
    return "below 0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"
