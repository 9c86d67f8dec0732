"""Types that carry a question from a chat or an evaluation to its answers; without torch.

    LaneRequest ──▶ ResolvedLanes ──┬─▶ QueueEntry (core.chat.queue_entry) ─▶ Generation ─▶ GenerationResult
     a lane as      adapters found, │   waits in the chat's engine            being         stored in chats
     it is chosen   one shared base └─▶ evaluation worker                     written       and votes

A base model is identified by `BaseIdentity`. Its `label` is for display only; two bases are compared by all fields.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from core.chat.program_request import ProgramOptions, ProgramScores
from core.chat.sampling import Sampling
from core.data.formats import Message
from core.data.tokens import TemplateName
from core.models.loading import Precision
from core.runs.config import QLoRAConfig
from core.runs.exported import ExportedModel

End = Literal["", "end", "stop word", "length", "stopped", "failed", "interrupted"]
END_LABELS: dict[End, str] = {
    "": "writing",
    "end": "ended by itself",
    "stop word": "ended at a stop word",
    "length": "truncated at the length limit",
    "stopped": "stopped",
    "failed": "failed",
    "interrupted": "interrupted by a restart of the studio",
}
_FOUR_BIT = ("nf4", "fp4")
_FIELD_TITLES = {
    "model": "model",
    "revision": "revision",
    "quantization": "quantization",
    "double_quantization": "double quantization",
    "compute_dtype": "compute dtype",
    "attention": "attention",
}


@dataclass(frozen=True)
class BaseIdentity:
    """A base model together with everything that decides which weights are in memory and how they are computed with.

    Lanes can share one copy of the weights exactly where their identities are equal.

    Attributes:
        model: Name as in a run's settings: the embedded model, a local folder or a Hub id.
        revision: Branch, tag or commit of a Hub model; empty for its main branch and for local models.
        quantization: "nf4", "fp4", "int8" or "none".
        double_quantization: Whether the block scales of 4-bit weights are quantized too; False for other weights.
        compute_dtype: "auto", "bfloat16", "float16" or "float32".
        attention: "auto", or "eager" where the run was trained with it.
    """

    model: str
    revision: str = ""
    quantization: str = "nf4"
    double_quantization: bool = True
    compute_dtype: str = "auto"
    attention: str = "auto"

    def __post_init__(self) -> None:
        # Only 4-bit weights have block scales to quantize: elsewhere the setting must not separate equal bases.
        if self.quantization not in _FOUR_BIT:
            object.__setattr__(self, "double_quantization", False)

    @classmethod
    def from_config(cls, config: QLoRAConfig) -> "BaseIdentity":
        """Return the base of a run with these settings."""
        return cls(
            model=config.model.strip(),
            revision=config.revision,
            quantization=config.quantization,
            double_quantization=config.double_quantization,
            compute_dtype=config.compute_dtype,
            # Packed and fused attention give the same numbers as transformers' own choice; only eager differs.
            attention="eager" if config.attention == "eager" else "auto",
        )

    @property
    def key(self) -> str:
        """Return all fields as one string, for lists that hold strings."""
        return json.dumps(list(asdict(self).values()))

    @property
    def precision(self) -> Precision:
        """Return the precision that `core.models.loading.load_base` takes."""
        return Precision(self.quantization, self.double_quantization, self.compute_dtype)

    @property
    def config(self) -> QLoRAConfig:
        """Return the settings of a run on this base, for the memory forecast."""
        return QLoRAConfig(**asdict(self))

    @property
    def label(self) -> str:
        """Return the name for lists and messages: the model and every field that is not the default."""
        weights = {"none": "unquantized", "int8": "int8"}.get(self.quantization, f"4-bit {self.quantization}")
        parts = [self.model, weights]
        if self.quantization in _FOUR_BIT and not self.double_quantization:
            parts.append("single quantization")
        if self.compute_dtype != "auto":
            parts.append(self.compute_dtype)
        if self.attention != "auto":
            parts.append(f"{self.attention} attention")
        if self.revision:
            parts.append(self.revision[:8])
        return " · ".join(parts)

    @property
    def legacy_label(self) -> str:
        """Return the label as earlier versions wrote it into chats and into names of vote files."""
        old = {"none": ("unquantized", "unquantised"), "int8": ("int8", "8-bit int8")}.get(self.quantization)
        return self.label.replace(f" · {old[0]}", f" · {old[1]}", 1) if old else self.label

    def has_legacy_label(self, label: str) -> bool:
        """Return whether a label in a chat of an earlier version can mean this base; the oldest are shortened."""
        return any(own == label or own.startswith(f"{label} · ") for own in (self.label, self.legacy_label))

    def differences(self, other: "BaseIdentity") -> str:
        """Name every field that differs, with both values: "compute dtype is float32, not auto"."""
        names = [name for name in _FIELD_TITLES if getattr(self, name) != getattr(other, name)]
        if "quantization" in names and "double_quantization" in names:
            # Another quantization implies another value of this field.
            names.remove("double_quantization")
        return " and ".join(
            f"{_FIELD_TITLES[name]} is {_shown(name, getattr(self, name))}, not {_shown(name, getattr(other, name))}"
            for name in names
        )


def _shown(name: str, value: str | bool) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return value or ("main" if name == "revision" else "empty")


def adapter_key(run: str, adapter: str) -> str | None:
    """Return the key of a run's adapter, "RUN/ADAPTER"; None for the base, which has no run."""
    return f"{run}/{adapter}" if run else None


