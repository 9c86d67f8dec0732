"""The command `python -m core export`: export a trained adapter, alone or merged into its base model."""

from pydantic import Field
from pydantic_settings import CliPositionalArg

from core.cli.one_dataset import refuse_options
from core.cli.push import print_pushed, push_command
from core.cli.push_options import PushOptions
from core.cli.reading import print_progress
from core.errors import StudioError
from core.export.adapter import base_name
from core.export.config import FORMS, ExportConfig
from core.export.push import push_export
from core.export.tasks import export
from core.hub.target import PushTarget
from core.runs.store import RunStore
from core.settings import Settings
from core.system.sizes import format_size


class Export(ExportConfig, PushOptions):
    """Write a run's adapter for PEFT, merged into its base, as GGUF, or for Ollama; --push sends it to the Hub too."""

    run: CliPositionalArg[str] = Field(description="The run, as `runs list` prints it.")
    adapter: str = Field("final", description="'final', or 'step N' for a checkpoint.")

    push: str = Field("", description="Push the file to this repository of the Hub, owner/name.")

    def cli_cmd(self) -> None:
        """Write the file, and print where it is and how close it is to the model here; push it if that is asked."""
        # Read before the export, which may take minutes.
        target = self._target()
        settings = Settings().prepare()
        config = ExportConfig(**self.model_dump(include=set(ExportConfig.model_fields)))
        base = base_name(RunStore(settings).run(self.run))
        written = export(settings, self.run, self.adapter, config, print_progress)
        kind = "merged into" if "base" in FORMS[config.form].settings else "an adapter for"
        print(f"{written.path} ({format_size(written.size)}), {kind} {base}")
        for note in written.notes:
            print(note)
        if written.fidelity:
            print(written.fidelity.describe())
        if target:
            self._push(settings, written.path.name, target)

    def _target(self) -> PushTarget | None:
        if self.push:
            return self.target(self.push)
        refuse_options(self.model_fields_set & set(PushOptions.model_fields), "Nothing is pushed without --push")
        return None

    def _push(self, settings: Settings, name: str, target: PushTarget) -> None:
        """Push the file; if that fails, say how to push it again without exporting it again."""
        try:
            print_pushed(push_export(settings, name, target, print_progress))
        except StudioError as error:
            raise StudioError(
                f"{error}\nThe export is complete. To push it: {push_command(name, self.push)}"
            ) from error
