"""Fit of a run into the memory of this machine, and the smallest change that makes it fit."""

from dataclasses import dataclass, field
from typing import Any

import psutil

from core.errors import StudioError
from core.hardware import cpu, gpu
from core.models import catalogue
from core.models.config_bounds import load_config
from core.models.shape import ModelShape
from core.runs.activation_checkpointing import fuses, memory_budget, plan
from core.runs.config import QLoRAConfig
from core.runs.forecast import MARGIN, Forecast, find_smaller_settings, forecast
from core.settings import Settings


@dataclass(frozen=True)
class Fit:
    """Memory that a run needs, against what is there.

    Attributes:
        forecast: What the run needs.
        free: Free bytes of the GPU that the run may take, or of the machine's memory without a GPU.
        total: Bytes that it may take if nothing else uses the GPU, or all bytes of the machine's memory.
        on_gpu: Whether the run uses a GPU.
        gpus: Number of GPUs that each need this much.
        changes: The smallest change of settings that makes the run fit; empty if it fits, if nothing helps, or without
            a GPU, where none is searched.
        why: What the change does and costs.
    """

    forecast: Forecast
    free: int
    total: int
    on_gpu: bool
    gpus: int = 1
    changes: dict[str, Any] = field(default_factory=dict)
    why: str = ""

    @property
    def needed(self) -> float:
        """Return the bytes that the run needs on its device."""
        return self.forecast.device if self.on_gpu else self.forecast.total

    @property
    def fits(self) -> bool:
        """Return whether the run fits into what is free, with a margin."""
        return self.needed <= self.free * (1 - MARGIN)

    @property
    def would_fit_alone(self) -> bool:
        """Return whether the run fits a GPU that nothing else uses, within its setting GPU memory."""
        return self.on_gpu and self.needed <= self.total * (1 - MARGIN)


def fit(settings: Settings, config: QLoRAConfig) -> Fit | None:
    """Return the memory that a run needs and whether it fits; None if the model has no forecast or is not here yet."""
    try:
        model = catalogue.find(settings, config.model, config.revision)
        about = load_config(model)
        shape = ModelShape.from_config(about)
    except (StudioError, OSError, ValueError):
        # The preflight checks report what is wrong with the model.
        return None
    gpu_memory = _tightest(config.gpus)
    in_float32 = config.compute_dtype == "auto" and gpu_memory is None and not cpu.multiplies_bfloat16()
    dtype_bytes = 4 if in_float32 or config.compute_dtype == "float32" else 2
    fused = gpu_memory is not None and fuses(config, about)
    tokens = config.rows_per_gpu * config.max_length
    free, total = (
        (memory_budget(config, size) for size in (gpu_memory.free, gpu_memory.total)) if gpu_memory else (None, None)
    )
    chosen = plan(config, shape, shape.layers, free, fused, tokens, dtype_bytes)
    found = forecast(shape, config, chosen.blocks, dtype_bytes, fused)
    if gpu_memory is None:
        memory = psutil.virtual_memory()
        return Fit(found, memory.available, memory.total, on_gpu=False)
    unchanged = Fit(found, free, total, True, config.gpus)
    if unchanged.fits:
        return unchanged
    change = find_smaller_settings(shape, config, chosen.blocks > 0, free * (1 - MARGIN), fused, dtype_bytes)
    return Fit(found, free, total, True, config.gpus, *(change or ({}, "")))


def _tightest(gpus: int) -> gpu.GPUMemory | None:
    """Return the GPU with the least free memory of those that a run uses, because each must hold the same."""
    return gpu.memory() if gpus == 1 else min(gpu.list_memory()[:gpus], key=lambda memory: memory.free, default=None)
