"""An export as a job: the adapter, a merged model, GGUF or files for Ollama, and the comparison with the model here.

A file appears under its name when it is complete (`core.export.scratch`).
"""

import os
import shutil
import zipfile
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from core.data import subset
from core.data.table import HELD_OUT
from core.errors import StudioError
from core.export import adapter, fidelity, gguf_adapter, gguf_file, ollama, safetensors_folder
from core.export.base_weights import WeightFiles
from core.export.card.facts import folder_name
from core.export.card.writing import Subject, write_card
from core.export.config import FORMS, ExportConfig
from core.export.merge import MergedModel
from core.export.result import Exported, Fidelity
from core.export.scratch import card_folder, scratch_folder
from core.models import catalogue, support
from core.models.download import fetch
from core.models.loading import Precision, load_tokenizer
from core.runs.adapters import adapter_folder
from core.runs.holdout import hold_out
from core.runs.store import Run, RunStore
from core.settings import Settings
from core.system.jobs import Progress, ignore_progress
from core.system.sizes import format_size

if TYPE_CHECKING:
    import torch

    from core.data.tokens import Renderer

# Shares of the work before the comparison.
_WRITTEN, _PACKED = 0.6, 0.7
_MARGIN_BYTES = 2**28


def export(
    settings: Settings, run_id: str, name: str, config: ExportConfig, progress: Progress = ignore_progress
) -> Exported:
    """Write an adapter of a run in the chosen form.

    Args:
        settings: The studio's settings.
        run_id: The run.
        name: "final", or "step N" for a checkpoint.
        config: The form and its settings.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: There is no such adapter, it cannot be written in this form, or the disk is too small.
    """
    run = RunStore(settings).run(run_id)
    if config.form == "adapter":
        written = adapter.write_adapter(settings, run, name)
        return Exported(path=written.path, size=written.size, form=config.form)
    if run.config().classifies:
        raise StudioError("A classifier has a head beside its adapter. Export it as an adapter for PEFT.")
    return _Export(settings, run, name, config, progress).work()


