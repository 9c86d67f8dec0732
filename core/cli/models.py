"""The commands `python -m core models`: list the models, and prepare the embedded one."""

import os
import sys

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliSubCommand

from core.models import catalogue, embedded
from core.settings import Settings


class ModelsList(BaseModel):
    """List the local models; any Hub id can be named too."""

    def cli_cmd(self) -> None:
        """Print one line per model."""
        for model in catalogue.available(Settings().prepare()):
            print(f"{model.name}  {model.label}")


class ModelsPrepare(BaseModel):
    """Download and convert the embedded model, once."""

    def cli_cmd(self) -> None:
        """Prepare the model and print its folder; the stages go to stderr."""
        # Read by tqdm when it is imported: one line per stage is enough here.
        os.environ.setdefault("TQDM_DISABLE", "1")
        print(embedded.prepare(Settings().prepare(), lambda stage: print(stage, file=sys.stderr, flush=True)))


class Models(BaseModel):
    """List models, and prepare the embedded one."""

    list: CliSubCommand[ModelsList] = Field(description=ModelsList.__doc__)
    prepare: CliSubCommand[ModelsPrepare] = Field(description=ModelsPrepare.__doc__)

    def cli_cmd(self) -> None:
        """Run the chosen subcommand."""
        CliApp.run_subcommand(self)
