"""Power before an evaluation: the difference that a number of rows can detect, and the assumptions behind it.

How much the differences of rows vary is not known before there are answers. The newest evaluation of this home with
enough rows gives the best estimate; without one, a default is assumed, which is stated with the result.
"""

from dataclasses import dataclass

from core.errors import StudioError
from core.evaluate import prompts, scores
from core.evaluate.lineage import usual_lanes
from core.evaluate.metrics import METRICS, Metric
from core.evaluate.statistics.paired import MIN_CLUSTERS
from core.evaluate.statistics.power import LEVEL, POWER, PairedSpread, detectable_difference, spread_of
from core.evaluate.store import EvaluationStore
from core.evaluate.verdict import NOT_JUDGED
from core.evaluate.verdict_text import format_change, title_in_sentence
from core.system.counting import counted

# Planned for if no metric is named: the loss, a similarity, and right/wrong.
USUAL_METRICS = ("loss", "word_f1", "exact_match")
# Larger numbers of rows that are shown beside the planned one.
_MORE_ROWS = (100, 300, 1000, 3000)
_SHOWN_MORE = 2
# Assumed until an evaluation has measured them: round numbers, on the cautious side for a model and its adapter.
_DEVIATIONS = {"share": 0.25, "score": 20.0, "nats": 0.4, "count": 60.0, "ratio": 0.5}
_DISCORDANCE = 0.2


@dataclass(frozen=True)
class Assumption:
    """Assumed variation of the paired differences of a metric.

    Attributes:
        spread: The variation.
        source: Where it comes from, as a sentence without its full stop.
    """

    spread: PairedSpread
    source: str


def assume(store: EvaluationStore, metric: Metric) -> Assumption:
    """Return the spread of a metric in the newest evaluation with `MIN_CLUSTERS` conversations, or a default."""
    for evaluation in store.all():
        try:
            found, lanes = scores.find(evaluation), usual_lanes(evaluation.config().lanes, store.runs)
        except (StudioError, OSError, ValueError):
            # A damaged evaluation says nothing about the spread; the list of evaluations shows the damage.
            continue
        if found is None or lanes is None or metric.name not in (known.name for known in found.metrics):
            continue
        pair = found.pair(metric.name, *lanes)
        spread = spread_of(pair)
        if spread and len(set(pair.clusters[pair.has_both].tolist())) >= MIN_CLUSTERS:
            source = f"{prompts.describe(evaluation.config())}, {counted(int(pair.has_both.sum()), 'row')}"
            measured = f"Measured in {evaluation.id} ({source}); other prompts can vary more or less"
            return Assumption(spread, f"{measured}: {_describe(metric, spread)}")
    if metric.is_binary:
        # If the models differ in a share d of the rows, the differences deviate by at most sqrt(d).
        spread = PairedSpread(_DISCORDANCE**0.5, _DISCORDANCE)
    else:
        spread = PairedSpread(_DEVIATIONS[metric.scale])
    return Assumption(spread, f"Assumed, as it has not been measured here yet: {_describe(metric, spread)}")


def _describe(metric: Metric, spread: PairedSpread) -> str:
    """Return the spread in words."""
    if spread.discordance is not None:
        text = f"the models differ in {spread.discordance:.1%} of the rows"
    else:
        text = (
            f"the difference of a row has a standard deviation of {format_change(metric, spread.deviation).lstrip('+')}"
        )
    if spread.design_effect > 1.05:
        text += f", and {spread.design_effect:.1f} rows in conversations count like one alone"
    return text


def describe_power(metric: Metric, rows: int, assumption: Assumption) -> str:
    """Return which difference some rows can detect, what more rows can, and the assumption, as sentences."""
    title = title_in_sentence(metric)
    smallest = detectable_difference(rows, assumption.spread)
    if smallest is None:
        text = f"With {counted(rows, 'row')}, no difference in {title} can be detected reliably"
    else:
        change = format_change(metric, smallest).lstrip("+")
        text = f"With {counted(rows, 'row')}, a difference in {title} of {change} or more can be detected"
    more = []
    for number in [larger for larger in _MORE_ROWS if larger > rows][:_SHOWN_MORE]:
        if found := detectable_difference(number, assumption.spread):
            more.append(f"with {number:,}, {format_change(metric, found).lstrip('+')}")
    return f"{'; '.join([text, *more])} ({POWER:.0%} power at the {LEVEL:.0%} level). {assumption.source}."


def find_metric(name: str) -> Metric:
    """Return a metric by its name.

    Raises:
        StudioError: There is no metric of that name, or none that a verdict can be based on.
    """
    names = [known for known in METRICS if known not in NOT_JUDGED]
    if name not in names:
        raise StudioError(f"There is no metric {name!r} to plan for. Choose one of: {', '.join(names)}.")
    return METRICS[name]
