"""Verdict of the selected evaluation: which models are compared, by which metric, and where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from components.conversation import empty_html
from core.chat.turns import BASE
from core.errors import StudioError
from core.evaluate import scores as scores_file
from core.evaluate import verdict as verdict_of
from core.evaluate.classification.scoring import read_classification
from core.evaluate.config import parse_lane
from core.evaluate.guard import Ability, describe_cost, read_ability
from core.evaluate.lineage import usual_lanes
from core.evaluate.scores import Scores
from core.evaluate.store import Evaluation, EvaluationStore
from core.evaluate.verdict import AUTO, Verdict
from core.evaluate.verdict_text import format_change
from core.system.files import modified_ns
from studio.evaluate.ability_html import StepPoint, ability_html, classification_html, over_steps_html
from studio.evaluate.row_selection import SelectedRows, Selection, select_rows
from studio.evaluate.verdict_html import differences_html, explanations_html, groups_html, verdict_html
from studio.event_values import parse_index

# Number of verdicts that are kept; one takes a second for a thousand prompts.
_MAX_CACHED = 20
_NOT_YET = "The verdict appears here when all prompts are answered and scored."
# Statuses of evaluations whose remaining prompts are still to be answered.
_GOES_ON = ("preparing", "running", "pausing", "paused")
_ENDED_EARLY = "There is no verdict: the evaluation ended before all prompts were answered."
_NOT_SCORED = "This evaluation was made by another version of the studio, so its verdict must be computed once."
_ONE_MODEL = "One model alone gives no verdict. Choose a second one under Models to compare them on the same prompts."
# Choices of a page: the arguments of `VerdictView.compare`.
NAMES = ("first", "second", "metric", "grouping")


@dataclass(frozen=True)
class Comparison:
    """Two lanes, the metric that compares them, and the groups of prompts.

    Attributes:
        first: Number of the reference lane.
        second: Number of the judged lane.
        metric: Name of the primary metric, or "auto".
        grouping: What the prompts are grouped by; "" for nothing.
    """

    first: int
    second: int
    metric: str = AUTO
    grouping: str = ""


class VerdictView:
    """Verdicts of evaluations, as the page shows them."""

    def __init__(self, store: EvaluationStore):
        self.store = store
        self._verdicts: dict[tuple, Verdict] = {}

    def read(self, evaluation: Evaluation, compared: Comparison) -> tuple[Scores, Verdict] | None:
        """Return the scores of an evaluation and its verdict; None if it is not scored yet.

        Raises:
            StudioError: The lanes or the metric do not exist.
        """
        found = scores_file.find(evaluation)
        if found is None:
            return None
        key = (
            evaluation.id,
            modified_ns(evaluation.folder / scores_file.FILE),
            compared.first,
            compared.second,
            compared.metric,
        )
        verdict = self._verdicts.get(key)
        if verdict is None:
            while len(self._verdicts) >= _MAX_CACHED:
                # Another page may empty the cache at the same time, hence the default.
                self._verdicts.pop(next(iter(self._verdicts)), None)
            verdict = verdict_of.judge(found, compared.first, compared.second, compared.metric)
            self._verdicts[key] = verdict
        return found, verdict

    def compare(self, evaluation: Evaluation, first: Any, second: Any, metric: Any, grouping: Any) -> Comparison:
        """Return what to compare: the page's choice as far as the evaluation has it, else its defaults.

        Args:
            evaluation: The evaluation.
            first: Number of the reference lane; None for the judged run's parent, the base, or the first lane.
            second: Number of the judged lane; None for the last lane.
            metric: Name of the primary metric; None for the one that suits the prompts.
            grouping: What the prompts are grouped by.
        """
        lanes = evaluation.config().lanes
        usual = usual_lanes(lanes, self.store.runs) or (0, 0)
        one, other = (
            index if (index := parse_index(value)) is not None and index < len(lanes) else default
            for value, default in zip((first, second), usual, strict=True)
        )
        if one == other:
            other = next((lane for lane in range(len(lanes)) if lane != one), one)
        return Comparison(one, other, str(metric or AUTO), str(grouping or ""))

    def show(self, evaluation: Evaluation, titles: Sequence[str], compared: Comparison) -> dict[str, Any]:
        """Return the verdict, the tables of metrics and groups, and the choices of what to compare."""
        if len(titles) < 2:
            return hidden(empty_html(_ONE_MODEL))
        try:
            read = self.read(evaluation, compared)
        except StudioError:
            # The metric was chosen for another evaluation.
            compared = Comparison(compared.first, compared.second)
            read = self.read(evaluation, compared)
        if read is None:
            # Evaluations of earlier versions have answers without scores, or with scores that were computed otherwise.
            status = evaluation.state().status
            is_finished = status == "finished"
            text = _NOT_SCORED if is_finished else _NOT_YET if status in _GOES_ON else _ENDED_EARLY
            return {**hidden(empty_html(text)), "score": gr.update(visible=is_finished)}
        found, verdict = read
        first, second = titles[compared.first], titles[compared.second]
        groupings = list(dict.fromkeys(group.grouping for group in verdict.groups))
        grouping = compared.grouping if compared.grouping in groupings else next(iter(groupings), "")
        groups = [group for group in verdict.groups if group.grouping == grouping]
        lanes = [(title, str(lane)) for lane, title in enumerate(titles)]
        metrics = [("Automatic", AUTO), *((metric.title, metric.name) for metric in found.metrics)]
        ability = read_ability(evaluation)
        return {
            "score": gr.update(visible=False),
            "verdict": verdict_html(verdict, first, second, _cost(ability, compared, verdict)),
            "differences": differences_html(verdict, first, second),
            "explanations": explanations_html(found.metrics, found.notes),
            "ability": self._ability(evaluation, ability, titles, compared, found),
            "classes": self._classes(evaluation, titles, found),
            "groups": groups_html(verdict.primary, groups, first, second) if groups else "",
            "first": gr.update(choices=lanes, value=str(compared.first), visible=True),
            "second": gr.update(choices=lanes, value=str(compared.second), visible=True),
            "metric": gr.update(choices=metrics, value=compared.metric, visible=True),
            "grouping": gr.update(choices=groupings, value=grouping or None, visible=bool(groups)),
        }

    def _ability(
        self, evaluation: Evaluation, ability: Ability | None, titles: Sequence[str], compared: Comparison,
        found: Scores,
    ) -> str:  # fmt: skip
        """Return what the probes say; empty if they were not asked."""
        if ability is None:
            return ""
        lanes = evaluation.config().lanes
        gains = [self._gain(evaluation, compared, lane) for lane in range(len(lanes))]
        html = ability_html(ability, titles, lanes, compared.first, compared.second, gains)
        metric = self.read(evaluation, compared)[1].primary
        ordered = _by_steps(lanes, compared.first)
        if metric is None or len(ordered) < 3:
            return html
        points = [
            StepPoint(_step_title(lanes[lane]), found.summary(metric.name, lane), ability.share(lane))
            for lane in ordered
        ]
        return html + over_steps_html(metric, points)

    def _gain(self, evaluation: Evaluation, compared: Comparison, lane: int) -> float | None:
        """Return how much better a lane is than the reference lane by the primary metric.

        None if it is not known, or if neither direction of the metric is better.
        """
        if lane == compared.first:
            return None
        return self.read(evaluation, Comparison(compared.first, lane, compared.metric))[1].gain

    def _classes(self, evaluation: Evaluation, titles: Sequence[str], found: Scores) -> str:
        """Return the tables of a classification; empty if the references are no labels."""
        if not any(metric.needs == "label" for metric in found.metrics):
            return ""
        labels = read_classification(evaluation, found.prompts)
        return classification_html(labels, titles) if labels else ""

    def select(self, evaluation: Evaluation, selection: Selection, finished: list[int]) -> SelectedRows | None:
        """Return the rows of a selection; None if the evaluation is not scored."""
        found = scores_file.find(evaluation)
        return found and select_rows(found, selection, finished, format_change)

    def selection(self, evaluation: Evaluation, compared: Comparison) -> Selection:
        """Return the selection of all rows with the change of the primary metric; without a verdict, of all rows."""
        read = self.read(evaluation, compared) if len(evaluation.config().lanes) > 1 else None
        primary = read[1].primary if read else None
        return Selection(compared.first, compared.second, primary.name if primary else "")


def _cost(ability: Ability | None, compared: Comparison, verdict: Verdict) -> str:
    """Return that general ability fell, as a sentence; empty if it did not, or if it is not known."""
    if ability is None or ability.compare(compared.first, compared.second).direction >= 0:
        return ""
    return describe_cost(ability, compared.first, compared.second, (verdict.gain or 0) > 0)


def _step_title(lane: str) -> str:
    """Return the title of a lane in a plot of one run's adapters: base, step 64 or final."""
    return parse_lane(lane)[1] or BASE


def _by_steps(lanes: list[str], first: int) -> list[int]:
    """Return the reference lane and the adapters of the run that has most of the others, by their steps."""
    adapters = {lane: parse_lane(name) for lane, name in enumerate(lanes) if lane != first and name != BASE}
    runs = [run for run, _ in adapters.values()]
    run = max(runs, key=runs.count, default="")

    def step(lane: int) -> float:
        number = adapters[lane][1].rpartition(" ")[2]
        # The final adapter is the last one.
        return int(number) if number.isdigit() else float("inf")

    return [first, *sorted((lane for lane, (of, _) in adapters.items() if of == run), key=step)]


def hidden(text: str) -> dict[str, Any]:
    """Return updates that show a sentence in place of a verdict."""
    cleared = {name: "" for name in ("differences", "explanations", "ability", "classes", "groups")}
    return {"verdict": text, **cleared, **{name: gr.update(visible=False) for name in (*NAMES, "score")}}
