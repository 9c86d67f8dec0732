"""QLoRAConfig: all settings of a run, each declared once.

The form, the command line, the saved config.json and docs/api.md are derived from it.
"""

import math
from typing import Any

from pydantic import ConfigDict, model_validator

from core.runs.config.batch import BatchSettings
from core.runs.config.data import DataSettings
from core.runs.config.evaluation import EvaluationSettings
from core.runs.config.fields import Group, disagreement
from core.runs.config.lora import ALL_LINEAR, ATTENTION, LoRASettings
from core.runs.config.model import ModelSettings
from core.runs.config.optimizer import OptimizerSettings

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
    "settings_of_task",
    "without_effect",
]

SCHEMA_VERSION = 2
# A config.json of any of these versions can be read: settings that it lacks have their defaults.
READABLE_VERSIONS = (1, 2)


# pydantic takes the fields of the last base first, so the bases are in the reverse order of the form's groups.
class QLoRAConfig(EvaluationSettings, BatchSettings, OptimizerSettings, DataSettings, LoRASettings, ModelSettings):
    """Settings of one QLoRA fine-tuning run (Dettmers et al. 2023, arXiv:2305.14314)."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    @model_validator(mode="after")
    def _agree(self) -> "QLoRAConfig":
        """Refuse combinations of settings that cannot be trained."""
        if self.lora_init == "pissa" and self.quantization != "none":
            why = "PiSSA changes the base weights, and quantized weights cannot be changed"
            raise disagreement(f"{why}: set Quantization to none, or Initialization to default", "quantization",
                               "lora_init")  # fmt: skip
        if self.lora_init == "loftq" and self.quantization != "nf4":
            raise disagreement("LoftQ corrects the error of NF4: set Quantization to nf4, or Initialization to default",
                               "quantization", "lora_init")  # fmt: skip
        if self.lora_dora and self.lora_init in ("pissa", "loftq"):
            raise disagreement("DoRA cannot be combined with PiSSA or LoftQ: set Initialization to default",
                               "lora_dora", "lora_init")  # fmt: skip
        if self.task == "classify" and self.lora_init in ("pissa", "loftq"):
            raise disagreement("PiSSA and LoftQ convert an adapter without a classifier's head: set Initialization to "
                               "default, or Task to generate", "task", "lora_init")  # fmt: skip
        if self.start_adapter.strip() and self.lora_init != "default":
            raise disagreement("the adapter to start from has values already: set Initialization to default, or leave "
                               "Start from adapter empty", "start_adapter", "lora_init")  # fmt: skip
        if self.keep_best and not self.eval_rows:
            raise disagreement("“Keep the best adapter” needs held-out rows: set Held-out rows above 0",
                               "keep_best", "eval_rows")  # fmt: skip
        if over := self.batch_size % self.gpus:
            below = self.batch_size - over
            nearest = f"{below} or {below + self.gpus}" if below else str(self.gpus)
            raise disagreement(f"a batch of {self.batch_size} rows cannot be shared evenly by {self.gpus} GPUs: set "
                               f"Batch size to {nearest}", "gpus", "batch_size")  # fmt: skip
        return self

    @property
    def packs(self) -> bool:
        """Return whether rows are packed; only the studio's own attention keeps packed rows apart."""
        return self.packing and self.attention == "auto" and not self.classifies

    @property
    def classifies(self) -> bool:
        """Return whether the run trains a classifier."""
        return self.task == "classify"

    @property
    def rows_per_gpu(self) -> int:
        """Return the number of rows that each GPU takes of a forward pass."""
        return self.batch_size // self.gpus

    def count_steps(self, rows: int) -> int:
        """Return how many updates a run makes: `max_steps`, or epochs over batches, a last short batch included."""
        if self.max_steps:
            return self.max_steps
        batches = math.ceil(rows / self.batch_size)
        return max(1, math.ceil(self.epochs * max(1, math.ceil(batches / self.gradient_accumulation))))


def _extra(name: str) -> dict[str, Any]:
    return QLoRAConfig.model_fields[name].json_schema_extra


def group_of(name: str) -> Group:
    """Return the group of a setting."""
    return _extra(name)["group"]


def is_basic(name: str) -> bool:
    """Return whether the short form shows a setting."""
    return _extra(name)["basic"]


def may_change(name: str) -> bool:
    """Return whether a run can be resumed with another value of a setting."""
    return _extra(name)["on_resume"]


def applies(name: str, values: dict[str, Any]) -> bool:
    """Return whether a setting has any effect.

    Args:
        name: The setting.
        values: The values of all settings.
    """
    return all(values.get(other) in allowed for other, allowed in _extra(name)["when"].items())


def without_effect(config: QLoRAConfig) -> list[str]:
    """Return the settings of a run that have another value than the default, and no effect with the others' values."""
    values = config.model_dump()
    fields = QLoRAConfig.model_fields.items()
    return [name for name, field in fields if values[name] != field.default and not applies(name, values)]


def settings_of_task(task: str) -> list[str]:
    """Return the settings that apply to one task only."""
    return [name for name in QLoRAConfig.model_fields if _extra(name)["when"].get("task") == [task]]


TITLES: dict[str, str] = {name: field.title for name, field in QLoRAConfig.model_fields.items()}
