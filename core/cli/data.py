"""The commands `python -m core data`: open and inspect datasets; create, compare, export and push subsets."""

import sys
from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliPositionalArg, CliSubCommand

from core.cli.data_loss import DataLoss
from core.cli.one_dataset import OneDataset, refuse_options
from core.cli.push_options import PushOptions
from core.cli.reading import describe_dataset, print_about, print_progress, printable
from core.data import compare, export, lengths, near_duplicates, readers, sources, sql_box, subset, table
from core.data.check_reading import with_found_columns
from core.data.export import FileKind
from core.data.formats import ExportFormat, Reading
from core.data.listing import list_some
from core.data.recipe import Recipe
from core.data.report import check_reading
from core.data.tokens import TemplateName
from core.data.view import View
from core.errors import StudioError
from core.models import embedded
from core.runs.config import QLoRAConfig
from core.settings import Settings
from core.system.counting import counted


class DataList(BaseModel):
    """List the opened datasets and the subsets."""

    def cli_cmd(self) -> None:
        """Print one line per dataset and subset."""
        settings = Settings().prepare()
        subset.ensure_bundled(settings)
        for data in table.opened_datasets(settings):
            print(f"dataset   {data.id}: {describe_dataset(data)}")
        for each in subset.subsets(settings):
            print(f"subset    {each.name}: {each.describe()}")


class DataOpen(BaseModel):
    """Open the bundled dataset, a file, a folder saved with `datasets`, or a Hub id (owner/name)."""

    what: CliPositionalArg[str] = Field(description=f"{sources.BUNDLED!r}, a path, or a Hub id.")
    config: str | None = Field(None, description="Configuration of a Hub dataset.")
    split: str | None = Field(None, description="Split of a Hub dataset; all by default.")
    revision: str | None = Field(None, description="Branch, tag or commit of a Hub dataset; saved as its commit.")

    def cli_cmd(self) -> None:
        """Open the dataset and print its report."""
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
    """Read the rows in another way than was detected; other commands take the same options after --reading."""

    dataset: CliPositionalArg[str] = Field(description="An opened dataset.")

    def cli_cmd(self) -> None:
        """Print the report under the given reading."""
        settings = Settings().prepare()
        data = table.find(settings, self.dataset)
        reading = with_found_columns(data, Reading(**self.model_dump(exclude={"dataset"})))
        check_reading(data, reading)
        print_about(settings, data, reading)


class DataAbout(BaseModel):
    """Describe an opened dataset: its format and why, counts, unused columns, notes and errors."""

    dataset: CliPositionalArg[str] = Field(description="An opened dataset.")

    def cli_cmd(self) -> None:
        """Print the report."""
        settings = Settings().prepare()
        print_about(settings, table.find(settings, self.dataset))


class DataRows(OneDataset, View):
    """Print a page of rows, filtered and sorted."""

    offset: int = Field(0, ge=0, description="First row.")
    size: int = Field(25, ge=1, le=500, description="Rows to show.")

    def cli_cmd(self) -> None:
        """Print one line per row."""
        rows = self.rows(Settings().prepare())
        view = View(**self.model_dump(include=set(View.model_fields)))
        total = rows.count(view)
        if not total:
            raise StudioError(f"No row matches: {view.describe()}. Search for something else.")
        if self.offset >= total:
            raise StudioError(f"There is no row {self.offset}. Expected 0 to {total - 1}.")
        for record in rows.page(view, self.offset, self.size, ["row", "split", "prompt", "answer"]).to_dict("records"):
            problem = record["problem_"]
            # pandas gives NaN, which differs from itself, for a missing text.
            usable = problem is None or problem != problem
            text = f"{record['prompt'] or ''} → {record['answer'] or ''}" if usable else f"cannot be used: {problem}"
            print(f"{record['row']:>6}  {record['split']:<8}  {' '.join(printable(text).split())}"[:160])


