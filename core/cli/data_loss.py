"""The command `python -m core data loss`: the base loss of every row, and its fall under a run."""

from pydantic import Field

from core.cli.one_dataset import OneDataset, refuse_options
from core.cli.reading import print_progress, printable
from core.data import row_losses
from core.data.row_losses import THRESHOLDS
from core.data.rows import Rows
from core.data.tokens import TemplateName
from core.data.view import View
from core.evaluate.row_losses.measure import measure
from core.evaluate.row_losses.plan import plan
from core.evaluate.row_losses.sources import source_of_model, source_of_run
from core.models import embedded
from core.runs.config import QLoRAConfig
from core.runs.store import RunStore
from core.settings import Settings
from core.system.counting import counted


class DataLoss(OneDataset):
    """Measure the loss of every row under a base model, and under a run if one is given.

    A measurement that was stopped continues where it stopped.
    """

    model: str = Field(embedded.NAME, description="The base model; a run has its own.")
    template: TemplateName = Field("auto", description="The chat template; a run has its own.")
    max_length: int = Field(QLoRAConfig().max_length, ge=1, description="Maximum tokens per row; a run has its own.")
    run: str = Field("", description="A run: its training rows are measured under its base and its adapter.")
    adapter: str = Field("final", description="The adapter of the run, such as 'step 20'.")
    show: int = Field(10, ge=0, description="Rows to print, those with the highest base loss first.")

    def cli_cmd(self) -> None:
        """Measure the losses and print their statistics."""
        if self.run:
            own = {"model", "template", "max_length"}
            refuse_options(self.model_fields_set & own, "A run has a model, a template and a maximum length of its own")
        else:
            refuse_options(self.model_fields_set & {"adapter"}, "Only a run has adapters, and no --run is given")
        settings = Settings().prepare()
        data, reading = self.find(settings)
        runs = RunStore(settings)
        if self.run:
            source = source_of_run(runs, runs.run(self.run), self.adapter)
        else:
            source = source_of_model(settings, self.model, self.template, self.max_length)
        print(printable(plan(runs, data, reading, source).describe()), flush=True)
        measure(settings, data, reading, source, print_progress)
        path = row_losses.find(settings, data, reading, source)
        found = row_losses.summarize(path, source)
        print(path)
        print(
            f"{counted(found.rows, 'row has', 'rows have')} a loss, {found.truncated:,} of them truncated at "
            f"{source.max_length:,} tokens"
        )
        for reason, count in found.missing.items():
            print(printable(f"{count:,} without a loss: {reason}"))
        if found.base is not None:
            tuned = f", {found.tuned:.4f} under the run" if found.tuned is not None else ""
            print(f"median base loss {found.base:.4f} nats per token{tuned}")
        for name, count in found.classes.items():
            print(f"{count:,} {name} ({THRESHOLDS[name]})")
        if found.caution:
            print(f"Note: {found.caution}.")
        _print_rows(Rows(settings, data.id, reading, losses=source), self.show)


def _print_rows(rows: Rows, count: int) -> None:
    """Print the rows with the highest base loss."""
    names = [name for name in ("row", "base_loss", "tuned_loss", "learning", "prompt") if name in rows.fields]
    shown = rows.page(View(sort="base_loss", descending=True), 0, count, names) if count else None
    for record in shown.to_dict("records") if shown is not None else ():
        # pandas gives NaN, which differs from itself, for a row without a loss.
        if record["base_loss"] == record["base_loss"]:
            cells = [f"{record['row']:>6}", f"{record['base_loss']:.4f}"]
            if "tuned_loss" in names:
                cells += [f"{record['tuned_loss']:.4f}", f"{record['learning'] or '':<13}"]
            print("  ".join([*cells, " ".join(printable(record["prompt"] or "").split())])[:160])
