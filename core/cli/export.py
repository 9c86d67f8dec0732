"""The command `python -m core export`: export a trained adapter, alone or merged into its base model."""

from getpass import getpass
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from core.cli.export_push import ExportPush
from core.cli.reading import print_progress
from core.export import curve
from core.export.card.facts import base_name
from core.export.config import FORMS, ExportConfig
from core.export.result import Exported
from core.export.signing import Signer
from core.export.tasks import export
from core.runs.store import RunStore
from core.settings import Settings
from core.system.sizes import format_size


class Export(ExportConfig, ExportPush):
    """Write a run's adapter for PEFT, merged into its base, as GGUF, or for Ollama; --push sends it to the Hub too."""

    run: CliPositionalArg[str] = Field(description="The run, as `runs list` prints it.")
    adapter: str = Field("final", description="'final', or 'step N' for a checkpoint.")
    sign: Path | None = Field(
        None, description="Sign the file with this private key (PEM, elliptic curve); the signature lies beside it."
    )

    def cli_cmd(self) -> None:
        """Write the file, and print where it is and how close it is to the model here."""
        # Read before the export, which may take minutes.
        target = self.push_target()
        signer = Signer(self.sign, lambda: getpass(f"Password of {self.sign}: ")) if self.sign else None
        settings = Settings().prepare()
        config = ExportConfig(**self.model_dump(include=set(ExportConfig.model_fields)))
        base = base_name(RunStore(settings).run(self.run))
        written = export(settings, self.run, self.adapter, config, print_progress)
        kind = "merged into" if "base" in FORMS[config.form].settings else "an adapter for"
        print(f"{written.path} ({format_size(written.size)}), {kind} {base}")
        if written.card:
            print(f"{written.card}: its card")
        for note in written.notes:
            print(note)
        if written.types:
            _print_types(written)
        if written.fidelity:
            print(written.fidelity.describe())
        for path in [one.path for one in written.types] or [written.path]:
            if signer:
                print(f"{signer.sign(path)}: its signature")
        self.push_file(settings, written, target)


def _print_types(written: Exported) -> None:
    """Print the table of several types, which is marked, and where the comparison is."""
    rows = [curve.HEAD, *(curve.row(one) for one in curve.by_size(written.types))]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(curve.HEAD))]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    print(curve.describe_choice(written.types))
    if written.report:
        print(f"All files are in {written.path.parent}; {written.report.name} has their comparison.")
