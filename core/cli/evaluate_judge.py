"""The command `python -m core evaluate judge`: another model compares the answers of two."""

from pydantic import Field

from core.cli.one_evaluation import OneEvaluation, choose
from core.cli.reading import print_progress, printable
from core.evaluate import scores
from core.evaluate.judge.endpoint import KEY_VARIABLE
from core.evaluate.judge.jobs import judge_by_server, judge_here
from core.evaluate.judge.judging import Pair, read_judgments
from core.evaluate.judge.people import blind_votes
from core.evaluate.judge.summary import JudgeSummary, summarize
from core.system.counting import counted


class EvaluateJudge(OneEvaluation):
    """Let a judge compare the answers of two models, each pair in both orders."""

    judge: str = Field(description="The judge: a model of the catalogue, or with --server the name that it knows.")
    server: str = Field(
        "",
        description=f"Address of an OpenAI-compatible server. Its key is read from {KEY_VARIABLE}. Empty: judge here.",
    )

    def cli_cmd(self) -> None:
        """Judge what has no valid judgment yet, and print the counts."""
        store, evaluation = self.find()
        pair = Pair(*choose(evaluation.config().lanes, store.runs, "A judge"), self.judge)
        if self.server:
            judge_by_server(evaluation, pair, self.server, progress=print_progress)
        else:
            judge_here(evaluation, pair, store.settings, print_progress)
        scored = scores.find(evaluation)
        clusters = scored.clusters if scored else None
        found = summarize(read_judgments(evaluation, pair), blind_votes(store, evaluation, pair), clusters)
        titles = evaluation.lane_titles(store.runs)
        print(printable(describe(found, titles[pair.first], titles[pair.second])))


def describe(found: JudgeSummary, first: str, second: str) -> str:
    """Return the counts of a judge as lines.

    Args:
        found: The counts.
        first: Title of the lane that is compared with.
        second: Title of the lane that is judged.
    """
    lines = []
    if found.rows:
        text = f"{second} wins {found.win_rate:.1%} against {first}"
        if found.interval:
            text += f" (95% interval {found.interval[0]:.1%} to {found.interval[1]:.1%})"
        lines.append(
            f"{text}: {found.wins:,} won, {found.losses:,} lost, {found.ties:,} tied of {counted(found.rows, 'row')}."
        )
        lines.append(f"Both orders agree on {found.consistency:.1%} of the rows.")
    if found.first_slot is not None:
        lines.append(f"{found.first_slot:.1%} of the choices fell on the answer that was shown first.")
    if found.errors:
        reasons = "; ".join(f"{reason} ({count:,})" for reason, count in found.reasons[:3])
        lines.append(f"Not counted, without a valid judgment: {counted(found.errors, 'row')}: {reasons}.")
    if found.agreement:
        lines.append(f"The judge agrees with {found.agreement.agreed:,} of {found.agreement.rows:,} blind votes.")
        if best := found.agreement.corrected:
            lines.append(f"Corrected by the votes: {best.mean:.1%} (95% interval {best.low:.1%} to {best.high:.1%}).")
    return "\n".join(lines)
