"""The commands `python -m core push`: exports, runs and evaluations to the Hugging Face Hub."""

import shlex

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliPositionalArg, CliSubCommand

from core.cli.one_evaluation import open_store
from core.cli.push_options import PushOptions
from core.cli.reading import print_progress, printable
from core.export import push
from core.hub.account import find_account
from core.hub.push import Pushed
from core.settings import Settings

_REPO = "The repository, owner/name; created if it does not exist."


def print_pushed(done: Pushed) -> None:
    """Print where something was pushed, and as whom."""
    print(printable(done.describe()))
    print(printable(done.account))


def push_command(file: str, repo: str) -> str:
    """Return the command that pushes a finished export.

    Args:
        file: Its name in the folder of exports.
        repo: The repository.
    """
    return shlex.join(["python", "-m", "core", "push", "export", file, repo])


class PushAccount(BaseModel):
    """Print whom the token of this machine belongs to, and what it may do."""

    def cli_cmd(self) -> None:
        """Print the account."""
        print(printable(find_account().describe()))


class PushExport(PushOptions):
    """Push a finished export, as `export` has written it, as a model."""

    file: CliPositionalArg[str] = Field(description="The name of the file in STUDIO_HOME/exports.")
    repo: CliPositionalArg[str] = Field(description=_REPO)

    def cli_cmd(self) -> None:
        """Push the file."""
        print_pushed(push.push_export(Settings().prepare(), self.file, self.target(self.repo), print_progress))


class PushRun(PushOptions):
    """Push the settings, the report and the curves of a run, into the folder run/ of a model's repository."""

    run: CliPositionalArg[str] = Field(description="The run, as `runs list` prints it.")
    repo: CliPositionalArg[str] = Field(description=_REPO)

    def cli_cmd(self) -> None:
        """Push the files."""
        print_pushed(push.push_run(Settings().prepare(), self.run, self.target(self.repo), print_progress))


class PushEvaluation(PushOptions):
    """Push the answers, metrics and verdict of an evaluation, as a dataset."""

    evaluation: CliPositionalArg[str] = Field(description="The id of an evaluation.")
    repo: CliPositionalArg[str] = Field(description=_REPO)

    def cli_cmd(self) -> None:
        """Push the results."""
        print_pushed(push.push_evaluation(open_store(), self.evaluation, self.target(self.repo), print_progress))


class Push(BaseModel):
    """Push exports, runs and evaluations to the Hugging Face Hub. HF_TOKEN needs write access."""

    export: CliSubCommand[PushExport] = Field(description=PushExport.__doc__)
    run: CliSubCommand[PushRun] = Field(description=PushRun.__doc__)
    evaluation: CliSubCommand[PushEvaluation] = Field(description=PushEvaluation.__doc__)
    account: CliSubCommand[PushAccount] = Field(description=PushAccount.__doc__)

    def cli_cmd(self) -> None:
        """Run the chosen subcommand."""
        CliApp.run_subcommand(self)
