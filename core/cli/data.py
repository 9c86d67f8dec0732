"""`python -m core data …`: open, browse, cut and export."""

from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliPositionalArg, CliSubCommand

from core.data import sources, subset, table
from core.data.formats import ExportFormat
from core.data.subset import Recipe
from core.errors import StudioError
from core.settings import Settings


def printable(text: str) -> str:
    """Text from data without the control characters that a terminal would obey; line ends and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


class DataList(BaseModel):
    """Opened data sets and subsets."""

    def cli_cmd(self) -> None:
        settings = Settings().prepare()
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
        settings = Settings().prepare()
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
        rows = table.Rows(Settings().prepare(), self.dataset)
        if self.offset >= rows.about.rows:
            raise StudioError(f"There is no row {self.offset}. Expected 0 to {rows.about.rows - 1}.")
        for record in rows.page(self.offset, self.size).itertuples():
            words = printable(record.problem or f"{record.prompt} → {record.answer}")
            print(f"{record.row:>6}  {record.split:<8}  {' '.join(words.split())}"[:160])


class DataShow(BaseModel):
    """One row as a conversation."""

    dataset: CliPositionalArg[str] = Field(description="an opened data set")
    row: CliPositionalArg[int] = Field(description="its number")

    def cli_cmd(self) -> None:
        record = table.Rows(Settings().prepare(), self.dataset).row(self.row)
        if record["problem"]:
            print(f"Cannot be used: {record['problem']}.\n{printable(record['raw'])}")
        for message in record["messages"]:
            print(f"[{message['role']}]\n{printable(message['content'])}\n")


class DataCut(Recipe):
    """Cut a subset from an opened data set."""

    dataset: CliPositionalArg[str] = Field(description="an opened data set")
    name: CliPositionalArg[str] = Field(description="name of the subset")

    def cli_cmd(self) -> None:
        made = subset.cut(Settings().prepare(), self.name, Recipe(**self.model_dump(exclude={"name"})))
        print(f"{made.name}: {made.in_words()} SHA-256 {made.sha256}")


class DataExport(BaseModel):
    """Export a subset as a zip of JSONL and Parquet, with its recipe."""

    subset: CliPositionalArg[str] = Field(description="a subset's name")
    format: ExportFormat = Field("llama2", description="how conversations are written")

    def cli_cmd(self) -> None:
        print(subset.export(Settings().prepare(), self.subset, self.format))


class Data(BaseModel):
    """Open, browse, cut and export instruction data."""

    list: CliSubCommand[DataList] = Field(description=DataList.__doc__)
    open: CliSubCommand[DataOpen] = Field(description=DataOpen.__doc__)
    rows: CliSubCommand[DataRows] = Field(description=DataRows.__doc__)
    show: CliSubCommand[DataShow] = Field(description=DataShow.__doc__)
    cut: CliSubCommand[DataCut] = Field(description=DataCut.__doc__)
    export: CliSubCommand[DataExport] = Field(description=DataExport.__doc__)

    def cli_cmd(self) -> None:
        CliApp.run_subcommand(self)
