"""The commands `python -m core train` and `runs`: start and manage training runs."""

import sys
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliPositionalArg, CliSubCommand

from core.cli.reading import printable
from core.data import subset
from core.errors import StudioError
from core.runs import checks, process, report
from core.runs.comparability import reference_of, why_not_comparable
from core.runs.comparison import SORTS, Summaries, differences, sort_summaries
from core.runs.config import QLoRAConfig
from core.runs.events import EvalEvent, History, ResumedEvent, RunEvent, SampleEvent, StageEvent, StepEvent
from core.runs.metrics_series import CLASSIFIER_METRICS, HELD_OUT_LOSS, Timelines
from core.runs.presets import PRESETS
from core.runs.progress import duration
from core.runs.store import NOT_ENDED, Label, Run, RunStore
from core.runs.yaml_io import from_yaml, to_yaml
from core.settings import Settings
from core.system.counting import counted


class Train(QLoRAConfig):
    """Start a run. Options given here override those of the preset or the file."""

    preset: Literal[tuple(PRESETS)] | None = Field(None, description="Start from a preset.")  # type: ignore[valid-type]
    config: Path | None = Field(None, description="Start from a YAML file that was written by the page or `runs yaml`.")
    check: bool = Field(False, description="Run the preflight checks only.")
    detach: bool = Field(False, description="Return at once instead of following the run.")

    def cli_cmd(self) -> None:
        """Check or submit the run, and follow it."""
        given = {name: getattr(self, name) for name in self.model_fields_set & set(QLoRAConfig.model_fields)}
        if self.preset and self.config:
            raise StudioError(
                "A run starts from a preset or from a YAML file, not from both. Drop --preset or --config."
            )
        preset = PRESETS[self.preset].values if self.preset else {}
        if self.config:
            preset = _from_yaml(self.config).model_dump()
        settings = Settings().prepare()
        subset.ensure_bundled(settings)
        config = QLoRAConfig(**(preset | given))
        if self.check:
            return _print_findings(settings, config)
        run = process.submit(RunStore(settings), config)
        print("".join(f"warning: {text}\n" for text in run.saved_state().warnings), end="", file=sys.stderr)
        print(run.id, flush=True)
        if not self.detach:
            _follow(run)


def _from_yaml(path: Path) -> QLoRAConfig:
    try:
        return from_yaml(path.read_text(encoding="utf-8"), repr(path.name))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise StudioError(f"{str(path)!r} cannot be read ({reason}). Expected a YAML file of settings.") from error


def _print_findings(settings: Settings, config: QLoRAConfig) -> None:
    """Print the findings of the preflight checks.

    Raises:
        StudioError: A finding prevents the run.
    """
    found = checks.check(settings, config)
    print("\n".join(f"{finding.level}: {finding.text}" for finding in found))
    if problems := sum(finding.level == "problem" for finding in found):
        raise StudioError(f"Fix {problems} problem{'s' * (problems > 1)} before this run can start.")


class RunsList(BaseModel):
    """List all runs, the newest first."""

    def cli_cmd(self) -> None:
        """Print one line per run."""
        for run in RunStore(Settings().prepare()).runs():
            state = run.state()
            print(f"{run.id}  {state.status}  {run.title}  {state.cause}".rstrip())


class _OneRun(BaseModel):
    """A run named on the command line."""

    run: CliPositionalArg[str] = Field(description="A run id.")

    def find(self) -> Run:
        """Return the run."""
        return RunStore(Settings().prepare()).run(self.run)


class RunsShow(_OneRun):
    """Show the status, settings and losses of a run."""

    def cli_cmd(self) -> None:
        """Print the run."""
        run = self.find()
        state = run.state()
        print(f"{run.id}: {state.status} {state.cause}".rstrip())
        print(run.config().model_dump_json(indent=2))
        for event in run.events():
            _print_event(event)


class RunsFollow(_OneRun):
    """Print the events of a run until it ends."""

    def cli_cmd(self) -> None:
        """Follow the run."""
        _follow(self.find())


class RunsStop(_OneRun):
    """Stop a run after the current step, with a checkpoint and an adapter, or remove it from the queue."""

    def cli_cmd(self) -> None:
        """Request the stop, or remove the run from the queue."""
        is_active = process.stop(RunStore(Settings().prepare()), self.find())
        print("The run stops after the current step." if is_active else "The run is removed from the queue.")


class RunsKill(_OneRun):
    """Kill the worker of a run; the steps since its last checkpoint are lost."""

    def cli_cmd(self) -> None:
        """Kill the worker."""
        run = self.find()
        process.kill(RunStore(Settings().prepare()), run)
        step = process.last_step(run)
        goes_on = f"Continue from step {step:,}" if step else "The run had no checkpoint. Start it again"
        print(f"Killed. {goes_on}: python -m core runs resume {self.run}")


