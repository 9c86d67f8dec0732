"""QLoRAConfig: every knob of a run, once. The form, the command line, the checks and the saved run come from here."""

from typing import Any

from pydantic import ConfigDict, model_validator

from core.runs.config.batch import BatchKnobs
from core.runs.config.data import DataKnobs
from core.runs.config.evaluation import MeasuringKnobs
from core.runs.config.fields import Group
from core.runs.config.lora import ALL_LINEAR, ATTENTION, LoRAKnobs
from core.runs.config.model import ModelKnobs
from core.runs.config.optimizer import OptimiserKnobs

__all__ = [
    "ALL_LINEAR",
    "ATTENTION",
    "READABLE_VERSIONS",
    "SCHEMA_VERSION",
    "TITLES",
    "Group",
    "QLoRAConfig",
    "applies",
    "group_of",
    "is_basic",
    "may_change",
]

SCHEMA_VERSION = 2
# Versions that can still be read: what they lack has its default.
READABLE_VERSIONS = (1, 2)


# pydantic takes the fields of the last base first: the groups stand in their order in the form
class QLoRAConfig(MeasuringKnobs, BatchKnobs, OptimiserKnobs, DataKnobs, LoRAKnobs, ModelKnobs):
    """A run of QLoRA fine-tuning (Dettmers et al. 2023, arXiv:2305.14314)."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    @model_validator(mode="after")
    def _agree(self) -> "QLoRAConfig":
        """What pairs of knobs cannot be together."""
        if self.lora_init == "pissa" and self.quantization != "none":
            raise ValueError("PiSSA changes the base weights, which cannot be done to quantized ones: set "
                             "Quantization to none, or Initialisation to default")  # fmt: skip
        if self.lora_init == "loftq" and self.quantization != "nf4":
            raise ValueError("LoftQ makes up for what NF4 loses: set Quantization to nf4, or Initialisation to default")
        if self.lora_dora and self.lora_init in ("pissa", "loftq"):
            raise ValueError("DoRA does not go with PiSSA or LoftQ: set Initialisation to default")
        if self.keep_best and not self.eval_rows:
            raise ValueError("Take the best needs held-out rows to measure on: set Held-out rows above 0")
        if over := self.batch_size % self.gpus:
            below = self.batch_size - over
            nearest = f"{below} or {below + self.gpus}" if below else str(self.gpus)
            raise ValueError(f"a batch of {self.batch_size} rows cannot be shared evenly by {self.gpus} GPUs: set "
                             f"Batch size to {nearest}")  # fmt: skip
        return self

    @property
    def packs(self) -> bool:
        """Whether rows lie end to end: only the studio's own attention keeps them apart."""
        return self.packing and self.attention == "auto"

    @property
    def rows_per_gpu(self) -> int:
        """Rows that each GPU takes of a forward pass."""
        return self.batch_size // self.gpus


def _extra(name: str) -> dict[str, Any]:
    return QLoRAConfig.model_fields[name].json_schema_extra


def group_of(name: str) -> Group:
    return _extra(name)["group"]


def is_basic(name: str) -> bool:
    """Whether the short form shows a knob."""
    return _extra(name)["basic"]


def may_change(name: str) -> bool:
    """Whether a run can go on with another value of a knob and still be the same run."""
    return _extra(name)["on_resume"]


def applies(name: str, values: dict[str, Any]) -> bool:
    """Whether a knob is read at all, given the values of the others."""
    return all(values.get(other) in allowed for other, allowed in _extra(name)["when"].items())


TITLES: dict[str, str] = {name: field.title for name, field in QLoRAConfig.model_fields.items()}
