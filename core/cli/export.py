"""The command `python -m core export`: export a trained adapter, alone or merged into its base model."""

from getpass import getpass
from pathlib import Path

from pydantic import Field
from pydantic_settings import CliPositionalArg

from core.cli.export_push import ExportPush
from core.cli.reading import print_progress
from core.export import type_comparison
from core.export.card.facts import base_name
from core.export.config import FORMS, ExportConfig
from core.export.result import Exported
from core.export.signing import Signer
from core.export.tasks import export
from core.runs.store import RunStore
from core.settings import Settings
from core.system.sizes import format_size


class Export(ExportConfig, ExportPush):
    """Write a run's adapter for PEFT, merged into its base, or for llama.cpp, Ollama or MLX; --push sends it on."""

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
        for one in written.serving:
            print(one.problem or f"With {one.engine}: {one.command}")
        for path in [one.path for one in written.types] or [written.path]:
            if signer:
                print(f"{signer.sign(path)}: its signature")
        self.push_file(settings, written, target)


def _print_types(written: Exported) -> None:
    """Print the table of several types, which of them is marked and why, and where the comparison is."""
    rows = [type_comparison.HEAD, *(type_comparison.row(one) for one in type_comparison.by_size(written.types))]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(type_comparison.HEAD))]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
    print(type_comparison.describe_choice(written.types))
    if written.report:
        print(f"All files are in {written.path.parent}; {written.report.name} has their comparison.")
