"""`python -m core …`: every capability without a browser.

Options, defaults, bounds and help come from the same pydantic models as the page's forms. A problem that a person can
mend is one sentence on standard error and exit code 2.
"""

import sys
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliPositionalArg,
    CliSubCommand,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from core.chat.sampling import Sampling
from core.data import sources, subset, table
from core.data.formats import ExportFormat
from core.data.subset import Recipe
from core.errors import StudioError, sentences
from core.models import catalogue, embedded
from core.runs import process
from core.runs.config import QLoRAConfig
from core.runs.presets import PRESETS
from core.runs.store import ACTIVE, Run, RunStore
from core.settings import Settings


def _home() -> Settings:
    return Settings().prepare()


class DataList(BaseModel):
    """Opened data sets and subsets."""

    def cli_cmd(self) -> None:
        settings = _home()
        subset.ensure_bundled(settings)
        for data in table.opened_datasets(settings):
            print(f"data set  {data.id}: {data.rows:,} rows, {data.usable:,} usable, {data.evidence}")
        for cut in subset.subsets(settings):
            print(f"subset    {cut.name}: {cut.in_words()}")


class DataOpen(BaseModel):
    """Open the bundled data set, a file (.jsonl, .json, .csv, .parquet), or a Hub id (owner/name)."""

    what: CliPositionalArg[str] = Field(description=f"{sources.BUNDLED!r}, a path, or a Hub id")
    config: str | None = Field(None, description="configuration of a Hub data set")
    split: str | None = Field(None, description="split of a Hub data set; all by default")
    revision: str | None = Field(None, description="branch, tag or commit of a Hub data set; pinned to its commit")

    def cli_cmd(self) -> None:
        settings = _home()
        path = Path(self.what)
        if self.what == sources.BUNDLED:
            data = sources.open_bundled(settings)
        elif path.is_file() or path.suffix in sources.SUFFIXES:
            data = sources.open_file(settings, path)
        else:
            data = sources.open_hub(settings, self.what, self.config, self.split, self.revision)
        print(f"{data.id}: {data.rows:,} rows, {data.usable:,} usable ({data.evidence}).")
        if data.ends_on_user:
            print(f"{data.ends_on_user:,} end on a user turn: what follows their last answer is left out.")
        for reason, count in data.problems.items():
            print(f"{count:,} cannot be used: {reason}.")
        for complaint in data.unreadable:
            print(f"  {complaint}")


class DataRows(BaseModel):
    """A page of rows."""

    dataset: CliPositionalArg[str] = Field(description="an opened data set")
    offset: int = Field(0, ge=0, description="first row")
    size: int = Field(25, ge=1, le=500, description="rows to show")

    def cli_cmd(self) -> None:
        page = table.Rows(_home(), self.dataset).page(self.offset, self.size)
        for record in page.itertuples():
            print(f"{record.row:>6}  {record.split:<8}  {record.problem or f'{record.prompt} → {record.answer}'}"[:160])


class DataShow(BaseModel):
    """One row as a conversation."""

    dataset: CliPositionalArg[str] = Field(description="an opened data set")
    row: CliPositionalArg[int] = Field(description="its number")

    def cli_cmd(self) -> None:
        record = table.Rows(_home(), self.dataset).row(self.row)
        if record["problem"]:
            print(f"Cannot be used: {record['problem']}.\n{record['raw']}")
        for message in record["messages"]:
            print(f"[{message['role']}]\n{message['content']}\n")


class DataCut(Recipe):
    """Cut a subset from an opened data set."""

    dataset: CliPositionalArg[str] = Field(description="an opened data set")
    name: CliPositionalArg[str] = Field(description="name of the subset")

    def cli_cmd(self) -> None:
        made = subset.cut(_home(), self.name, Recipe(**self.model_dump(exclude={"name"})))
        print(f"{made.name}: {made.in_words()} SHA-256 {made.sha256}")


