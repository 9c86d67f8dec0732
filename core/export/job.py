"""An export as a job: the adapter, a merged model, GGUF or files for Ollama, and the comparison with the model here.

Several GGUF types are written one after another; what they share is computed once. A file appears under its name when
it is complete (`core.export.scratch`).
"""

import shutil
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import StudioError
from core.export import (
    adapter,
    curve,
    gguf_adapter,
    gguf_families,
    gguf_file,
    importance,
    importance_file,
    ollama,
    safetensors_folder,
)
from core.export.base_weights import WeightFiles
from core.export.card.facts import folder_name
from core.export.card.writing import Subject, write_card
from core.export.config import FORMS, LLAMA_CPP_TYPES, ExportConfig
from core.export.fidelity import Comparison
from core.export.float_model import FloatModel, memory_problem
from core.export.gguf_types import TypeWriter, bytes_at_most
from core.export.importance_file import Importance
from core.export.llama_quantize import check_installed
from core.export.merge import MergedModel
from core.export.result import Exported, ExportedType, Fidelity
from core.export.rows import ExportRows
from core.export.scratch import card_folder, pack, publish, scratch_folder
from core.models import catalogue, support
from core.models.download import fetch
from core.models.loading import Precision, load_tokenizer
from core.runs.adapters import adapter_folder
from core.runs.store import Run, RunStore
from core.settings import Settings
from core.system.files import write_json
from core.system.jobs import Progress, ignore_progress, part_of
from core.system.sizes import format_size

if TYPE_CHECKING:
    import torch

    from core.data.tokens import Renderer

# Shares of the work on one file before its comparison.
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
    if config.has_llama_cpp_types:
        check_installed(next(kind for kind in config.quantization if kind in LLAMA_CPP_TYPES))
    progress(0, "Loading the base model")
    return _Export(settings, run, name, config, progress).work()


