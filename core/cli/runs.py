"""`python -m core train|chat|runs …`: start a run, follow it, stop it, and ask it something."""

import sys
import time
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliPositionalArg, CliSubCommand

from core.chat.sampling import Sampling
from core.data import subset
from core.errors import StudioError
from core.runs import process
from core.runs.config import QLoRAConfig
from core.runs.presets import PRESETS
from core.runs.store import ACTIVE, Run, RunStore
from core.settings import Settings


class Train(QLoRAConfig):
    """Start a run. Options given here go before the preset's."""

    preset: Literal[tuple(PRESETS)] | None = Field(None, description="start from a preset")  # type: ignore[valid-type]
    detach: bool = Field(False, description="return at once instead of following the run")

    def cli_cmd(self) -> None:
        given = {name: getattr(self, name) for name in self.model_fields_set & set(QLoRAConfig.model_fields)}
        preset = PRESETS[self.preset].values if self.preset else {}
        settings = Settings().prepare()
        subset.ensure_bundled(settings)
        run = process.start(RunStore(settings), QLoRAConfig(**(preset | given)))
        print(run.id, flush=True)
        if not self.detach:
            _follow(run)


class Chat(Sampling):
    """Ask the base and the tuned model of a run one question."""

    run: CliPositionalArg[str] = Field(description="a run id")
    prompt: CliPositionalArg[str] = Field(description="what to ask")
    adapter: str = Field("final", description="'final', or a checkpoint such as 'step 20'")

    def cli_cmd(self) -> None:
        from core.chat.host import ChatHost
        from core.chat.lanes import END_WORDS

        if not self.prompt.strip():
            raise StudioError("The prompt is empty. Give a question.")
        question = [{"role": "user", "content": self.prompt}]
        sampling = Sampling(**self.model_dump(include=set(Sampling.model_fields)))
        *_, answers = ChatHost(Settings().prepare()).answer(self.run, self.adapter, [question, question], sampling)
        for title, answer in zip(("base", "tuned"), answers, strict=True):
            print(f"[{title}: {answer.tokens} tokens, {END_WORDS[answer.end]}]\n{answer.text}\n")


class RunsList(BaseModel):
    """All runs, newest first."""

    def cli_cmd(self) -> None:
        for run in RunStore(Settings().prepare()).runs():
            state = run.state()
            print(f"{run.id}  {state.status}  {state.cause}".rstrip())


class _OneRun(BaseModel):
    run: CliPositionalArg[str] = Field(description="a run id")

    def opened(self) -> Run:
        return RunStore(Settings().prepare()).run(self.run)


class RunsShow(_OneRun):
    """State, configuration and losses of a run."""

    def cli_cmd(self) -> None:
        run = self.opened()
        state = run.state()
        print(f"{run.id}: {state.status} {state.cause}".rstrip())
        print(run.config().model_dump_json(indent=2))
        for event in run.events():
            _print_event(event)


class RunsFollow(_OneRun):
    """Print a run's events as they come, until it ends."""

    def cli_cmd(self) -> None:
        _follow(self.opened())


class RunsStop(_OneRun):
    """Stop a run after its present step, with a checkpoint and an adapter."""

    def cli_cmd(self) -> None:
        self.opened().request_stop()
        print("The run stops after its present step.")


class Runs(BaseModel):
    """List, follow and stop runs."""

    list: CliSubCommand[RunsList] = Field(description=RunsList.__doc__)
    show: CliSubCommand[RunsShow] = Field(description=RunsShow.__doc__)
    follow: CliSubCommand[RunsFollow] = Field(description=RunsFollow.__doc__)
    stop: CliSubCommand[RunsStop] = Field(description=RunsStop.__doc__)

    def cli_cmd(self) -> None:
        CliApp.run_subcommand(self)


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4f}"  # NaN comes as text


def _print_event(event: dict) -> None:
    if event["event"] == "step":
        pace = f"{event['tokens_per_second']:.0f} tokens/s"
        print(f"step {event['step']}/{event['total']}  loss {_figure(event['loss'])}  {pace}")
    elif event["event"] == "eval":
        print(f"step {event['step']}  held-out loss {_figure(event['loss'])}")
    elif event["event"] == "stage":
        print(event["text"])


def _follow(run: Run) -> None:
    """Print events until the run ends. Raises StudioError when it failed or was interrupted."""
    shown = 0
    while True:
        state = run.state()
        events = run.events()
        for event in events[shown:]:
            _print_event(event)
        shown = len(events)
        sys.stdout.flush()
        if state.status not in ACTIVE:
            break
        time.sleep(0.5)
    if state.status in ("failed", "interrupted"):
        raise StudioError(f"The run {run.id} {state.status}: {state.cause}")
    print(f"{state.status}: {run.adapter}")
