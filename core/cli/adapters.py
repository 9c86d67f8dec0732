"""The commands `python -m core adapters`: import adapters that were made elsewhere, list and remove them."""

from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import CliApp, CliPositionalArg, CliSubCommand

from core.chat.types import BaseIdentity
from core.cli.reading import print_progress, printable
from core.export.import_settings import ImportSettings
from core.export.tasks import import_adapter
from core.runs.config.model import ComputeDType, Quantization
from core.runs.imported import AdapterStore, ImportedAdapter
from core.settings import Settings

_FIELDS = ImportSettings.model_fields


def _print(adapter: ImportedAdapter) -> None:
    origin = adapter.origin()
    source = f"{origin.source}@{origin.revision[:8]}" if origin.revision else origin.source
    print(
        printable(f"{adapter.id}: {origin.kind} from {source}, on {BaseIdentity.from_config(adapter.config()).label}")
    )
    for note in origin.notes:
        print(printable(note))


class AdaptersAdd(BaseModel):
    """Import a PEFT adapter from the Hub or a ZIP; a private one takes HF_TOKEN."""

    source: CliPositionalArg[str] = Field(description=_FIELDS["source"].description)
    revision: str = Field("", description=_FIELDS["revision"].description)
    base: str = Field("", description=_FIELDS["base"].description)
    quantization: Quantization = Field(_FIELDS["quantization"].default, description=_FIELDS["quantization"].description)
    compute_dtype: ComputeDType = Field(
        _FIELDS["compute_dtype"].default, description=_FIELDS["compute_dtype"].description
    )

    def cli_cmd(self) -> None:
        """Import the adapter, and print how to ask it."""
        settings = Settings().prepare()
        archive = Path(self.source) if self.source.endswith(".zip") else None
        name = import_adapter(settings, ImportSettings(**self.model_dump()), archive, print_progress)
        _print(AdapterStore(settings).find(name))
        print(f'Ask it: python -m core chat {name} "A question"')


class AdaptersList(BaseModel):
    """List the imported adapters."""

    def cli_cmd(self) -> None:
        """Print them."""
        for adapter in AdapterStore(Settings().prepare()).folders():
            _print(adapter)


class AdaptersRemove(BaseModel):
    """Delete an imported adapter."""

    name: CliPositionalArg[str] = Field(description="Its name, as `adapters list` prints it.")

    def cli_cmd(self) -> None:
        """Delete it."""
        AdapterStore(Settings().prepare()).delete(self.name)


class Adapters(BaseModel):
    """Import adapters that were made elsewhere, for Chat and Evaluate."""

    add: CliSubCommand[AdaptersAdd] = Field(description=AdaptersAdd.__doc__)
    list: CliSubCommand[AdaptersList] = Field(description=AdaptersList.__doc__)
    remove: CliSubCommand[AdaptersRemove] = Field(description=AdaptersRemove.__doc__)

    def cli_cmd(self) -> None:
        """Run the chosen subcommand."""
        CliApp.run_subcommand(self)
