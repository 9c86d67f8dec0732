"""Evaluations and votes that compare an adapter with its base model, as a card states them."""

from collections.abc import Iterator
from dataclasses import dataclass

from core.chat import votes
from core.chat.turns import BASE
from core.chat.votes import Tally
from core.errors import StudioError
from core.evaluate import scores
from core.evaluate.config import parse_lane
from core.evaluate.guard import describe_cost, read_ability
from core.evaluate.metrics import Metric
from core.evaluate.prompts import describe
from core.evaluate.statistics.paired import PairedDifference
from core.evaluate.store import Evaluation, EvaluationStore
from core.evaluate.verdict import Verdict, judge
from core.evaluate.verdict_text import describe_size, format_change
from core.runs.store import Run
from core.settings import Settings
from core.system.counting import counted
from core.system.markdown import plain, table


@dataclass(frozen=True)
class Comparison:
    """The newest evaluation of an adapter beside its base model.

    Attributes:
        evaluation: Its id.
        prompts: Source of the prompts, in words.
        settings: Settings of the generation, in words.
        verdict: The adapter judged against the base.
        ability: Sentence of the forgetting guard; "" without it.
    """

    evaluation: str
    prompts: str
    settings: str
    verdict: Verdict
    ability: str

    @property
    def metrics(self) -> Iterator[tuple[Metric, PairedDifference]]:
        """Return each metric that has values of both models, with its difference."""
        return ((metric, found) for metric, found in self.verdict.overall if found.rows)


def find_comparison(settings: Settings, run: Run, adapter: str) -> Comparison | None:
    """Return the newest finished evaluation in which an adapter and its base answered the same prompts.

    An evaluation whose scores were made by other versions of the metrics is left out until Evaluate makes them again.
    """
    for evaluation in EvaluationStore(settings).all():
        if (lanes := _lanes(evaluation, run, adapter)) and (found := scores.find(evaluation)):
            first, second = lanes
            verdict, ability = judge(found, first, second), read_ability(evaluation)
            cost = describe_cost(ability, first, second, (verdict.gain or 0) > 0) if ability else ""
            config = evaluation.config()
            return Comparison(
                evaluation.id, describe(config, run.title), config.describe_settings(), verdict, cost
            )  # fmt: skip
    return None


def _lanes(evaluation: Evaluation, run: Run, adapter: str) -> tuple[int, int] | None:
    """Return the numbers of the lanes of the base and of an adapter; None if an evaluation lacks one of them."""
    if evaluation.saved_state().status != "finished":
        return None
    try:
        lanes = evaluation.config().lanes
    except StudioError:
        # The page of Evaluate names a damaged evaluation; it compares nothing.
        return None
    tuned = next((number for number, lane in enumerate(lanes) if parse_lane(lane) == (run.id, adapter)), None)
    return (lanes.index(BASE), tuned) if tuned is not None and BASE in lanes else None


def describe_comparison(found: Comparison) -> list[str]:
    """Return the verdict and the table of a comparison as lines of Markdown."""
    rows = []
    for metric, difference in found.metrics:
        low, high = difference.low, difference.high
        has_interval = low == low and high == high
        interval = f"{format_change(metric, low)} to {format_change(metric, high)}" if has_interval else "–"
        change = format_change(metric, difference.difference)
        before, after = metric.format(difference.first_mean), metric.format(difference.second_mean)
        rows.append([plain(metric.title), before, after, change, interval, describe_size(difference)])
    lines = [
        f"Evaluation {plain(found.evaluation)} on {plain(found.prompts)} ({plain(found.settings)}).", "",
        plain(found.verdict.sentence),
    ]  # fmt: skip
    if rows:
        lines += ["", *table(["Metric", "Base", "Tuned", "Difference", "95 % interval", "Rows"], rows)]
    return [*lines, "", plain(found.ability)] if found.ability else lines


def count_blind_votes(settings: Settings, run: Run, adapter: str) -> Tally | None:
    """Return the result of the blind votes between an adapter and its base model; None if there is none."""
    own = f"{run.id}/{adapter}"
    cast = [
        vote
        for path in sorted((settings.home / "votes").glob("*.jsonl"))
        for vote in votes.read(path)
        if vote.blind and {votes.contender_name(answer) for answer in vote.answers} == {own, BASE}
    ]
    return next(iter(votes.tally(cast)), None)


def describe_votes(found: Tally) -> str:
    """Return the result of blind votes as a sentence."""
    decided = found.wins + found.losses
    rest = f"{counted(found.ties, 'tie')}, and {counted(found.both_bad, 'vote')} for neither"
    if not decided:
        return f"Blind votes in the chat: none with a winner; {rest}."
    return (
        f"Blind votes in the chat: this model was preferred to its base in {found.wins:,} of "
        f"{counted(decided, 'vote')} with a winner ({found.share:.0%}, 95 % interval {found.low:.0%} to "
        f"{found.high:.0%}); {rest}."
    )
