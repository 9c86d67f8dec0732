"""`python -m core models …`: which models there are, and the embedded one's preparation."""

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliSubCommand

from core.models import catalogue, embedded
from core.settings import Settings


class ModelsList(BaseModel):
    """Models that can be named; any Hub id works besides."""

    def cli_cmd(self) -> None:
        for model in catalogue.available(Settings().prepare()):
            print(f"{model.name}  {model.label}")


class ModelsPrepare(BaseModel):
    """Fetch and convert the embedded model, once."""

    def cli_cmd(self) -> None:
        print(embedded.prepare(Settings().prepare()))


class Models(BaseModel):
    """List models; prepare the embedded one."""

    list: CliSubCommand[ModelsList] = Field(description=ModelsList.__doc__)
    prepare: CliSubCommand[ModelsPrepare] = Field(description=ModelsPrepare.__doc__)

    def cli_cmd(self) -> None:
        CliApp.run_subcommand(self)
