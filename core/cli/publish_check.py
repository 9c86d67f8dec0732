"""The command `python -m core publish-check`: may this model be published?"""

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from core.cli.reading import print_progress, printable
from core.export.publish.check import DEFAULT_ROWS, MAX_ROWS, check_publish
from core.settings import Settings


class PublishCheckCommand(BaseModel):
    """Look for personal data and secrets in a run's rows, and for rows that the model repeats verbatim."""

    run: CliPositionalArg[str] = Field(description="The run, as `runs list` prints it.")
    adapter: str = Field("final", description="'final', or 'step N' for a checkpoint.")
    rows: int = Field(
        DEFAULT_ROWS, ge=0, le=MAX_ROWS,
        description="Training rows, and held-out rows, that the model continues; 0 measures nothing.",
    )  # fmt: skip

    def cli_cmd(self) -> None:
        """Print the findings with their rows, the extraction and the verdict."""
        found = check_publish(Settings().prepare(), self.run, self.adapter, self.rows, print_progress)
        for one in found.findings.listed:
            print(printable(f"row {one.row}, {one.split}, turn {one.turn + 1}: {one.what} {one.shown}"))
        if (more := sum(found.findings.counts.values()) - len(found.findings.listed)) > 0:
            print(f"… and {more:,} more")
        if found.extraction and (rows := found.extraction.more_than_base):
            print(f"Training rows that it repeats and its base does not, by number: {', '.join(map(str, rows))}")
        for sentence in found.describe():
            print(printable(sentence))
        print(found.verdict)