class DataShow(OneDataset):
    """Print one row as a conversation."""

    row: CliPositionalArg[int] = Field(description="The number of the row.")

    def cli_cmd(self) -> None:
        """Print the conversation and its notes."""
        record = self.rows(Settings().prepare()).row(self.row)
        if record["problem"]:
            print(f"Cannot be used: {record['problem']}.\n{printable(record['raw'])}")
        for message in record["messages"]:
            mark = ", not trained on" if message.get("loss") is False else ""
            print(f"[{message['role']}{mark}]\n{printable(message['content'])}\n")
        for note in record["notes"]:
            print(f"Note: {printable(note)}.")


class DataLengths(OneDataset):
    """Print token statistics: lengths, truncated rows and the share of padding."""

    model: str = Field(embedded.NAME, description="The model whose tokenizer is used.")
    template: TemplateName = Field("auto", description="The chat template.")
    max_length: int = Field(QLoRAConfig().max_length, ge=1, description="Maximum tokens per row.")
    batch_size: int = Field(QLoRAConfig().batch_size, ge=1, description="Rows per padded batch.")

    def cli_cmd(self) -> None:
        """Count the tokens and print the statistics."""
        settings = Settings().prepare()
        data, reading = self.find(settings)
        tokens = lengths.TokenizerSpec(self.model, self.template)
        path = lengths.count_tokens(
            settings, data, reading, tokens, lambda share: print_progress(share, "Counting tokens")
        )
        found = lengths.summarize(path, self.max_length, self.batch_size)
        answers = counted(found.answer_tokens, "token")
        print(f"{counted(found.rows, 'row')}, {counted(found.tokens, 'token')}, {answers} in answers")
        print(f"median {found.median:,}, longest {found.longest:,}")
        print(
            f"{counted(found.truncated, 'row is', 'rows are')} truncated at {self.max_length:,}: "
            f"{counted(found.lost_tokens, 'token is', 'tokens are')} lost"
        )
        print(f"{found.padding:.0%} of a batch of {self.batch_size} is padding without packing")
        if found.refused:
            print(f"The template refuses {counted(found.refused, 'row')}")


class DataDuplicates(OneDataset):
    """List the rows that are almost the same as an earlier one."""

    def cli_cmd(self) -> None:
        """Print one line per near duplicate."""
        settings = Settings().prepare()
        data, reading = self.find(settings)
        path = near_duplicates.find(settings, data, reading, lambda share: print_progress(share, "Comparing rows"))
        rows = self.rows(settings, near=path)
        pairs = rows.query("row, near_duplicate_of", {"near"}, after="WHERE near_duplicate_of IS NOT NULL ORDER BY row")
        for row, first in pairs.fetchall():
            print(f"{row:>6}  almost the same as {first}")


class DataSQL(OneDataset):
    """Run a SELECT over the table `rows` of a dataset."""

    sql: CliPositionalArg[str] = Field(description="Such as SELECT language, count(*) FROM rows GROUP BY language.")

    def cli_cmd(self) -> None:
        """Print the result, one row per line, cells separated by tabs."""
        result = sql_box.run_select(self.rows(Settings().prepare()), self.sql)
        print("\t".join(result.columns))
        for row in result.rows:
            print(printable("\t".join("" if cell is None else " ".join(str(cell).split()) for cell in row)))
        if result.has_more:
            print(f"Only the first {len(result.rows)} rows are shown.", file=sys.stderr)


class DataSubset(Recipe):
    """Create a subset of an opened dataset."""

    dataset: CliPositionalArg[str] = Field(description="An opened dataset.")
    name: CliPositionalArg[str] = Field(description="Name of the subset.")
    recipe_file: Path | None = Field(None, description="A recipe.json to repeat, in place of all other options.")

    def cli_cmd(self) -> None:
        """Create the subset and print what it contains."""
        settings = Settings().prepare()
        recipe = Recipe(**self.model_dump(exclude={"name", "recipe_file"}))
        if self.recipe_file:
            refuse_options(
                self.model_fields_set - {"dataset", "name", "recipe_file"}, "--recipe-file holds all settings"
            )
            recipe = subset.read_recipe(self.recipe_file, self.recipe_file.name)
            if recipe.dataset != self.dataset:
                raise StudioError(
                    f"The recipe is for the dataset {recipe.dataset!r}, not for {self.dataset!r}. "
                    f"Name {recipe.dataset!r}."
                )
        elif recipe.reading:
            reading = with_found_columns(table.find(settings, self.dataset), recipe.reading)
            recipe = recipe.model_copy(update={"reading": reading})
        created = subset.create(settings, self.name, recipe)
        print(f"{created.name}: {created.describe()} SHA-256 {created.sha256}")
        for reason, count in created.left_out.items():
            print(f"{count:,} left out: {reason}")


