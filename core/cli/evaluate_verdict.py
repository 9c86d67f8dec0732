"""The commands `python -m core evaluate verdict` and `power`: did tuning help, and how many rows can tell."""

import json

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import CliPositionalArg

from core.cli.evaluate_tables import print_ability, print_classes, tables_as_json
from core.cli.one_evaluation import OneEvaluation, choose, open_store
from core.cli.reading import print_progress, printable
from core.errors import StudioError
from core.evaluate import planning, scoring
from core.evaluate.classification.scoring import read_classification
from core.evaluate.config import MAX_PROMPTS
from core.evaluate.guard import advise, describe_cost, read_ability
from core.evaluate.verdict import AUTO, Verdict, judge
from core.evaluate.verdict_text import describe_beside

_SHOWN_PROMPTS = 10


class EvaluateVerdict(OneEvaluation):
    """Say whether one model is better than another, with the interval, all metrics, groups and flips."""

    model_config = ConfigDict(populate_by_name=True)

    metric: str = Field(
        AUTO, description="The metric that decides; 'auto' takes the first of the task's that has a value."
    )
    by: str = Field("", description="Show all groups of this grouping, such as 'language'.")
    reference: str = Field(
        "",
        description="The model to compare with, as in --lanes. Empty: the judged run's parent, base, or the first.",
    )
    judged: str = Field("", description="The model that is judged, as in --lanes. Empty: the last.")
    as_json: bool = Field(
        False, alias="json", description="Print everything as JSON, with the prompts of each group and flip."
    )

    def cli_cmd(self) -> None:
        """Print the verdict."""
        store, evaluation = self.find()
        lanes = evaluation.config().lanes
        first, second = choose(lanes, store.runs, "A verdict", self.reference, self.judged)
        found = scoring.load(evaluation, print_progress)
        verdict = judge(found, first, second, self.metric)
        ability, labels = read_ability(evaluation), read_classification(evaluation, found.prompts)
        groupings = list(dict.fromkeys(group.grouping for group in verdict.groups))
        if self.by and self.by not in groupings:
            raise StudioError(f"There is no grouping {self.by!r}. Choose one of: {', '.join(groupings) or 'none'}.")
        if self.as_json:
            shown = verdict.as_json() | tables_as_json(ability, labels, len(lanes))
            shown["groups"] = [group for group in shown["groups"] if self.by in ("", group["grouping"])]
            print(json.dumps(shown, ensure_ascii=False, indent=2, allow_nan=False))
            return
        _print_verdict(verdict)
        _print_groups(verdict, self.by, groupings)
        for note in verdict.notes:
            print(printable(note))
        titles = evaluation.lane_titles(store.runs)
        if labels:
            print_classes(labels, titles)
        if ability:
            gains = [judge(found, first, lane, self.metric).gain if lane != first else None
                     for lane in range(len(lanes))]  # fmt: skip
            cost = describe_cost(ability, first, second, (gains[second] or 0) > 0)
            print_ability(ability, [cost, advise(ability, lanes, titles, gains, first, second)], first, second)


def _print_verdict(verdict: Verdict) -> None:
    """Print the sentence, why its metric decides, the other metrics and the flips."""
    print(printable(verdict.sentence))
    if not verdict.primary:
        return
    print(f"Decided by {verdict.primary.name}: {verdict.why}")
    others = [(metric, found) for metric, found in verdict.overall if metric != verdict.primary]
    if others:
        print("\nOther metrics, which decide nothing and are not corrected for their number:")
    for metric, found in others:
        print(f"  {metric.name}: {describe_beside(metric, found)}")
    flips = verdict.flips
    if flips:
        print(f"\nGot better: {_list_prompts(flips.improved, flips.improved_count)}")
        print(f"Got worse: {_list_prompts(flips.worsened, flips.worsened_count)}")


def _list_prompts(prompts: list[int], count: int) -> str:
    """Return a number of rows with the first of their prompts."""
    if not count:
        return "no row"
    listed = ", ".join(map(str, prompts[:_SHOWN_PROMPTS]))
    more = ", …" * (count > _SHOWN_PROMPTS)
    return f"{count:,} row{'s' * (count != 1)} (prompt{'s' * (count != 1)} {listed}{more})"


def _print_groups(verdict: Verdict, by: str, groupings: list[str]) -> None:
    """Print all groups of a grouping, or the groups of all of them that are better or worse."""
    if by:
        chosen, title = [group for group in verdict.groups if group.grouping == by], f"By {by}:"
    else:
        chosen = [group for group in verdict.groups if group.outcome in ("better", "worse")]
        title = f"Groups that are better or worse (--by shows all of: {', '.join(groupings)}):"
    if groupings:
        print(printable(f"\n{title}"))
        for group in chosen:
            print(printable(f"  {group.grouping} {group.label!r}: {group.sentence}"))
        if not chosen:
            print("  none")
        print()


class EvaluatePower(BaseModel):
    """Say which difference a number of rows can detect, before there are answers."""

    rows: CliPositionalArg[int] = Field(ge=1, le=MAX_PROMPTS, description="Number of rows of the evaluation.")
    metric: str = Field("", description="The metric. Empty: the loss, word F1 and exact match.")

    def cli_cmd(self) -> None:
        """Print one paragraph per metric."""
        store = open_store()
        for name in [self.metric] if self.metric else planning.USUAL_METRICS:
            metric = planning.find_metric(name)
            print(planning.describe_power(metric, self.rows, planning.assume(store, metric)))