class DataExport(BaseModel):
    """Export a subset as a zip of JSONL and Parquet, with its recipe."""

    subset: CliPositionalArg[str] = Field(description="a subset's name")
    format: ExportFormat = Field("llama2", description="how conversations are written")

    def cli_cmd(self) -> None:
        print(subset.export(_home(), self.subset, self.format))


class Data(BaseModel):
    """Open, browse, cut and export instruction data."""

    list: CliSubCommand[DataList]
    open: CliSubCommand[DataOpen]
    rows: CliSubCommand[DataRows]
    show: CliSubCommand[DataShow]
    cut: CliSubCommand[DataCut]
    export: CliSubCommand[DataExport]

    def cli_cmd(self) -> None:
        CliApp.run_subcommand(self)


class Train(QLoRAConfig):
    """Start a run. Options given here go before the preset's."""

    preset: Literal[tuple(PRESETS)] | None = Field(None, description="start from a preset")  # type: ignore[valid-type]
    detach: bool = Field(False, description="return at once instead of following the run")

    def cli_cmd(self) -> None:
        given = {name: getattr(self, name) for name in self.model_fields_set & set(QLoRAConfig.model_fields)}
        preset = PRESETS[self.preset].values if self.preset else {}
        settings = _home()
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

        question = [{"role": "user", "content": self.prompt}]
        sampling = Sampling(**self.model_dump(include=set(Sampling.model_fields)))
        *_, answers = ChatHost(_home()).answer(self.run, self.adapter, [question, question], sampling)
        for title, answer in zip(("base", "tuned"), answers, strict=True):
            print(f"[{title}: {answer.tokens} tokens, {END_WORDS[answer.end]}]\n{answer.text}\n")


class RunsList(BaseModel):
    """All runs, newest first."""

    def cli_cmd(self) -> None:
        for run in RunStore(_home()).runs():
            state = run.state()
            print(f"{run.id}  {state.status}  {state.cause}".rstrip())


class _OneRun(BaseModel):
    run: CliPositionalArg[str] = Field(description="a run id")

    def opened(self) -> Run:
        return RunStore(_home()).run(self.run)


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

    list: CliSubCommand[RunsList]
    show: CliSubCommand[RunsShow]
    follow: CliSubCommand[RunsFollow]
    stop: CliSubCommand[RunsStop]

    def cli_cmd(self) -> None:
        CliApp.run_subcommand(self)


class ModelsList(BaseModel):
    """Models that can be named; any Hub id works besides."""

    def cli_cmd(self) -> None:
        for model in catalogue.available(_home()):
            print(f"{model.name}  {model.label}")


class ModelsPrepare(BaseModel):
    """Fetch and convert the embedded model, once."""

    def cli_cmd(self) -> None:
        print(embedded.prepare(_home()))


class Models(BaseModel):
    """List models; prepare the embedded one."""

    list: CliSubCommand[ModelsList]
    prepare: CliSubCommand[ModelsPrepare]

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


class StudioCommand(BaseSettings):
    """QLoRA Studio from the command line. STUDIO_HOME says where everything lives."""

    model_config = SettingsConfigDict(
        cli_prog_name="python -m core",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_enforce_required=True,
    )

    data: CliSubCommand[Data]
    train: CliSubCommand[Train]
    chat: CliSubCommand[Chat]
    runs: CliSubCommand[Runs]
    models: CliSubCommand[Models]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        **_: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # the command line alone: an environment variable named DATA is none of ours

    def cli_cmd(self) -> None:
        CliApp.run_subcommand(self)


def main(arguments: list[str]) -> int:
    try:
        CliApp.run(StudioCommand, cli_args=arguments or ["--help"])
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    except ValidationError as error:
        print(sentences(error), file=sys.stderr)
        return 2
    except SettingsError as error:
        print(f"{error} Add --help to see what can be said.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Left. A started run goes on: python -m core runs list", file=sys.stderr)
        return 130
    return 0
