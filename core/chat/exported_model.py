"""An exported GGUF file that answers in the chat with its own weights, beside the base model and its adapters.

The architecture and the tokenizer are those of the run's base model. The weights of the file are dequantized into it in
float32, which holds every value of every GGUF type exactly. So the lane computes what the report of the export compares
(`core.export.fidelity`); llama.cpp may round its products otherwise.
"""

from collections.abc import Callable
from dataclasses import replace

from core.chat import arbiter
from core.chat.loaded_model import LoadedModel
from core.chat.types import BaseIdentity
from core.models.catalogue import Model
from core.models.gguf_tensors import GGUFTensors
from core.models.loading import LoadedBase
from core.runs.exported import ExportedModel
from core.runs.store import RunStore
from core.settings import Settings

_FLOAT32_BYTES = 4


class LoadedExport(LoadedModel):
    """A loaded exported model.

    Attributes:
        exported: The file.
    """

    def __init__(
        self, settings: Settings, store: RunStore, base: BaseIdentity, exported: ExportedModel,
        report: Callable[[str], None] = lambda stage: None, is_cancelled: Callable[[], bool] = lambda: False,
    ):  # fmt: skip
        """Load a file.

        Args:
            settings: The studio's settings.
            store: Where a run that shares the GPU is found.
            base: The base model of its run.
            exported: The file.
            report: Called at the beginning of each stage that takes seconds.
            is_cancelled: Whether to stop a download of the base model.

        Raises:
            DownloadCancelled: `is_cancelled` returned true.
            StudioError: There is no memory for its weights, the file cannot be read, or it has another base model.
        """
        self.exported = exported
        report(f"Reading {exported.name}")
        self._tensors = GGUFTensors(exported.path)
        arbiter.check_exported_fits(exported.name, self._tensors.count * _FLOAT32_BYTES)
        own = replace(base, quantization="none", compute_dtype="float32")
        super().__init__(settings, store, own, report, is_cancelled)
        # The file need not stay mapped.
        del self._tensors

    @property
    def notes(self) -> list[str]:
        """Return which weights answer, and how the answers are decoded."""
        return [
            f"{self.exported.name} answers with its own weights ({self.exported.kind}), dequantized into transformers "
            "and computed in float32.",
            *super().notes,
        ]

    def _load(self, model: Model, report: Callable[[str], None]) -> LoadedBase:
        """Return the base model with the weights of the file."""
        loaded = super()._load(model, report)
        parameters = dict(loaded.model.named_parameters())
        shapes = {name: list(parameter.shape) for name, parameter in parameters.items()}
        for number, (name, values) in enumerate(self._tensors.read(loaded.model.config, shapes), 1):
            report(f"Reading {self.exported.name}: tensor {number:,} of {len(parameters):,}")
            parameters[name].data.copy_(values)
        return loaded
