"""`python -m core data …`: open, look, cut, compare, export, push."""

import sys
from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliPositionalArg, CliSubCommand

from core.cli.reading import describe_dataset, print_about, print_progress, printable
from core.data import compare, export, lengths, near_duplicates, readers, sources, sql_box, subset, table
from core.data.export import FileKind
from core.data.formats import ExportFormat, Reading
from core.data.recipe import Recipe
from core.data.report import check_reading
from core.data.rows import Rows
from core.data.tokens import TemplateName
from core.data.view import View
from core.errors import StudioError
from core.models import embedded
from core.runs.config import QLoRAConfig
from core.settings import Settings


class DataList(BaseModel):
    """Opened data sets and subsets."""

    def cli_cmd(self) -> None:
        settings = Settings().prepare()
        subset.ensure_bundled(settings)
        for data in table.opened_datasets(settings):
            print(f"data set  {data.id}: {describe_dataset(data)}")
        for cut in subset.subsets(settings):
            print(f"subset    {cut.name}: {cut.describe()}")


class DataOpen(BaseModel):
    """Open the bundled data set, a file, a folder saved with datasets, or a Hub id (owner/name)."""

    what: CliPositionalArg[str] = Field(description=f"{sources.BUNDLED!r}, a path, or a Hub id")
    config: str | None = Field(None, description="configuration of a Hub data set")
    split: str | None = Field(None, description="split of a Hub data set; all by default")
    revision: str | None = Field(None, description="branch, tag or commit of a Hub data set; pinned to its commit")

    def cli_cmd(self) -> None:
        settings = Settings().prepare()
        path = Path(self.what)
        if self.what == sources.BUNDLED:
            data = sources.open_bundled(settings)
        elif path.is_dir():
            data = sources.open_folder(settings, path, print_progress)
        elif path.is_file() or readers.kind_of(path.name):
            data = sources.open_file(settings, path, progress=print_progress)
        else:
            data = sources.open_hub(
                settings, self.what, self.config, self.split, self.revision, progress=print_progress
            )
        print_about(settings, data)


class DataRead(Reading):
    """Read the rows in another way than was detected; other commands take the same options behind --reading."""

    dataset: CliPositionalArg[str] = Field(description="an opened data set")

    def cli_cmd(self) -> None:
        settings = Settings().prepare()
        data, reading = table.find(settings, self.dataset), Reading(**self.model_dump(exclude={"dataset"}))
        check_reading(data, reading)
        print_about(settings, data, reading)


class DataAbout(BaseModel):
    """Describe an opened data set: format with its evidence, counts, unused columns, notes, complaints."""

    dataset: CliPositionalArg[str] = Field(description="an opened data set")

    def cli_cmd(self) -> None:
        settings = Settings().prepare()
        print_about(settings, table.find(settings, self.dataset))


class OneDataset(BaseModel):
    """An opened data set under one reading."""

    dataset: CliPositionalArg[str] = Field(description="an opened data set")
    reading: Reading | None = Field(None, description="how its rows are read; as detected by default")

    def found(self, settings: Settings) -> tuple[table.Dataset, Reading]:
        """Return the data set and the reading, which is checked when it was given."""
        data = table.find(settings, self.dataset)
        if self.reading:
            check_reading(data, self.reading)
        return data, self.reading or data.detected

    def rows(self, settings: Settings, near: Path | None = None) -> Rows:
        data, reading = self.found(settings)
        return Rows(settings, data.id, reading, near=near)


