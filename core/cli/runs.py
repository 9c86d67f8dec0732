"""`python -m core train|chat|runs …`: start a run, follow it, stop it, let it go on, and ask it something."""

import sys
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliPositionalArg, CliSubCommand

from core.chat.sampling import Sampling
from core.data import subset
from core.errors import StudioError
from core.runs import checks, process, report
from core.runs.comparison import SORTS, Summaries, arranged, differences
from core.runs.config import QLoRAConfig
from core.runs.events import EvalEvent, ResumedEvent, RunEvent, SampleEvent, StageEvent, StepEvent
from core.runs.metrics_series import Timelines
from core.runs.presets import PRESETS
from core.runs.progress import duration
from core.runs.store import WAITING, Label, Run, RunStore
from core.runs.yaml_io import from_yaml, to_yaml
from core.settings import Settings


class Train(QLoRAConfig):
    """Start a run. Options given here go before the preset's."""

    preset: Literal[tuple(PRESETS)] | None = Field(None, description="start from a preset")  # type: ignore[valid-type]
    config: Path | None = Field(None, description="start from a YAML file, as the page or `runs yaml` writes it")
    check: bool = Field(False, description="say what would go wrong, and start nothing")
    detach: bool = Field(False, description="return at once instead of following the run")

    def cli_cmd(self) -> None:
        given = {name: getattr(self, name) for name in self.model_fields_set & set(QLoRAConfig.model_fields)}
        if self.preset and self.config:
            raise StudioError("A run starts from a preset or from a YAML file, not from both.")
        preset = PRESETS[self.preset].values if self.preset else {}
        if self.config:
            preset = _from_yaml(self.config).model_dump()
        settings = Settings().prepare()
        subset.ensure_bundled(settings)
        if self.check:
            _say_findings(settings, QLoRAConfig(**(preset | given)))
            return
        run = process.submit(RunStore(settings), QLoRAConfig(**(preset | given)))
        print(run.id, flush=True)
        if not self.detach:
            _follow(run)


def _from_yaml(path: Path) -> QLoRAConfig:
    try:
        return from_yaml(path.read_text(encoding="utf-8"), repr(path.name))
    except (OSError, UnicodeDecodeError) as error:
        raise StudioError(f"{str(path)!r} cannot be read as text. Expected a YAML file of knobs.") from error


def _say_findings(settings: Settings, config: QLoRAConfig) -> None:
    """Print what a check finds. Raises StudioError when there is a problem."""
    found = checks.check(settings, config)
    for finding in found:
        print(f"{finding.level}: {finding.text}")
    if problems := sum(finding.level == "problem" for finding in found):
        raise StudioError(f"{problems} problem{'s' * (problems > 1)} to mend before this run can start.")


class Chat(Sampling):
    """Ask the base and the tuned model of a run one question."""

    run: CliPositionalArg[str] = Field(description="a run id")
    prompt: CliPositionalArg[str] = Field(description="what to ask")
    adapter: str = Field("final", description="'final', or a checkpoint such as 'step 20'")

    def cli_cmd(self) -> None:
        from core.chat.engine import Engine
        from core.chat.requests import Asked, ticket
        from core.chat.types import END_LABELS

        question = [{"role": "user", "content": self.prompt}]
        sampling = Sampling(**self.model_dump(include=set(Sampling.model_fields)))
        engine = Engine(Settings().prepare())
        lanes = [Asked(question, sampling), Asked(question, sampling, self.run, self.adapter)]
        *_, told = engine.ask(ticket(engine.store, lanes))
        for title, answer in zip(("base", "tuned"), told.answers, strict=True):
            print(f"[{title}: {answer.tokens} tokens, {END_LABELS[answer.end]}]\n{answer.text}\n")


class RunsList(BaseModel):
    """All runs, newest first."""

    def cli_cmd(self) -> None:
        for run in RunStore(Settings().prepare()).runs():
            state, label = run.state(), run.label()
            print(f"{run.id}  {state.status}  {label.name}  {state.cause}".rstrip())


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


class RunsKill(_OneRun):
    """End a run's worker at once; what it did since its last checkpoint is lost."""

    def cli_cmd(self) -> None:
        process.kill(RunStore(Settings().prepare()), self.opened())
        print("Killed. It goes on from its last checkpoint with: python -m core runs resume")


