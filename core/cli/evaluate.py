"""The commands `python -m core evaluate`: start, follow, pause, resume, stop, judge, compare and export evaluations."""

import sys
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliSubCommand

from core.cli.evaluate_board import EvaluateBoard
from core.cli.evaluate_harness import EvaluateHarness
from core.cli.evaluate_judge import EvaluateJudge
from core.cli.evaluate_trace import EvaluateTrace
from core.cli.evaluate_verdict import EvaluatePower, EvaluateVerdict
from core.cli.one_evaluation import OneEvaluation, open_store
from core.cli.reading import print_about, print_progress
from core.errors import StudioError
from core.evaluate import process, prompts, result, scoring
from core.evaluate.config import EvaluationConfig
from core.evaluate.store import ACTIVE, Evaluation, EvaluationStore
from core.runs.progress import duration
from core.system.counting import counted


class EvaluateStart(EvaluationConfig):
    """Answer a set of prompts with one to four lanes: --lanes base --lanes RUN."""

    file: str = Field("", description="A file of prompts: text with one per line, JSON, JSONL, CSV, TSV or Parquet.")
    detach: bool = Field(False, description="Return at once instead of showing the progress.")

    def cli_cmd(self) -> None:
        """Submit the evaluation and follow it."""
        values = self.model_dump(include=set(EvaluationConfig.model_fields))
        path = Path(self.file) if self.file else None
        if path:
            values["file"] = path.name
        store = open_store()
        evaluation = process.submit(store, EvaluationConfig(**values), path)
        print(evaluation.id, flush=True)
        if not self.detach:
            _follow(evaluation)


class EvaluateList(BaseModel):
    """List all evaluations, the newest first."""

    def cli_cmd(self) -> None:
        """Print one line per evaluation."""
        for evaluation in open_store().all():
            state = evaluation.state()
            if state.status == "unreadable":
                print(f"{evaluation.id}  {state.status}  {state.cause}")
                continue
            finished = f"{len(evaluation.answers().finished):,} of {counted(state.prompts, 'prompt')}"
            print(f"{evaluation.id}  {state.status}  {finished}  {state.cause}".rstrip())


class EvaluateShow(OneEvaluation):
    """Show the status, settings and metrics of an evaluation."""

    def cli_cmd(self) -> None:
        """Print the evaluation."""
        store, evaluation = self.find()
        state, config, answers = evaluation.state(), evaluation.config(), evaluation.answers()
        print(f"{evaluation.id}: {state.status} {state.cause}".rstrip())
        print(f"{len(answers.finished):,} of {counted(state.prompts, 'prompt')} of {prompts.describe(config)}")
        print(f"{config.describe_settings()}, seed {config.seed}")
        for choice in state.choices:
            print(choice)
        _print_metrics(store, evaluation)
        if state.status == "failed":
            print(evaluation.log_tail())


class EvaluateFollow(OneEvaluation):
    """Print the progress of an evaluation until it ends."""

    def cli_cmd(self) -> None:
        """Follow the evaluation."""
        _follow(self.find()[1])


class EvaluatePause(OneEvaluation):
    """Pause after the answers that are being generated, and free the memory."""

    def cli_cmd(self) -> None:
        """Request the pause."""
        process.pause(self.find()[1])
        print("The evaluation finishes the answers that are being generated, then frees its memory.")


class EvaluateStop(OneEvaluation):
    """Stop now; answers that are being generated are discarded."""

    def cli_cmd(self) -> None:
        """Request the stop."""
        process.stop(self.find()[1])
        print("The evaluation stops after the current token.")


class EvaluateResume(OneEvaluation):
    """Continue with the prompts that have no answer yet."""

    detach: bool = Field(False, description="Return at once instead of showing the progress.")

    def cli_cmd(self) -> None:
        """Start the worker again and follow it."""
        store, evaluation = self.find()
        process.resume(store, evaluation)
        if not self.detach:
            _follow(evaluation)


class EvaluateExport(OneEvaluation):
    """Write the finished prompts as a file, and print its path."""

    files: Literal[result.FILE_KINDS] = Field("jsonl", description="The file format; csv escapes formulas.")  # type: ignore[valid-type]

    def cli_cmd(self) -> None:
        """Write the file."""
        store, evaluation = self.find()
        print(result.write(store, evaluation, self.files, print_progress))