class DataRows(OneDataset, View):
    """A page of rows, searched and sorted."""

    offset: int = Field(0, ge=0, description="first row")
    size: int = Field(25, ge=1, le=500, description="rows to show")

    def cli_cmd(self) -> None:
        rows = self.rows(Settings().prepare())
        view = View(**self.model_dump(include=set(View.model_fields)))
        total = rows.count(view)
        if not total:
            raise StudioError(f"No row is like that: {view.describe()}. Search for something else.")
        if self.offset >= total:
            raise StudioError(f"There is no row {self.offset}. Expected 0 to {total - 1}.")
        for record in rows.page(view, self.offset, self.size, ["row", "split", "prompt", "answer"]).to_dict("records"):
            problem = record["problem_"]
            usable = problem is None or problem != problem  # pandas says NaN where there is none
            words = f"{record['prompt'] or ''} → {record['answer'] or ''}" if usable else f"cannot be used: {problem}"
            print(f"{record['row']:>6}  {record['split']:<8}  {' '.join(printable(words).split())}"[:160])


class DataShow(OneDataset):
    """One row as a conversation."""

    row: CliPositionalArg[int] = Field(description="its number")

    def cli_cmd(self) -> None:
        record = self.rows(Settings().prepare()).row(self.row)
        if record["problem"]:
            print(f"Cannot be used: {record['problem']}.\n{printable(record['raw'])}")
        for message in record["messages"]:
            silent = ", not learned" if message.get("loss") is False else ""
            print(f"[{message['role']}{silent}]\n{printable(message['content'])}\n")
        for note in record["notes"]:
            print(f"Note: {printable(note)}.")


class DataLengths(OneDataset):
    """How long the rows are in tokens, how many would be cut, how much padding there would be."""

    model: str = Field(embedded.NAME, description="whose tokenizer counts")
    template: TemplateName = Field("auto", description="the chat template")
    max_length: int = Field(QLoRAConfig().max_length, ge=1, description="tokens a row is cut at")
    batch_size: int = Field(QLoRAConfig().batch_size, ge=1, description="rows a padded batch holds")

    def cli_cmd(self) -> None:
        settings = Settings().prepare()
        data, reading = self.found(settings)
        tokens = lengths.TokenizerSpec(self.model, self.template)
        path = lengths.count_tokens(
            settings, data, reading, tokens, lambda share: print_progress(share, "Counting tokens")
        )
        found = lengths.summarize(path, self.max_length, self.batch_size)
        print(f"{found.rows:,} rows, {found.tokens:,} tokens, {found.answer_tokens:,} of them in answers")
        print(f"median {found.median:,}, longest {found.longest:,}")
        print(f"{found.truncated:,} rows are cut at {self.max_length:,}: {found.lost_tokens:,} tokens lost")
        print(f"{found.padding:.0%} of a batch of {self.batch_size} is padding without packing")
        if found.refused:
            print(f"{found.refused:,} rows are refused by the template")


class DataDuplicates(OneDataset):
    """Rows that are almost the same as an earlier one."""

    def cli_cmd(self) -> None:
        settings = Settings().prepare()
        data, reading = self.found(settings)
        path = near_duplicates.find(settings, data, reading, lambda share: print_progress(share, "Comparing rows"))
        rows = self.rows(settings, near=path)
        pairs = rows.query("row, near_duplicate_of", {"near"}, after="WHERE near_duplicate_of IS NOT NULL ORDER BY row")
        for row, first in pairs.fetchall():
            print(f"{row:>6}  almost the same as {first}")


class DataSQL(OneDataset):
    """One SELECT over the table rows of a data set."""

    sql: CliPositionalArg[str] = Field(description="such as: SELECT language, count(*) FROM rows GROUP BY language")

    def cli_cmd(self) -> None:
        answer = sql_box.run_select(self.rows(Settings().prepare()), self.sql)
        print("\t".join(answer.columns))
        for row in answer.rows:
            print(printable("\t".join("" if cell is None else " ".join(str(cell).split()) for cell in row)))
        if answer.more:
            print(f"… and more than these {len(answer.rows)}", file=sys.stderr)


