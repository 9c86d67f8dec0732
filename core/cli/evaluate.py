"""`python -m core answers …`: let base and tuned answer a whole prompt set, follow, pause, resume, export."""

import sys
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliPositionalArg, CliSubCommand

from core.cli.reading import print_about, told
from core.data import subset
from core.errors import StudioError
from core.evaluate import process, prompts, result
from core.evaluate.config import EvaluationConfig
from core.evaluate.store import ACTIVE, Evaluation, EvaluationStore
from core.runs.progress import duration
from core.settings import Settings


def _store() -> EvaluationStore:
    settings = Settings().prepare()
    subset.ensure_bundled(settings)
    return EvaluationStore(settings)


class AnswersStart(EvaluationConfig):
    """Let lanes answer a set of prompts: --lanes base --lanes RUN."""

    file: str = Field("", description="a list of prompts: text with one a line, or JSONL, CSV, Parquet")
    detach: bool = Field(False, description="return at once instead of following it")

    def cli_cmd(self) -> None:
        values = self.model_dump(include=set(EvaluationConfig.model_fields))
        path = Path(self.file) if self.file else None
        if path:
            values["file"] = path.name
        store = _store()
        evaluation = process.submit(store, EvaluationConfig(**values), path)
        print(evaluation.id, flush=True)
        if not self.detach:
            _follow(evaluation)


class AnswersList(BaseModel):
    """All evaluations, newest first."""

    def cli_cmd(self) -> None:
        for evaluation in _store().all():
            state = evaluation.state()
            if state.status == "unreadable":
                print(f"{evaluation.id}  {state.status}  {state.cause}")
                continue
            whole = len(evaluation.answers().whole)
            print(f"{evaluation.id}  {state.status}  {whole:,} of {state.prompts:,} prompts  {state.cause}".rstrip())


class _OneEvaluation(BaseModel):
    evaluation: CliPositionalArg[str] = Field(description="an evaluation's id")

    def opened(self) -> tuple[EvaluationStore, Evaluation]:
        store = _store()
        return store, store.find(self.evaluation)


class AnswersShow(_OneEvaluation):
    """State, settings and figures of an evaluation."""

    def cli_cmd(self) -> None:
        store, evaluation = self.opened()
        state, config, answers = evaluation.state(), evaluation.config(), evaluation.answers()
        print(f"{evaluation.id}: {state.status} {state.cause}".rstrip())
        print(f"{len(answers.whole):,} of {state.prompts:,} prompts of {prompts.in_words(config)}")
        print(f"{config.settings_in_words}, seed {config.seed}")
        for choice in state.choices:
            print(choice)
        for title, tally in zip(evaluation.lane_titles(store.runs), answers.tallies, strict=True):
            figures = ", ".join(f"{figure} {words}" for words, figure in result.figures(tally).items())
            print(f"{title}: {tally.answers:,} answers, {figures}".rstrip(", "))
        if state.status == "failed":
            print(evaluation.log_tail())


class AnswersFollow(_OneEvaluation):
    """Print how far an evaluation is, until it ends."""

    def cli_cmd(self) -> None:
        _follow(self.opened()[1])


class AnswersPause(_OneEvaluation):
    """Finish the answers under way, begin no other, and free the memory."""

    def cli_cmd(self) -> None:
        process.pause(self.opened()[1])
        print("It finishes the answers under way and leaves.")


class AnswersStop(_OneEvaluation):
    """Leave at once; answers under way are dropped."""

    def cli_cmd(self) -> None:
        process.stop(self.opened()[1])
        print("It leaves after the present token.")


class AnswersResume(_OneEvaluation):
    """Go on with the prompts that have no answer yet."""

    detach: bool = Field(False, description="return at once instead of following it")

    def cli_cmd(self) -> None:
        store, evaluation = self.opened()
        process.resume(store, evaluation)
        if not self.detach:
            _follow(evaluation)


class AnswersExport(_OneEvaluation):
    """Write what is answered so far as a file, and say where."""

    files: Literal[result.FILE_KINDS] = Field("jsonl", description="the kind of file")  # type: ignore[valid-type]

    def cli_cmd(self) -> None:
        store, evaluation = self.opened()
        print(result.write(store, evaluation, self.files, told))


class AnswersOpen(_OneEvaluation):
    """Open what is answered so far as a data set, to look into and to cut."""

    def cli_cmd(self) -> None:
        store, evaluation = self.opened()
        print_about(store.settings, result.as_dataset(store, evaluation, told))


class Answers(BaseModel):
    """Let base and tuned answer a whole prompt set: start, follow, pause, resume, stop, open, export."""

    start: CliSubCommand[AnswersStart] = Field(description=AnswersStart.__doc__)
    list: CliSubCommand[AnswersList] = Field(description=AnswersList.__doc__)
    show: CliSubCommand[AnswersShow] = Field(description=AnswersShow.__doc__)
    follow: CliSubCommand[AnswersFollow] = Field(description=AnswersFollow.__doc__)
    pause: CliSubCommand[AnswersPause] = Field(description=AnswersPause.__doc__)
    resume: CliSubCommand[AnswersResume] = Field(description=AnswersResume.__doc__)
    stop: CliSubCommand[AnswersStop] = Field(description=AnswersStop.__doc__)
    open: CliSubCommand[AnswersOpen] = Field(description=AnswersOpen.__doc__)
    export: CliSubCommand[AnswersExport] = Field(description=AnswersExport.__doc__)

    def cli_cmd(self) -> None:
        CliApp.run_subcommand(self)


def _follow(evaluation: Evaluation) -> None:
    """Print what is new until it ends. Raises StudioError when it failed or was interrupted."""
    lanes, answers = len(evaluation.config().lanes), evaluation.answers()
    said = ""
    while True:
        state = evaluation.state()
        answered = len(answers.update())
        rate, left = result.pace(evaluation, answered, time.time())
        words = state.stage or f"{answered:,} of {state.prompts * lanes:,} answers"
        if rate:
            words += f", {rate:,.0f} a minute"
        if left:
            words += f", about {duration(left)} left"
        if words != said:
            print(words, flush=True)
        said = words
        if state.status not in ACTIVE:
            break
        time.sleep(1)
    sys.stdout.flush()
    if state.status in ("failed", "interrupted"):
        raise StudioError(f"The evaluation {evaluation.id} {state.status}: {state.cause}")
    print(f"{state.status}: python -m core answers export {evaluation.id}")
