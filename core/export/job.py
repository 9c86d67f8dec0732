"""An export as a job: the adapter, a merged model, GGUF or files for Ollama, and the comparison with the model here.

Several GGUF types are written one after another; what they share is computed once. A file appears under its name when
it is complete (`core.export.scratch`).
"""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import StudioError
from core.export import (
    adapter,
    combine,
    gguf_adapter,
    gguf_file,
    importance,
    importance_file,
    mlx_adapter,
    model_folder,
    ollama,
    type_comparison,
)
from core.export.advice import advise, weigh_rounding
from core.export.availability import form_problem
from core.export.base_weights import WeightFiles
from core.export.card.facts import folder_name
from core.export.card.loading import list_serving
from core.export.card.writing import Subject, write_card
from core.export.config import FORMS, LLAMA_CPP_TYPES, ExportConfig
from core.export.disk import check_disk, work_shares
from core.export.fidelity import Comparison
from core.export.float_model import FloatModel, memory_problem
from core.export.gguf_types import TypeWriter
from core.export.importance_file import Importance
from core.export.llama_quantize import check_installed
from core.export.merge import MergedModel
from core.export.parts import Combined
from core.export.result import Exported, ExportedType, Fidelity
from core.export.rows import ExportRows
from core.export.scratch import card_folder, pack, publish, scratch_folder
from core.models import catalogue, gguf_families, support
from core.models.download import fetch
from core.models.loading import Precision, load_tokenizer
from core.runs.adapters import adapter_folder
from core.runs.store import Run, RunStore
from core.settings import Settings
from core.system.files import write_json
from core.system.jobs import Progress, ignore_progress, part_of

if TYPE_CHECKING:
    import torch

    from core.data.tokens import Renderer

# Share of the work on one file before its comparison, and without one before it is packed.
_WRITTEN, _WRITTEN_ALONE = 0.6, 0.95


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
    if problem := form_problem(settings, run, config):
        raise StudioError(problem)
    if config.has_llama_cpp_types:
        check_installed(next(kind for kind in config.quantization if kind in LLAMA_CPP_TYPES))
    progress(0, "Loading the base model")
    return _Export(settings, run, name, config, progress).work()


