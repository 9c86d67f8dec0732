"""A base model as Chat and Evaluate load it. No torch in here."""

from dataclasses import dataclass

from core.models.catalogue import Model
from core.models.loading import Precision
from core.runs.config import QLoRAConfig


@dataclass(frozen=True)
class Base:
    """A base model as it is loaded to chat with.

    Attributes:
        attention: "auto", or "eager" where the run was trained with it.
    """

    model: Model
    precision: Precision
    attention: str = "auto"

    @property
    def config(self) -> QLoRAConfig:
        """The settings of a run that load the same base."""
        kept = {"quantization": self.precision.quantization, "compute_dtype": self.precision.compute_dtype}
        double = self.precision.double_quantization
        return QLoRAConfig(
            model=self.model.name, revision=self.model.revision or "", double_quantization=double,
            attention=self.attention, **kept,
        )  # fmt: skip

    @property
    def words(self) -> str:
        """What it is called in lists: as much as tells it from other bases."""
        kept = self.precision.quantization
        parts = [self.model.name, {"none": "unquantised", "int8": "8-bit int8"}.get(kept, f"4-bit {kept}")]
        if kept in ("nf4", "fp4") and not self.precision.double_quantization:
            parts.append("single quantization")
        if self.precision.compute_dtype != "auto":
            parts.append(self.precision.compute_dtype)
        if self.attention != "auto":
            parts.append(f"{self.attention} attention")
        if self.model.revision:
            parts.append(self.model.revision[:8])
        return " · ".join(parts)

    def is_called(self, name: str) -> bool:
        """Return whether a name means this base; earlier conversations keep shorter ones."""
        return self.words == name or self.words.startswith(f"{name} · ")