class DataCut(Recipe):
    """Cut a subset from an opened data set."""

    dataset: CliPositionalArg[str] = Field(description="an opened data set")
    name: CliPositionalArg[str] = Field(description="name of the subset")
    recipe_file: Path | None = Field(None, description="a recipe.json to run again, instead of all other options")

    def cli_cmd(self) -> None:
        settings = Settings().prepare()
        recipe = Recipe(**self.model_dump(exclude={"name", "recipe_file"}))
        if self.recipe_file:
            recipe = subset.read_recipe(self.recipe_file, self.recipe_file.name)
            if recipe.dataset != self.dataset:
                raise StudioError(
                    f"The recipe is one for the data set {recipe.dataset!r}, not for {self.dataset!r}. "
                    f"Name {recipe.dataset!r}."
                )
        made = subset.create(settings, self.name, recipe)
        print(f"{made.name}: {made.describe()} SHA-256 {made.sha256}")
        for reason, count in made.left_out.items():
            print(f"{count:,} left out: {reason}")


class DataCompare(BaseModel):
    """What two subsets have in common."""

    left: CliPositionalArg[str] = Field(description="a subset's name")
    right: CliPositionalArg[str] = Field(description="another's")

    def cli_cmd(self) -> None:
        found = compare.compare(Settings().prepare(), self.left, self.right)
        print(f"{found.common:,} conversations in both, of {found.left_size:,} and {found.right_size:,} different ones")
        print(f"{found.crossed:,} that one trains on and the other holds out")


def _report(done: export.ExportResult) -> None:
    print(done.path)
    for reason, rows in done.not_written.items():
        print(f"{len(rows):,} rows left out: {reason} (row {', '.join(map(str, rows[:5]))})", file=sys.stderr)


class DataExport(BaseModel):
    """Export a subset as a zip, with its card and recipe."""

    subset: CliPositionalArg[str] = Field(description="a subset's name")
    format: ExportFormat = Field("llama2", description="how conversations are written")
    files: list[FileKind] = Field(["jsonl", "parquet"], description="kinds of file, once each")

    def cli_cmd(self) -> None:
        _report(export.export(Settings().prepare(), self.subset, self.format, list(self.files), print_progress))


class DataPush(BaseModel):
    """Push a subset to the Hugging Face Hub, as Parquet with its card and recipe. HF_TOKEN says who you are."""

    subset: CliPositionalArg[str] = Field(description="a subset's name")
    repo: CliPositionalArg[str] = Field(description="owner/name; made when there is none")
    format: ExportFormat = Field("messages", description="how conversations are written")
    private: bool = Field(True, description="of a repository that is made")

    def cli_cmd(self) -> None:
        _report(
            export.push(
                Settings().prepare(), self.subset, self.format, self.repo, self.private, progress=print_progress
            )
        )


class Data(BaseModel):
    """Open, look into, cut, compare, export and push instruction data."""

    list: CliSubCommand[DataList] = Field(description=DataList.__doc__)
    open: CliSubCommand[DataOpen] = Field(description=DataOpen.__doc__)
    about: CliSubCommand[DataAbout] = Field(description=DataAbout.__doc__)
    read: CliSubCommand[DataRead] = Field(description=DataRead.__doc__)
    rows: CliSubCommand[DataRows] = Field(description=DataRows.__doc__)
    show: CliSubCommand[DataShow] = Field(description=DataShow.__doc__)
    lengths: CliSubCommand[DataLengths] = Field(description=DataLengths.__doc__)
    duplicates: CliSubCommand[DataDuplicates] = Field(description=DataDuplicates.__doc__)
    sql: CliSubCommand[DataSQL] = Field(description=DataSQL.__doc__)
    cut: CliSubCommand[DataCut] = Field(description=DataCut.__doc__)
    compare: CliSubCommand[DataCompare] = Field(description=DataCompare.__doc__)
    export: CliSubCommand[DataExport] = Field(description=DataExport.__doc__)
    push: CliSubCommand[DataPush] = Field(description=DataPush.__doc__)

    def cli_cmd(self) -> None:
        CliApp.run_subcommand(self)