@dataclass
class _Export:
    """One export, other than an adapter for PEFT: one file, or one per GGUF type."""

    settings: Settings
    run: Run
    name: str
    config: ExportConfig
    progress: Progress
    notes: list[str] = field(default_factory=list)
    combined: Combined | None = None

    def work(self) -> Exported:
        """Write the files, and compare them."""
        configs, target = self._configs, self._target(self.config)
        with scratch_folder(target) as folder:
            if self.config.also:
                (combined := folder / "combined").mkdir()
                self.combined = combine.combine(self.settings, self.run, self.name, self.config, combined)
                self.notes += self.combined.notes
            check_disk(self.merged, self.config, self.settings.exports_dir)
            writer = TypeWriter(
                self.merged, self.run.title, self.renderer.template, folder, self._collect_importance, self.notes
            )
            written, shares = [], work_shares(self.merged, self.config)
            for number, (config, share) in enumerate(zip(configs, shares, strict=True)):
                part = self._part_of_file(number, share)
                (inner := folder / str(number)).mkdir()
                written.append(self._write_file(config, inner, writer, part))
            writer.close()
            name = written[0].path.stem
            served = list_serving(self.run, self.config.form, name, self.merged.adapter_folder)
            report = self._write_report(written, folder, target) if len(configs) > 1 else None
        self.progress(1, "Done")
        best = type_comparison.choose(written)
        return Exported(
            path=best.path, size=best.size, form=self.config.form, notes=self.notes, fidelity=best.fidelity,
            types=written if report else [], report=report, serving=served,
        )  # fmt: skip

    def _part_of_file(self, number: int, share: tuple[float, float]) -> Progress:
        """Return a callback for the work on one file, whose stages say which of several types it is."""
        part, total = part_of(self.progress, *share), len(self._configs)
        if total == 1:
            return part
        name = f"{self._configs[number].quantization[0]}, {number + 1} of {total} types"
        return lambda done, stage: part(done, f"{name}: {stage}")

    @cached_property
    def merged(self) -> MergedModel:
        """Return the model that is exported.

        It is read before anything is written, so that a model that cannot be exported is refused at once.
        """
        run = self.run.config()
        model = catalogue.find(self.settings, run.model, run.revision)
        fetch(model, lambda stage: self.progress(0, stage))
        precision = Precision(run.quantization, run.double_quantization, run.compute_dtype)
        # An adapter alone goes with any base; that of an int8 run cannot be read as trained.
        base = "original" if run.quantization == "int8" else self.config.base
        folder = self.combined.folder if self.combined else adapter_folder(self.run, self.name)
        merged = MergedModel(WeightFiles(model, precision, base), folder, self.config.strength)
        # Raises if the adapter cannot be merged.
        _ = merged.adapter
        if "quantization" in FORMS[self.config.form].settings or self.config.form == "gguf-adapter":
            gguf_families.find_family(merged.source.config)
            self.notes += gguf_families.notes(merged.source.config)
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
        # All exports are compared with it, also those of other base weights, another strength or several adapters.
        trained = MergedModel(self._source_as_trained(), adapter_folder(self.run, self.name))
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
        written = _WRITTEN if config.is_compared else _WRITTEN_ALONE
        content = self._write(config, folder, writer, part_of(progress, 0, written))
        found = self._compare(config, content, folder, part_of(progress, written, 1))
        self.notes += [one for one in advise(config, found, len(self._configs) == 1) if one not in self.notes]
        subject = self._subject(config, target.stem, found)
        # A GGUF file holds no other files, so its card lies in a folder beside it.
        with card_folder(target, folder) if config.is_one_file else nullcontext(folder) as place:
            write_card(subject, place)
        publish(content if config.is_one_file else pack(folder, target.stem), target)
        return ExportedType(
            quantization=config.quantization[0], path=target, size=target.stat().st_size, fidelity=found
        )

    def _subject(self, config: ExportConfig, name: str, found: Fidelity | None) -> Subject:
        return Subject(self.settings, self.run, self.name, config, name, found, self.notes, combined=self.combined)

    def _write(self, config: ExportConfig, folder: Path, writer: TypeWriter, progress: Progress) -> Path:
        """Write the weights and the files beside them; return the file or folder of the weights."""
        if config.is_model_folder:
            model_folder.write(self.merged, config, folder, progress)
            return folder
        if config.is_adapter:
            combine.write_folder(self.run, self.merged, folder)
            return folder
        if config.form == "mlx":
            mlx_adapter.write_folder(self.merged, folder)
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
        if config.is_compared:
            progress(0, "Reading the held-out rows")
        if self._comparison is None:
            return None
        tensors: Iterable[tuple[str, torch.Tensor]]
        if config.is_adapter:
            written = MergedModel(self.merged.source, folder)
            tensors = ((name, written.read(name)) for name in written.names)
        elif config.is_model_folder:
            tensors = model_folder.read_weights(self.merged, config, folder)
        else:
            tensors = gguf_file.read_weights(content, self.merged)
        found = self._comparison.compare(tensors, part_of(progress, 0, 0.7))
        if config.form == "merged-4bit":
            self.notes.append(weigh_rounding(found, self._comparison.compare_base(part_of(progress, 0.7, 1))))
        return found

    def _source_as_trained(self) -> WeightFiles:
        source = self.merged.source
        is_int8 = source.precision.quantization == "int8"
        if is_int8:
            self.notes.append("Compared with the original weights, as int8 rounds the inputs of each product, too.")
        return WeightFiles(source.model, source.precision, "original" if is_int8 else "as trained")

    def _write_report(self, written: list[ExportedType], folder: Path, target: Path) -> Path:
        """Write the comparison of several types as a ZIP: a README, a picture, JSON, and the importance matrix."""
        (inside := folder / "report").mkdir()
        best = type_comparison.choose(written)
        config = self.config.of_type(best.quantization)
        subject = self._subject(config, best.path.stem, best.fidelity)
        with write_card(subject, inside).open("a", encoding="utf-8") as readme:
            readme.write(f"\n{type_comparison.to_markdown(written)}\n")
        write_json(inside / "types.json", [one.model_dump(mode="json", exclude={"path"}) for one in written])
        if any(one.fidelity for one in written):
            (inside / type_comparison.PICTURE).write_bytes(type_comparison.picture(written))
        if (matrix := folder / importance_file.FILE).is_file():
            matrix.rename(inside / importance_file.FILE)
        publish(pack(inside, target.stem), target)
        return target
