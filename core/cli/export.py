"""The command `python -m core export`: export a trained adapter as a zip."""

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from core.export.adapter import write_adapter
from core.runs.store import RunStore
from core.settings import Settings
from core.system.sizes import format_size


class Export(BaseModel):
    """Write a run's adapter as a zip for PEFT."""

    run: CliPositionalArg[str] = Field(description="The run, as `runs list` prints it.")
    adapter: str = Field("final", description="'final', or 'step N' for a checkpoint.")

    def cli_cmd(self) -> None:
        """Write the zip, and print where it is and which base model it needs."""
        settings = Settings().prepare()
        written = write_adapter(settings, RunStore(settings).run(self.run), self.adapter)
        print(f"{written.path} ({format_size(written.size)}), an adapter for {written.base}")