class EvaluateOpen(OneEvaluation):
    """Open the finished prompts as a dataset, to browse and to create subsets of."""

    def cli_cmd(self) -> None:
        """Create the dataset."""
        store, evaluation = self.find()
        print_about(store.settings, result.open_as_dataset(store, evaluation, print_progress))


class Evaluate(BaseModel):
    """Answer a set of prompts with base and tuned models, and compare, judge, trace and export the answers."""

    start: CliSubCommand[EvaluateStart] = Field(description=EvaluateStart.__doc__)
    list: CliSubCommand[EvaluateList] = Field(description=EvaluateList.__doc__)
    show: CliSubCommand[EvaluateShow] = Field(description=EvaluateShow.__doc__)
    follow: CliSubCommand[EvaluateFollow] = Field(description=EvaluateFollow.__doc__)
    pause: CliSubCommand[EvaluatePause] = Field(description=EvaluatePause.__doc__)
    resume: CliSubCommand[EvaluateResume] = Field(description=EvaluateResume.__doc__)
    stop: CliSubCommand[EvaluateStop] = Field(description=EvaluateStop.__doc__)
    verdict: CliSubCommand[EvaluateVerdict] = Field(description=EvaluateVerdict.__doc__)
    board: CliSubCommand[EvaluateBoard] = Field(description=EvaluateBoard.__doc__)
    judge: CliSubCommand[EvaluateJudge] = Field(description=EvaluateJudge.__doc__)
    trace: CliSubCommand[EvaluateTrace] = Field(description=EvaluateTrace.__doc__)
    harness: CliSubCommand[EvaluateHarness] = Field(description=EvaluateHarness.__doc__)
    power: CliSubCommand[EvaluatePower] = Field(description=EvaluatePower.__doc__)
    open: CliSubCommand[EvaluateOpen] = Field(description=EvaluateOpen.__doc__)
    export: CliSubCommand[EvaluateExport] = Field(description=EvaluateExport.__doc__)

    def cli_cmd(self) -> None:
        """Run the chosen subcommand."""
        CliApp.run_subcommand(self)


def _print_metrics(store: EvaluationStore, evaluation: Evaluation) -> None:
    """Print a table of the metrics, a column per lane; missing scores of an ended evaluation are made now."""
    answers, titles = evaluation.answers(), evaluation.lane_titles(store.runs)
    scores = None
    if len(answers) and evaluation.state().status not in ACTIVE:
        scores = scoring.load(evaluation, print_progress)
    lanes = [result.format_metrics(metrics, scores, lane) for lane, metrics in enumerate(answers.metrics)]
    names = list(dict.fromkeys(name for metrics in lanes for name in metrics))
    rows = [("", *titles), ("Answers", *(f"{count:,}" for count in answers.answered))]
    rows += [(name, *(metrics.get(name, "–") for metrics in lanes)) for name in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        print("  ".join([first.ljust(widths[0]), *right]))
    printed = evaluation.saved_state().choices
    for note in scores.notes if scores else ():
        if note not in printed:
            print(note)


def _follow(evaluation: Evaluation) -> None:
    """Print the progress until the evaluation ends.

    Raises:
        StudioError: It failed or was interrupted.
    """
    lanes, answers = len(evaluation.config().lanes), evaluation.answers()
    printed = ""
    while True:
        state = evaluation.state()
        answered = len(answers.update())
        rate, left = result.measure_rate(evaluation, answered, time.time())
        text = state.stage or f"{answered:,} of {counted(state.prompts * lanes, 'answer')}"
        if rate:
            text += f", {rate:,.0f} per minute"
        if left:
            text += f", about {duration(left)} left"
        if text != printed:
            print(text, flush=True)
        printed = text
        if state.status not in ACTIVE:
            break
        time.sleep(1)
    sys.stdout.flush()
    if state.status in ("failed", "interrupted"):
        was = "was " * (state.status == "interrupted")
        raise StudioError(f"The evaluation {evaluation.id} {was}{state.status}: {state.cause}")
    print(f"The evaluation is {state.status}. Export it with: python -m core evaluate export {evaluation.id}")
