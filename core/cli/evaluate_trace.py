"""The command `python -m core evaluate trace`: which spans of the answers stand in the training rows."""

from pydantic import Field

from core.cli.one_evaluation import OneEvaluation, choose
from core.cli.reading import print_progress, printable
from core.evaluate.memorization import tracing
from core.evaluate.memorization.trace_text import describe_copying
from core.system.counting import counted

_SHOWN_CHARACTERS = 200


class EvaluateTrace(OneEvaluation):
    """Find the spans of the answers that stand verbatim in the rows that a run was trained on."""

    reference: str = Field("", description="The model to compare with, as in --lanes. Empty: base, or the first.")
    judged: str = Field("", description="The model whose training rows are searched. Empty: the last.")

    def cli_cmd(self) -> None:
        """Trace the answers unless that was done, and print the comparison and the longest spans."""
        store, evaluation = self.find()
        lanes = evaluation.config().lanes
        first, second = choose(lanes, store.runs, "A trace", self.reference, self.judged)
        run = tracing.traced_run(lanes, first, second)
        found = tracing.find(evaluation, run) or tracing.trace(store.runs, evaluation, run, print_progress)
        titles = evaluation.lane_titles(store.runs)
        print(printable(describe_copying(found, titles, first, second)))
        for note in found.about.notes:
            print(printable(note))
        for span in found.about.longest:
            text = " ".join(span.text.split())[:_SHOWN_CHARACTERS]
            place = f"row {span.row}, prompt {span.prompt}, {titles[span.lane]}"
            print(printable(f"  {counted(span.tokens, 'token')}, {place}: {text}"))