@dataclass
class _Export:
    """One export of a merged model, in one file or in one per GGUF type."""

    settings: Settings
    run: Run
    name: str
    config: ExportConfig
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def work(self) -> Exported:
        """Write the files, and compare them."""
        configs = self._configs
        self._check_disk()
        target = self._target(self.config)
        with scratch_folder(target) as folder:
            writer = TypeWriter(
                self.merged, self.run.title, self.renderer.template, folder, self._collect_importance, self.notes
            )
            written = []
            for number, config in enumerate(configs):
                part = part_of(self.progress, number / len(configs), (number + 1) / len(configs))
                (inner := folder / str(number)).mkdir()
                written.append(self._write_file(config, inner, writer, part))
            writer.close()
            report = self._write_report(written, folder, target) if len(configs) > 1 else None
        self.progress(1, "Done")
        best = _choose(written)
        return Exported(
            path=best.path, size=best.size, form=self.config.form, notes=self.notes, fidelity=best.fidelity,
            types=written if report else [], report=report,
        )  # fmt: skip

    @cached_property
    def merged(self) -> MergedModel:
        """Return the model that is exported; one that cannot be is refused before anything is written."""
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
        _ = merged.adapter
        if self.config.form != "merged":
            gguf_families.find_family(source.config)
            self.notes += gguf_families.notes(source.config)
        return merged

    @cached_property
    def renderer(self) -> "Renderer":
        """Return the renderer with the run's template."""
        from core.data.tokens import Renderer

        source = self.merged.source
        vocabulary = source.config.get_text_config().vocab_size
        return Renderer(load_tokenizer(source.model), self.run.config().chat_template, vocabulary)

    @cached_property
    def rows(self) -> ExportRows:
        """Return the rows that exports are compared on, and those for the importance matrix."""
        return ExportRows(self.settings, self.run, self.renderer, self.config)

    @cached_property
    def _model(self) -> FloatModel:
        return FloatModel(self.merged.source.model)

    @cached_property
    def _comparison(self) -> Comparison | None:
        """Return the comparison with the model as trained; None, with a note, if none is possible."""
        if "check_rows" not in FORMS[self.config.form].settings:
            return None
        reason = ""
        if not self.config.check_rows:
            reason = ", because Compared rows is 0"
        elif not self.rows.compared:
            reason = f": the run has no held-out rows of the subset {self.run.config().subset!r}"
        elif problem := memory_problem(self.merged):
            reason = f": {problem}"
        if reason:
            self.notes.append(f"Nothing was compared{reason}.")
            return None
        # Of another base and strength, the model as trained stays the measure.
        trained = MergedModel(self._source_as_trained(), self.merged.adapter_folder)
        return Comparison(self._model, trained, self.rows.compared)

    @property
    def _configs(self) -> list[ExportConfig]:
        """Return the settings of each file."""
        if "quantization" not in FORMS[self.config.form].settings:
            return [self.config]
        return [self.config.of_type(kind) for kind in self.config.quantization]

    def _target(self, config: ExportConfig) -> Path:
        return self.settings.exports_dir / config.file_name(folder_name(self.run, self.name))

    def _write_file(self, config: ExportConfig, folder: Path, writer: TypeWriter, progress: Progress) -> ExportedType:
        """Write one file, compare it, and give it its name."""
        target = self._target(config)
        content = self._write(config, folder, writer, part_of(progress, 0, _WRITTEN))
        progress(_PACKED, "Reading the held-out rows")
        found = self._compare(config, content, folder, part_of(progress, _PACKED, 1))
        self._advise(config, found)
        subject = Subject(self.settings, self.run, self.name, config, target.stem, found, self.notes)
        # A GGUF file holds no other files, so its card lies in a folder beside it.
        with card_folder(target, folder) if config.is_one_file else nullcontext(folder) as place:
            write_card(subject, place)
        publish(content if config.is_one_file else pack(folder, target.stem), target)
        return ExportedType(
            quantization=config.quantization[0], path=target, size=target.stat().st_size, fidelity=found
        )

    def _write(self, config: ExportConfig, folder: Path, writer: TypeWriter, progress: Progress) -> Path:
        """Write the weights and the files beside them; return the file or folder of the weights."""
        if config.form == "merged":
            safetensors_folder.write_model_files(self.merged, config.dtype, folder)
            safetensors_folder.write_weights(self.merged, config.dtype, folder, progress)
            return folder
        path = folder / ollama.GGUF_NAME
        if config.form == "gguf-adapter":
            gguf_adapter.write_adapter(self.merged, path, self.run.title)
            return path
        writer.write(config.quantization[0], path, progress)
        if config.form == "ollama":
            text, notes = ollama.write_modelfile(self.renderer, support.context_of(self.merged.source.config))
            (folder / "Modelfile").write_text(text, encoding="utf-8")
            self.notes += [note for note in notes if note not in self.notes]
        return path

    def _collect_importance(self, progress: Progress) -> Importance | None:
        """Return the importance matrix; None if none is wanted, or, with a note, if none is possible."""
        if not self.config.importance_rows:
            return None
        reason = memory_problem(self.merged)
        if not self.rows.for_importance:
            reason = f"the subset {self.run.config().subset!r} has no other rows than the compared ones"
        if reason:
            self.notes.append(f"There is no importance matrix: {reason}.")
            return None
        self._model.fill_merged(self.merged)
        return importance.collect(self._model, self.rows.for_importance, self.rows.dataset, progress)

    def _compare(self, config: ExportConfig, content: Path, folder: Path, progress: Progress) -> Fidelity | None:
        if self._comparison is None:
            return None
        tensors: Iterable[tuple[str, torch.Tensor]] = (
            safetensors_folder.read_weights(folder)
            if config.form == "merged"
            else gguf_file.read_weights(content, self.merged)
        )
        return self._comparison.compare(tensors, progress)

    def _advise(self, config: ExportConfig, found: Fidelity | None) -> None:
        """Note what would come closer to the model as trained; of several types, the table shows it."""
        if found is None or found.grade == "same" or len(self.config.quantization) > 1:
            return
        if config.base == "original":
            self.notes.append("Base weights as trained would come closer.")
        elif "quantization" in FORMS[config.form].settings and config.quantization[0] not in ("F16", "BF16"):
            self.notes.append("A GGUF type with more bits would come closer.")

    def _source_as_trained(self) -> WeightFiles:
        source = self.merged.source
        is_int8 = source.precision.quantization == "int8"
        if is_int8:
            self.notes.append("Compared with the original weights, as int8 rounds products and not weights alone.")
        return WeightFiles(source.model, source.precision, "original" if is_int8 else "as trained")

    def _write_report(self, written: list[ExportedType], folder: Path, target: Path) -> Path:
        """Write the comparison of several types as a ZIP: a README, a picture, JSON, and the importance matrix."""
        (inside := folder / "report").mkdir()
        best = _choose(written)
        config = self.config.of_type(best.quantization)
        subject = Subject(self.settings, self.run, self.name, config, best.path.stem, best.fidelity, self.notes)
        with write_card(subject, inside).open("a", encoding="utf-8") as readme:
            readme.write(f"\n{curve.to_markdown(written)}\n")
        write_json(inside / "types.json", [one.model_dump(mode="json", exclude={"path"}) for one in written])
        if any(one.fidelity for one in written):
            (inside / curve.PICTURE).write_bytes(curve.picture(written))
        if (matrix := folder / importance_file.FILE).is_file():
            matrix.rename(inside / importance_file.FILE)
        publish(pack(inside, target.stem), target)
        return target

    def _check_disk(self) -> None:
        """Check that the files and what is written before them fit on the disk."""
        merged, config = self.merged, self.config
        whole = safetensors_folder.size_of(merged, config.dtype if config.form == "merged" else "float16")
        is_typed = "quantization" in FORMS[config.form].settings
        sizes = bytes_at_most(merged, config.quantization) if is_typed else [whole]
        # A ZIP is packed beside its content, and llama.cpp quantizes a file in F16.
        needed = sum(sizes) + (0 if config.is_one_file else max(sizes)) + whole * config.has_llama_cpp_types
        free = shutil.disk_usage(self.settings.exports_dir).free
        if needed + _MARGIN_BYTES > free:
            raise StudioError(
                f"The export needs up to {format_size(needed + _MARGIN_BYTES)} of disk, and {format_size(free)} are "
                "free. Delete files in exports/, or choose fewer bits."
            )


def _choose(written: list[ExportedType]) -> ExportedType:
    """Return the marked file, or else the one that is closest to the model as trained, or else the largest."""
    closest = min(written, key=lambda one: (one.fidelity.mean_kl if one.fidelity else 0, -one.size))
    return curve.find_smallest(written) or closest