@dataclass
class _Export:
    """One export of a merged model."""

    settings: Settings
    run: Run
    name: str
    config: ExportConfig
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def work(self) -> Exported:
        """Write the file, and compare it."""
        self.progress(0, "Loading the base model")
        merged, renderer = self._open()
        target = self.settings.exports_dir / self.config.file_name(folder_name(self.run, self.name))
        self._check_disk(merged)
        with scratch_folder(target) as folder:
            content = self._write(merged, renderer, folder)
            found = self._compare(merged, renderer, content, folder)
            self._advise(found)
            subject = Subject(self.settings, self.run, self.name, self.config, target.stem, found, self.notes)
            # A GGUF file holds no other files, so its card lies in a folder beside it.
            with card_folder(target) if self.config.is_one_file else nullcontext(folder) as place:
                write_card(subject, place)
            packed = content if self.config.is_one_file else _zip(folder, target.stem)
            with packed.open("rb") as file:
                # Without the flush, a crash after the rename could leave an incomplete file.
                os.fsync(file.fileno())
            packed.replace(target)
        self.progress(1, "Done")
        size = target.stat().st_size
        return Exported(path=target, size=size, form=self.config.form, notes=self.notes, fidelity=found)

    def _open(self) -> tuple[MergedModel, "Renderer"]:
        from core.data.tokens import Renderer

        run = self.run.config()
        model = catalogue.find(self.settings, run.model, run.revision)
        fetch(model, lambda stage: self.progress(0, stage))
        precision = Precision(run.quantization, run.double_quantization, run.compute_dtype)
        if run.quantization == "int8" and self.config.base == "as trained":
            raise StudioError(
                "The run loaded its base in int8, whose products are rounded and not its weights alone. Set Base "
                "weights to original."
            )
        source = WeightFiles(model, precision, self.config.base)
        merged = MergedModel(source, adapter_folder(self.run, self.name), self.config.strength)
        # Read before anything is written: an adapter that cannot be merged is refused here.
        _ = merged.adapter
        vocabulary = source.config.get_text_config().vocab_size
        return merged, Renderer(load_tokenizer(model), run.chat_template, vocabulary)

    def _write(self, merged: MergedModel, renderer: "Renderer", folder: Path) -> Path:
        """Write the weights and the files beside them; return the file or folder of the weights."""

        def advance(share: float, stage: str) -> None:
            self.progress(_WRITTEN * share, stage)

        if self.config.form == "merged":
            safetensors_folder.write_model_files(merged, self.config.dtype, folder)
            safetensors_folder.write_weights(merged, self.config.dtype, folder, advance)
            return folder
        path = folder / ollama.GGUF_NAME
        if self.config.form == "gguf-adapter":
            gguf_adapter.write_adapter(merged, path, self.run.title)
            return path
        gguf_file.write_gguf(merged, self.config.quantization, path, self.run.title, advance, renderer.template)
        if self.config.form == "ollama":
            text, notes = ollama.write_modelfile(renderer, support.context_of(merged.source.config))
            (folder / "Modelfile").write_text(text, encoding="utf-8")
            self.notes += notes
        return path

    def _compare(self, merged: MergedModel, renderer: "Renderer", content: Path, folder: Path) -> Fidelity | None:
        """Return the comparison on held-out rows; None, with a note, if none is possible."""
        if "check_rows" not in FORMS[self.config.form].settings:
            return None
        if not self.config.check_rows:
            self.notes.append("Nothing was compared, because Compared rows is 0.")
            return None
        self.progress(_PACKED, "Comparing it with the model as trained")
        run = self.run.config()
        rows = subset.load(self.settings, run.subset)
        # If the subset has no held-out rows, the run chose some itself; the same settings choose the same rows again.
        hold_out(run, rows)
        tokenized = fidelity.held_out_rows(renderer, rows[HELD_OUT], self.config.check_rows, run.max_length)
        if not tokenized:
            self.notes.append(f"Nothing was compared: the run has no held-out rows of the subset {run.subset!r}.")
            return None
        if reason := fidelity.memory_problem(merged):
            self.notes.append(f"Nothing was compared: {reason}.")
            return None
        # Of another base and strength, the model as trained stays the measure.
        trained = MergedModel(self._source_as_trained(merged), merged.adapter_folder)
        share = 1 - _PACKED
        return fidelity.compare(
            trained, self._read_back(merged, content, folder), tokenized,
            lambda done, stage: self.progress(_PACKED + share * done, stage),
        )  # fmt: skip

    def _advise(self, found: Fidelity | None) -> None:
        """Note what would come closer to the model as trained."""
        if found is None or found.grade == "same":
            return
        if self.config.base == "original":
            self.notes.append("Base weights as trained would come closer.")
        elif "quantization" in FORMS[self.config.form].settings and self.config.quantization not in ("F16", "BF16"):
            self.notes.append("A GGUF type with more bits would come closer.")

    def _source_as_trained(self, merged: MergedModel) -> WeightFiles:
        is_int8 = merged.source.precision.quantization == "int8"
        if is_int8:
            self.notes.append("Compared with the original weights, as int8 rounds products and not weights alone.")
        return WeightFiles(merged.source.model, merged.source.precision, "original" if is_int8 else "as trained")

    def _read_back(self, merged: MergedModel, content: Path, folder: Path) -> Iterable[tuple[str, "torch.Tensor"]]:
        if self.config.form == "merged":
            return safetensors_folder.read_weights(folder)
        return gguf_file.read_weights(content, merged, self.config.quantization)

    def _check_disk(self, merged: MergedModel) -> None:
        """Check that the file and what is written before it fit on the disk."""
        size = safetensors_folder.size_of(merged, self.config.dtype if self.config.form == "merged" else "float16")
        needed = (size if self.config.is_one_file else 2 * size) + _MARGIN_BYTES
        free = shutil.disk_usage(self.settings.exports_dir).free
        if needed > free:
            raise StudioError(
                f"The export needs up to {format_size(needed)} of disk, and {format_size(free)} are free. Delete files "
                "in exports/, or choose fewer bits."
            )


def _zip(folder: Path, name: str) -> Path:
    """Pack the files of a folder into a zip beside them, and remove each once it is packed."""
    path = folder / ".zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.iterdir()):
            if file != path:
                archive.write(file, f"{name}/{file.name}")
                file.unlink()
    return path