@dataclass
class LaneRequest:
    """One lane's question: who answers it, with which settings.

    Attributes:
        messages: The conversation; its last turn is not an answer.
        adapter: Key of the adapter (`adapter_key`); None for the base.
        template: Name of the chat template; the run's own once the request is resolved.
        prefix_ids: Tokens of an unfinished answer that is to be continued.
        program: Options of a program's question; None for one of the page.
    """

    messages: list[Message]
    sampling: Sampling
    adapter: str | None = None
    template: TemplateName = "auto"
    prefix_ids: list[int] = field(default_factory=list)
    program: ProgramOptions | None = None


@dataclass
class ResolvedLanes:
    """Lanes that can be answered together: one base, and the folder of every adapter.

    Attributes:
        adapter_folders: By the keys that the lanes use.
        classifiers: Folders of the adapters that are classifiers, by the same keys; `adapter_folders` has the others.
        exported: Files that answer with their own weights, by the same keys.
    """

    base: BaseIdentity
    lanes: list[LaneRequest]
    adapter_folders: dict[str, Path] = field(default_factory=dict)
    classifiers: dict[str, Path] = field(default_factory=dict)
    exported: dict[str, ExportedModel] = field(default_factory=dict)


class Prompt(NamedTuple):
    """A lane's conversation as the model reads it.

    Attributes:
        ids: Its tokens, without those of a continued answer.
        notes: How the conversation was changed to fit the context.
    """

    ids: list[int]
    notes: list[str]


@dataclass
class Generation:
    """One lane's answer while it is written.

    Attributes:
        text: The text so far, without a trailing incomplete character.
        tokens: Number of tokens the model wrote, with the token that ended the answer and those of the prefix. Every
            count of an answer's tokens in Chat and Evaluate is this one. Of a classifier, those that it read.
        end: Why the answer ended; empty while it is written.
        waited_seconds: From the question to the start of reading the prompt, in the queue and while models and adapters
            are loaded.
        first_token_seconds: From the start of reading the prompt to the first token; 0 before that.
        seconds: From the start of reading the prompt to the last token.
        ids: Tokens of the text, without the one that ended it.
        logprobs: Log-probability of each new token under the model itself, before any sampling setting.
        pieces: Text that each new token added; joined, they are the new part of the text.
        note: How the conversation was changed to fit the context.
        error: Why the answer failed.
        prefix_tokens: Number of tokens the answer was continued from.
        labels: Of a classifier's answer, the most probable labels with their probabilities.
        scores: Probabilities for a program.
    """

    text: str = ""
    tokens: int = 0
    end: End = ""
    waited_seconds: float = 0.0
    first_token_seconds: float = 0.0
    seconds: float = 0.0
    ids: list[int] = field(default_factory=list, repr=False)
    logprobs: list[float] = field(default_factory=list, repr=False)
    pieces: list[str] = field(default_factory=list, repr=False)
    note: str = ""
    error: Exception | None = field(default=None, repr=False)
    prefix_tokens: int = 0
    labels: list[tuple[str, float]] = field(default_factory=list)
    scores: ProgramScores = field(default_factory=ProgramScores, repr=False)

    @property
    def tokens_per_second(self) -> float:
        """Return the new tokens per second, the time to the first token included."""
        return (self.tokens - self.prefix_tokens) / self.seconds if self.seconds else 0.0


class GenerationResult(BaseModel):
    """A finished answer as chats and votes store it: the values of its `Generation`, and who gave it.

    Attributes:
        run: Run whose adapter answered; empty for the base.
        adapter: Name of the adapter within the run; empty for the base.
        settings: The `Sampling` the answer was written with.
        labels: Of a classifier's answer, the most probable labels with their probabilities.
    """

    text: str = ""
    tokens: int = 0
    end: End = ""
    waited_seconds: float = 0.0
    first_token_seconds: float = 0.0
    tokens_per_second: float = 0.0
    ids: list[int] = Field(default_factory=list)
    logprobs: list[float] = Field(default_factory=list)
    pieces: list[str] = Field(default_factory=list)
    note: str = ""
    run: str = ""
    adapter: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    labels: list[tuple[str, float]] = Field(default_factory=list)

    @classmethod
    def from_generation(
        cls,
        generation: Generation,
        run_and_adapter: tuple[str, str],
        settings: dict[str, Any],
        continued: "GenerationResult | None" = None,
    ) -> "GenerationResult":
        """Return a copy of a generation for storage.

        Args:
            generation: The answer.
            run_and_adapter: Who answered; both empty for the base.
            settings: The `Sampling` of the answer, as a dict.
            continued: The answer that this one continues. Its probabilities and pieces come first.
        """
        before = continued or cls()
        run, adapter = run_and_adapter
        return cls(
            text=generation.text,
            tokens=generation.tokens,
            end=generation.end,
            waited_seconds=generation.waited_seconds,
            first_token_seconds=generation.first_token_seconds,
            tokens_per_second=generation.tokens_per_second,
            ids=generation.ids,
            logprobs=before.logprobs + generation.logprobs,
            pieces=before.pieces + generation.pieces,
            note=generation.note,
            run=run,
            adapter=adapter,
            settings=settings,
            labels=generation.labels,
        )
