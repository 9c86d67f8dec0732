"""QLoRAConfig: every knob of a run, once. The form, the command line, the checks and the saved run come from here."""

from typing import Any

from pydantic import ConfigDict

from core.runs.knobs import Group
from core.runs.knobs.batch import BatchKnobs
from core.runs.knobs.data import DataKnobs
from core.runs.knobs.lora import ALL_LINEAR, ATTENTION, LoRAKnobs
from core.runs.knobs.measuring import MeasuringKnobs
from core.runs.knobs.model import ModelKnobs
from core.runs.knobs.optimiser import OptimiserKnobs

__all__ = [
    "ALL_LINEAR",
    "ATTENTION",
    "SCHEMA_VERSION",
    "TITLES",
    "Group",
    "QLoRAConfig",
    "applies",
    "group_of",
    "is_basic",
]

SCHEMA_VERSION = 2


# pydantic takes the fields of the last base first: the groups stand in their order in the form
class QLoRAConfig(MeasuringKnobs, BatchKnobs, OptimiserKnobs, DataKnobs, LoRAKnobs, ModelKnobs):
    """A run of QLoRA fine-tuning (Dettmers et al. 2023, arXiv:2305.14314)."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    @property
    def packs(self) -> bool:
        """Whether rows lie end to end: only the studio's own attention keeps them apart."""
        return self.packing and self.attention == "auto"


def _extra(name: str) -> dict[str, Any]:
    return QLoRAConfig.model_fields[name].json_schema_extra


def group_of(name: str) -> Group:
    return _extra(name)["group"]


def is_basic(name: str) -> bool:
    """Whether the short form shows a knob."""
    return _extra(name)["basic"]


def applies(name: str, values: dict[str, Any]) -> bool:
    """Whether a knob is read at all, given the values of the others."""
    return all(values.get(other) in allowed for other, allowed in _extra(name)["when"].items())


TITLES: dict[str, str] = {name: field.title for name, field in QLoRAConfig.model_fields.items()}
