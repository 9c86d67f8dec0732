"""GGUF files of one merged model in several types.

Types of the package `gguf` are written as they are. For those of llama.cpp the model is written in F16 first, once for
all of them, and its importance matrix is computed once.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.export import gguf_file, importance_file, llama_quantize
from core.export.config import LLAMA_CPP_TYPES, GGUFType, most_bits
from core.export.importance_file import Importance
from core.export.merge import MergedModel
from core.system.counting import counted
from core.system.jobs import Progress, part_of

# Shares of the work on a type of llama.cpp: the importance matrix, the file in F16, and then quantizing.
_COLLECTED, _PREPARED = 0.3, 0.5


@dataclass
class TypeWriter:
    """Writes a merged model as GGUF, in one type after another.

    Attributes:
        merged: The model.
        title: Name of the model in the files.
        template: The chat template.
        folder: Receives the file in F16 and the importance matrix.
        collect: Computes the importance matrix; returns None if there is to be none.
        notes: Receives decisions, each with its reason.
    """

    merged: MergedModel
    title: str
    template: str | None
    folder: Path
    collect: Callable[[Progress], Importance | None]
    notes: list[str] = field(default_factory=list)
    _source: Path | None = None
    _importance: Path | None = None

    def write(self, kind: GGUFType, path: Path, progress: Progress) -> None:
        """Write one file.

        Args:
            kind: Type of its matrices.
            path: The file.
            progress: Called at each tensor.
        """
        if kind not in LLAMA_CPP_TYPES:
            gguf_file.write_gguf(self.merged, kind, path, self.title, progress, self.template)
            return
        start = 0.0 if self._source else _PREPARED
        if self._source is None:
            self._source = self._prepare(part_of(progress, 0, _PREPARED))
        llama_quantize.quantize(self._source, path, kind, self._importance, part_of(progress, start, 1))
        if note := llama_quantize.describe_fallback(path, kind):
            self.notes.append(note)

    def close(self) -> None:
        """Remove the file in F16."""
        if self._source:
            self._source.unlink()
            self._source = None

    def _prepare(self, progress: Progress) -> Path:
        """Compute the importance matrix, and write the file that llama.cpp quantizes."""
        found = self.collect(part_of(progress, 0, _COLLECTED / _PREPARED))
        if found:
            self._importance = self.folder / importance_file.FILE
            importance_file.write(found, self._importance)
            self.notes.append(
                f"K-quants and IQ types are rounded by an importance matrix of {counted(found.tokens, 'token')} in "
                f"{found.dataset}."
            )
        path, metadata = self.folder / "source.gguf", found.metadata if found else None
        rest = part_of(progress, _COLLECTED / _PREPARED, 1)
        try:
            gguf_file.write_gguf(self.merged, "F16", path, self.title, rest, self.template, metadata)
        except gguf_file.OutOfRangeError:
            gguf_file.write_gguf(self.merged, "F32", path, self.title, rest, self.template, metadata)
            self.notes.append("llama.cpp quantized from F32, because the weights have values beyond those of F16.")
        return path


def bytes_at_most(merged: MergedModel, kinds: list[GGUFType]) -> list[int]:
    """Return the bytes that the tensors of files in these types take at most."""
    whole = gguf_file.size_of(merged, "F16")
    return [
        whole * most_bits(kind) // 16 if kind in LLAMA_CPP_TYPES else gguf_file.size_of(merged, kind) for kind in kinds
    ]
