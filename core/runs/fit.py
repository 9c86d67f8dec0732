"""Whether a run fits into the memory that is here, and the smallest change that makes it fit."""

from dataclasses import dataclass, field
from typing import Any

import psutil

from core.errors import StudioError
from core.hardware import cpu, gpu
from core.models import catalogue
from core.runs.checkpointing import fuses, plan, room_of
from core.runs.config import QLoRAConfig
from core.runs.forecast import MARGIN, Forecast, forecast, shape_of, smaller
from core.settings import Settings


@dataclass(frozen=True)
class Fit:
    """Attributes:
    free, total: bytes of the card, or of the machine's memory where there is no GPU.
    gpus: how many need this much, each.
    changes, why: the smallest change that makes the run fit, when it does not; empty when nothing does.
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
        return self.forecast.device if self.on_gpu else self.forecast.total

    @property
    def fits(self) -> bool:
        return self.needed <= self.free * (1 - MARGIN)

    @property
    def would_fit_alone(self) -> bool:
        """Whether an empty card would do."""
        return self.on_gpu and self.needed <= self.total * (1 - MARGIN)


def fit(settings: Settings, config: QLoRAConfig) -> Fit | None:
    """None for a model that is not here yet, or whose kind has no forecast."""
    from transformers import AutoConfig

    try:
        model = catalogue.find(settings, config.model, config.revision)
        about = AutoConfig.from_pretrained(model.path, revision=model.revision, trust_remote_code=False)
        shape = shape_of(about)
    except (StudioError, OSError, ValueError):
        return None  # the checks say what is wrong with it
    card = _tightest(config.gpus)
    in_float32 = config.compute_dtype == "auto" and card is None and not cpu.multiplies_bfloat16()
    dtype_bytes = 4 if in_float32 or config.compute_dtype == "float32" else 2
    fused = card is not None and fuses(config, about)
    tokens = config.rows_per_gpu * config.max_length
    free = room_of(config, card.free) if card else None
    chosen = plan(config, shape, shape.layers, free, fused, tokens, dtype_bytes)
    found = forecast(shape, config, chosen.blocks, dtype_bytes, fused)
    if card is None:
        memory = psutil.virtual_memory()
        return Fit(found, memory.available, memory.total, on_gpu=False)
    room = Fit(found, free, card.total, True, config.gpus)
    if room.fits:
        return room
    change = smaller(shape, config, chosen.blocks > 0, free * (1 - MARGIN), fused)
    return Fit(found, free, card.total, True, config.gpus, *(change or ({}, "")))


def _tightest(gpus: int) -> gpu.GPUMemory | None:
    """The one with the least free memory of the GPUs that a run takes: each must hold as much."""
    return gpu.memory() if gpus == 1 else min(gpu.cards()[:gpus], key=lambda card: card.free, default=None)
