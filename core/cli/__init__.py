"""The command line `python -m core`: the main actions of the page.

Options, defaults, bounds and help come from the same pydantic models as the forms of the page. An error that the user
can fix is one sentence on standard error and exit code 2.
"""

import os
import sys

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliSubCommand,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from core.cli.adapters import Adapters
from core.cli.chat import Chat
from core.cli.data import Data
from core.cli.evaluate import Evaluate
from core.cli.export import Export
from core.cli.models import Models
from core.cli.publish_check import PublishCheckCommand
from core.cli.push import Push
from core.cli.runs import Runs, Train
from core.cli.serve import Serve
from core.cli.verify import Verify
from core.errors import StudioError, sentences
from core.system.fast_imports import disable_compiler
from core.system.streams import escape_unprintable

# Earlier names of commands, which keep working for one version.
_RENAMED = {("answers",): ("evaluate",), ("data", "cut"): ("data", "subset")}


class StudioCommand(BaseSettings):
    """QLoRA Studio from the command line. STUDIO_HOME is the folder of all its files."""

    model_config = SettingsConfigDict(
        cli_prog_name="python -m core",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_enforce_required=True,
    )

    data: CliSubCommand[Data] = Field(description=Data.__doc__)
    train: CliSubCommand[Train] = Field(description=Train.__doc__)
    chat: CliSubCommand[Chat] = Field(description=Chat.__doc__)
    evaluate: CliSubCommand[Evaluate] = Field(description=Evaluate.__doc__)
    export: CliSubCommand[Export] = Field(description=Export.__doc__)
    serve: CliSubCommand[Serve] = Field(description=Serve.__doc__)
    adapters: CliSubCommand[Adapters] = Field(description=Adapters.__doc__)
    push: CliSubCommand[Push] = Field(description=Push.__doc__)
    runs: CliSubCommand[Runs] = Field(description=Runs.__doc__)
    verify: CliSubCommand[Verify] = Field(description=Verify.__doc__)
    publish_check: CliSubCommand[PublishCheckCommand] = Field(description=PublishCheckCommand.__doc__)
    models: CliSubCommand[Models] = Field(description=Models.__doc__)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        **_: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the command line only: an environment variable such as DATA belongs to other programs."""
        return (init_settings,)

    def cli_cmd(self) -> None:
        """Run the chosen subcommand."""
        CliApp.run_subcommand(self)


def _with_present_name(arguments: list[str]) -> list[str]:
    """Return a command line with the present name of its command; print a note if it had an earlier one."""
    for old, new in _RENAMED.items():
        if tuple(arguments[: len(old)]) == old:
            print(
                f"`{' '.join(old)}` is now called `{' '.join(new)}`. The old name will be removed in the next version.",
                file=sys.stderr,
            )
            return [*new, *arguments[len(old) :]]
    return arguments


def main(arguments: list[str]) -> int:
    """Run a command and return its exit code: 0, 2 for an error that the user can fix, 130 after Ctrl+C."""
    disable_compiler()
    escape_unprintable()
    arguments = _with_present_name(arguments)
    try:
        CliApp.run(StudioCommand, cli_args=arguments or ["--help"])
        sys.stdout.flush()
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    except ValidationError as error:
        print(sentences(error, lambda field: "--" + field.replace("_", "-")), file=sys.stderr)
        return 2
    except SettingsError as error:
        print(f"{error} Add --help to list the options.", file=sys.stderr)
        return 2
    except SystemExit as end:
        if not isinstance(end.code, str):
            raise
        # pydantic-settings reports a missing subcommand as a text in place of an exit code.
        print(end.code, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has closed it. Without this, Python would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(
            "Interrupted. A run or evaluation that was started continues. Find it with: python -m core runs list, or "
            "python -m core evaluate list",
            file=sys.stderr,
        )
        return 130
    return 0
