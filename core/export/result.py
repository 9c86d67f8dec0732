"""Results of an export: the file, and how close the exported model is to the one that was trained."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from core.export.config import Form, GGUFType
from core.export.engines import Serving
from core.system.counting import counted

# The grade is "same" if the mean KL divergence is below the first value and the share of equal next tokens is at least
# the second. Otherwise it is "close" if the mean KL divergence is below the third.
SAME_KL, SAME_SHARE = 0.001, 0.99
CLOSE_KL = 0.02
Grade = Literal["same", "close", "different"]
_VERDICTS: dict[Grade, str] = {
    "same": "It answers as it did here.",
    "close": "It is close to the model here; some answers take another turn.",
    "different": "It differs from the model here; expect other answers.",
}


class Fidelity(BaseModel):
    """How close an exported model is to the one that was trained.

    Attributes:
        rows: Held-out rows that were read.
        tokens: Tokens of their answers, at which the distributions were compared.
        same_choice: Share of them at which both models find the same token most likely.
        mean_kl: Mean KL divergence, in nats.
        high_kl: Its 99th percentile.
        loss: Mean loss of the model as trained, in nats per token.
        exported_loss: The same of the exported one.
        difference: Interval of its difference at 95 % confidence, exported minus trained, paired over rows; None if
            the rows are too few or too uneven for one.
    """

    rows: int
    tokens: int
    same_choice: float
    mean_kl: float
    high_kl: float
    loss: float
    exported_loss: float
    difference: tuple[float, float] | None = None

    @property
    def grade(self) -> Grade:
        """Return how close the exported model is."""
        if self.mean_kl < SAME_KL and self.same_choice >= SAME_SHARE:
            return "same"
        return "close" if self.mean_kl < CLOSE_KL else "different"

    @property
    def is_alike(self) -> bool:
        """Return whether the rows show hardly any difference from the model as trained.

        `core.export.type_comparison` describes the rule.
        """
        is_unclear = self.difference is not None and self.difference[0] <= 0 <= self.difference[1]
        return self.grade == "same" or (is_unclear and self.mean_kl < CLOSE_KL)

    @property
    def verdict(self) -> str:
        """Return a sentence for the user."""
        return _VERDICTS[self.grade]

    def describe(self) -> str:
        """Return the verdict with its figures."""
        return (
            f"{self.verdict} The most likely next token is the same at {self.same_choice:.1%} of "
            f"{counted(self.tokens, 'token')} in {counted(self.rows, 'held-out row')}; KL divergence "
            f"{self.mean_kl:.2g} on average, {self.high_kl:.2g} at the 99th percentile; loss {self.exported_loss:.4f} "
            f"against {self.loss:.4f}."
        )


class ExportedType(BaseModel):
    """One of several files of a model, each in another GGUF type.

    Attributes:
        quantization: The type.
        path: The file, below STUDIO_HOME/exports.
        size: Its bytes.
        fidelity: The comparison with the model as trained; None if there was none.
    """

    quantization: GGUFType
    path: Path
    size: int
    fidelity: Fidelity | None = None


def card_place(file: Path) -> Path:
    """Return the folder of the card of a GGUF file, which lies beside it; other forms have their card inside."""
    return file.with_name(f"{file.stem}-card")


class Exported(BaseModel):
    """A file that was written, with its card.

    Attributes:
        path: The file, below STUDIO_HOME/exports; of several types the marked one, or else the closest.
        size: Its bytes.
        form: The form that was chosen.
        notes: Decisions that were made, each with its reason.
        fidelity: The comparison with the model as trained; None if there was none.
        types: The files of all types, if there are several.
        serving: How engines serve a combined adapter beside its base, or why they cannot.
        report: A ZIP with their comparison as a README, a picture and JSON, and the importance matrix.
    """

    path: Path
    size: int
    form: Form
    notes: list[str] = []
    fidelity: Fidelity | None = None
    types: list[ExportedType] = []
    serving: list[Serving] = []
    report: Path | None = None

    @property
    def card(self) -> Path | None:
        """Return the folder with the card of a file that holds none; None if the card is in the file."""
        place = card_place(self.path)
        return place if self.path.suffix == ".gguf" and place.is_dir() else None