class DataCompare(BaseModel):
    """Count the conversations that two subsets have in common."""

    left: CliPositionalArg[str] = Field(description="The name of a subset.")
    right: CliPositionalArg[str] = Field(description="The name of another subset.")

    def cli_cmd(self) -> None:
        """Print the counts."""
        found = compare.compare(Settings().prepare(), self.left, self.right)
        common = counted(found.common, "conversation")
        print(f"{common} in both, of {found.left_size:,} and {found.right_size:,} distinct ones")
        crossed = counted(found.crossed, "conversation is", "conversations are")
        print(f"{crossed} trained on in one subset and held out in the other")


def _print_export(result: export.ExportResult) -> None:
    print(result.path)
    for reason, rows in result.not_written.items():
        print(f"{counted(len(rows), 'row')} left out: {reason} (row {list_some(rows, 5)})", file=sys.stderr)


class DataExport(BaseModel):
    """Export a subset as a zip, with its card and recipe."""

    subset: CliPositionalArg[str] = Field(description="The name of a subset.")
    format: ExportFormat = Field("llama2", description="How conversations are written.")
    files: list[FileKind] = Field(["jsonl", "parquet"], description="File formats, one option each.")

    def cli_cmd(self) -> None:
        """Write the zip file and print its path."""
        _print_export(export.export(Settings().prepare(), self.subset, self.format, list(self.files), print_progress))


class DataPush(PushOptions):
    """Push a subset to the Hugging Face Hub, as Parquet with its card and recipe. HF_TOKEN needs write access."""

    subset: CliPositionalArg[str] = Field(description="The name of a subset.")
    repo: CliPositionalArg[str] = Field(description="The repository, owner/name; created if it does not exist.")
    format: ExportFormat = Field("messages", description="How conversations are written.")
    private: bool = Field(True, description="--no-private is the earlier name of --public.")

    def cli_cmd(self) -> None:
        """Push the subset and print its address."""
        target = self.model_copy(update={"public": self.public or not self.private}).target(self.repo)
        _print_export(export.push(Settings().prepare(), self.subset, self.format, target, print_progress))


class Data(BaseModel):
    """Open and inspect instruction data; create, compare, export and push subsets."""

    list: CliSubCommand[DataList] = Field(description=DataList.__doc__)
    open: CliSubCommand[DataOpen] = Field(description=DataOpen.__doc__)
    about: CliSubCommand[DataAbout] = Field(description=DataAbout.__doc__)
    read: CliSubCommand[DataRead] = Field(description=DataRead.__doc__)
    rows: CliSubCommand[DataRows] = Field(description=DataRows.__doc__)
    show: CliSubCommand[DataShow] = Field(description=DataShow.__doc__)
    lengths: CliSubCommand[DataLengths] = Field(description=DataLengths.__doc__)
    loss: CliSubCommand[DataLoss] = Field(description=DataLoss.__doc__)
    duplicates: CliSubCommand[DataDuplicates] = Field(description=DataDuplicates.__doc__)
    sql: CliSubCommand[DataSQL] = Field(description=DataSQL.__doc__)
    subset: CliSubCommand[DataSubset] = Field(description=DataSubset.__doc__)
    compare: CliSubCommand[DataCompare] = Field(description=DataCompare.__doc__)
    export: CliSubCommand[DataExport] = Field(description=DataExport.__doc__)
    push: CliSubCommand[DataPush] = Field(description=DataPush.__doc__)

    def cli_cmd(self) -> None:
        """Run the chosen subcommand."""
        CliApp.run_subcommand(self)