class RunsResume(_OneRun):
    """Go on from a run's last checkpoint, with other values for some knobs."""

    set: list[str] = Field(default_factory=list, description="knob=value, once each, such as max_steps=200")
    detach: bool = Field(False, description="return at once instead of following the run")

    def cli_cmd(self) -> None:
        run, store = self.opened(), RunStore(Settings().prepare())
        pairs = [text.partition("=") for text in self.set]
        if bad := [name for name, sign, _ in pairs if not sign or name not in QLoRAConfig.model_fields]:
            raise StudioError(f"{bad[0]!r} is no knob=value. Knobs: {', '.join(QLoRAConfig.model_fields)}.")
        changes = {name: value for name, _, value in pairs}
        fresh = QLoRAConfig.model_validate(run.config().model_dump() | changes)
        step = process.last_step(run)
        changed = process.resume(store, run, **{name: getattr(fresh, name) for name in changes})
        for name, (old, new) in changed.items():
            print(f"{name}: {old!r} -> {new!r}")
        print(f"Going on from step {step}.", flush=True)
        if not self.detach:
            _follow(run)


class RunsYAML(_OneRun):
    """A run's configuration as YAML, for `train --config`."""

    def cli_cmd(self) -> None:
        print(to_yaml(self.opened().config()), end="")


class RunsReport(_OneRun):
    """Write a run's report, one page of Markdown with its plots, and say where."""

    def cli_cmd(self) -> None:
        run = self.opened()
        print(report.write(run, run.state()))


class RunsCompare(BaseModel):
    """What came of runs, and what they differ in; all runs where none is named."""

    runs: CliPositionalArg[list[str]] = Field(default_factory=list, description="run ids")
    by: Literal[tuple(SORTS)] = Field("best_held_out", description="what to sort by")  # type: ignore[valid-type]

    def cli_cmd(self) -> None:
        store, timelines = RunStore(Settings().prepare()), Timelines()
        runs = [store.run(run_id) for run_id in self.runs] or store.runs()
        summaries = Summaries(timelines)
        for found in arranged([summaries.of(run) for run in runs], self.by, descending=False):
            losses = "  ".join(
                f"{words} {_figure(loss)}"
                for words, loss in (("held-out", found.best_held_out), ("base", found.base), ("loss", found.loss))
                if loss is not None
            )
            print(f"{found.title}  {found.status}  {losses}  {found.tokens:,} tokens in {duration(found.seconds)}")
        for difference in differences(runs, timelines) if len(self.runs) > 1 else ():
            print(f"{difference.title}: {' | '.join(difference.values)}")


class RunsLabel(_OneRun):
    """Name a run, tag it, note something, archive it."""

    name: str | None = Field(None, description=Label.model_fields["name"].description)
    tags: list[str] | None = Field(None, description=Label.model_fields["tags"].description)
    note: str | None = Field(None, description=Label.model_fields["note"].description)
    archived: bool | None = Field(None, description=Label.model_fields["archived"].description)

    def cli_cmd(self) -> None:
        run = self.opened()
        said = self.model_dump(exclude={"run"}, exclude_none=True)
        run.save_label(Label.model_validate(run.label().model_dump() | said))
        print(f"{run.title}")


class Runs(BaseModel):
    """List, follow, stop, kill, resume, compare, report on and name runs."""

    list: CliSubCommand[RunsList] = Field(description=RunsList.__doc__)
    show: CliSubCommand[RunsShow] = Field(description=RunsShow.__doc__)
    follow: CliSubCommand[RunsFollow] = Field(description=RunsFollow.__doc__)
    stop: CliSubCommand[RunsStop] = Field(description=RunsStop.__doc__)
    kill: CliSubCommand[RunsKill] = Field(description=RunsKill.__doc__)
    resume: CliSubCommand[RunsResume] = Field(description=RunsResume.__doc__)
    yaml: CliSubCommand[RunsYAML] = Field(description=RunsYAML.__doc__)
    report: CliSubCommand[RunsReport] = Field(description=RunsReport.__doc__)
    compare: CliSubCommand[RunsCompare] = Field(description=RunsCompare.__doc__)
    label: CliSubCommand[RunsLabel] = Field(description=RunsLabel.__doc__)

    def cli_cmd(self) -> None:
        CliApp.run_subcommand(self)


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4f}"  # NaN comes as text


def _print_event(event: RunEvent) -> None:
    if isinstance(event, StepEvent):
        pace = f"{event.tokens_per_second:.0f} tokens/s"
        print(f"step {event.step}/{event.total}  loss {_figure(event.loss)}  {pace}")
    elif isinstance(event, EvalEvent):
        print(f"step {event.step}  held-out loss {_figure(event.loss)}")
    elif isinstance(event, StageEvent):
        print(event.text)
    elif isinstance(event, ResumedEvent):
        print(f"goes on from step {event.step}")
    elif isinstance(event, SampleEvent):
        for prompt, answer in zip(event.prompts, event.answers, strict=False):
            print(f"step {event.step}  {prompt} -> {' '.join(answer.split())}"[:300])


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
        if state.status not in WAITING:
            break
        time.sleep(0.5)
    if state.status in ("failed", "interrupted"):
        raise StudioError(f"The run {run.id} {state.status}: {state.cause}")
    print(f"{state.status}: {run.adapter}")