class RunsResume(_OneRun):
    """Continue from the last checkpoint of a run, with other values for some settings."""

    set: list[str] = Field(default_factory=list, description="SETTING=VALUE, one option each, such as max_steps=200.")
    detach: bool = Field(False, description="Return at once instead of following the run.")

    def cli_cmd(self) -> None:
        """Resume the run and follow it."""
        run, store = self.find(), RunStore(Settings().prepare())
        pairs = [text.partition("=") for text in self.set]
        if bad := [name for name, sign, _ in pairs if not sign or name not in QLoRAConfig.model_fields]:
            raise StudioError(f"{bad[0]!r} is not a setting=value. Settings: {', '.join(QLoRAConfig.model_fields)}.")
        changes = {name: value for name, _, value in pairs}
        # Validated together with the other settings, so that texts become numbers and bounds are checked.
        config = QLoRAConfig.model_validate(run.config().model_dump() | changes)
        step = process.last_step(run)
        changed = process.resume(store, run, **{name: getattr(config, name) for name in changes})
        for name, (old, new) in changed.items():
            print(f"{name}: {old!r} -> {new!r}")
        print(f"Continuing from step {step:,}." if step else "Starting again: the run had no checkpoint.", flush=True)
        if not self.detach:
            _follow(run)


class RunsYAML(_OneRun):
    """Print the settings of a run as YAML, for `train --config`."""

    def cli_cmd(self) -> None:
        """Print the YAML."""
        print(to_yaml(self.find().config()), end="")


class RunsReport(_OneRun):
    """Write the report of a run, one page of Markdown with its plots, and print its path."""

    def cli_cmd(self) -> None:
        """Write the report."""
        run = self.find()
        print(report.write(run, run.state()))


class RunsCompare(BaseModel):
    """Compare the results and settings of runs; without ids, list the results of all runs."""

    runs: CliPositionalArg[list[str]] = Field(default_factory=list, description="Ids of runs.")
    by: Literal[tuple(SORTS)] = Field("best_held_out", description="The metric to sort by.")  # type: ignore[valid-type]

    def cli_cmd(self) -> None:
        """Print one line per run, then the settings that differ."""
        store, timelines = RunStore(Settings().prepare()), Timelines()
        runs = [store.run(run_id) for run_id in self.runs] or store.runs()
        summaries = Summaries(timelines)
        found = [summaries.of(run) for run in runs]
        reference = reference_of([summary.held_out_setup for summary in found])
        for summary in sort_summaries(found, self.by, False, reference):
            results = {
                "held-out": summary.best_held_out, "base": summary.base, "loss": summary.loss,
                "accuracy": summary.accuracy, "macro-F1": summary.macro_f1,
            }  # fmt: skip
            losses = "  ".join(
                f"{name} {_format_number(value)}" for name, value in results.items() if value is not None
            )
            if summary.held_out_setup and (reason := why_not_comparable(summary.held_out_setup, reference)):
                losses += f"  (held-out loss not comparable: {reason})"
            spent = f"{counted(summary.tokens, 'token')} in {duration(summary.seconds)}"
            print(f"{summary.run}  {summary.title}  {summary.status}  {losses}  {spent}")
        for difference in differences(runs, timelines) if len(self.runs) > 1 else ():
            print(f"{difference.title}: {' | '.join(difference.values)}")


class RunsLabel(_OneRun):
    """Name, tag, annotate or archive a run."""

    name: str | None = Field(None, description=Label.model_fields["name"].description)
    tags: list[str] | None = Field(None, description=Label.model_fields["tags"].description)
    note: str | None = Field(None, description=Label.model_fields["note"].description)
    archived: bool | None = Field(None, description=Label.model_fields["archived"].description)

    def cli_cmd(self) -> None:
        """Save the label and print the title."""
        run = self.find()
        changes = self.model_dump(exclude={"run"}, exclude_none=True)
        run.save_label(Label.model_validate(run.label().model_dump() | changes))
        print(run.title)


class Runs(BaseModel):
    """List, show, follow, stop, kill, resume, compare, report on and label runs."""

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
        """Run the chosen subcommand."""
        CliApp.run_subcommand(self)


def _format_number(value: float | str | None, form: str = ".4f") -> str:
    """Format a metric; one that is not finite is stored as text, such as "nan", and one that is missing as None."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else format(value, form)


def _print_event(event: RunEvent) -> None:
    if isinstance(event, StepEvent):
        speed = f"{_format_number(event.tokens_per_second, '.0f')} tokens/s"
        print(f"step {event.step}/{event.total}  loss {_format_number(event.loss)}  {speed}")
    elif isinstance(event, EvalEvent):
        shares = {title: getattr(event, field) for title, field in CLASSIFIER_METRICS.items()}
        found = "".join(f"  {title} {_format_number(share)}" for title, share in shares.items() if share is not None)
        print(f"step {event.step}  {HELD_OUT_LOSS} {_format_number(event.loss)}{found}")
    elif isinstance(event, StageEvent):
        print(event.text)
    elif isinstance(event, ResumedEvent):
        print(f"continues from step {event.step}")
    elif isinstance(event, SampleEvent):
        for prompt, answer in zip(event.prompts, event.answers, strict=False):
            print(printable(f"step {event.step}  {prompt} -> {' '.join(answer.split())}"[:300]))


def _follow(run: Run) -> None:
    """Print events until the run ends.

    Raises:
        StudioError: It failed or was interrupted.
    """
    # Printed events are taken out of the history, because a resume drops some of its events: no index would stay right.
    history = History(run.events_file)
    while True:
        # The state is read before the events: all events are written before a run ends, so none is missed at the end.
        state = run.state()
        history.update()
        while history.events:
            _print_event(history.events.pop(0))
        sys.stdout.flush()
        if state.status not in NOT_ENDED:
            break
        time.sleep(0.5)
    if state.status in ("failed", "interrupted"):
        was = "was " * (state.status == "interrupted")
        raise StudioError(f"The run {run.id} {was}{state.status}: {state.cause}")
    print(f"{state.status}: {run.adapter}")
