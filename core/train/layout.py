"""Choice, by a probe, of how rows go through a loaded model: packed, padded or one at a time.

Packed rows lie end to end under the studio's attention (`core.kernels.attention`). That is right only where a model's
attention goes through transformers' AttentionInterface, passes only arguments that are applied there, and keeps no
state from token to token. There is no list of such models: short rows go through the loaded model packed, padded and
each by itself under the model's own attention, and must give the same logits.
"""

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from core.errors import StudioError
from core.kernels.attention import PACKED, kernel_name
from core.models.probing import all_agree, are_close, short_windows
from core.models.support import attention_for, length_limit
from core.runs.config import QLoRAConfig
from core.train.batches import pack, pad

# Tokens of the two rows of the probe. Sliding windows are shortened while it runs, to fewer tokens than a row.
_LENGTHS = (6, 9)


@dataclass(frozen=True)
class Layout:
    """Form in which the rows of a batch go through the model.

    Attributes:
        kind: "packed", "padded", or "single": one row per forward pass.
        plain: Name of the model's own attention, for what is not packed, such as samples.
        note: Which layout was chosen, and why, for the notes of the run.
    """

    kind: Literal["packed", "padded", "single"]
    plain: str
    note: str


def choose_layout(model: torch.nn.Module, wants_packing: bool, why_padded: str, pad_id: int, longest: int) -> Layout:
    """Choose the layout of rows, and set the attention that it needs on the model.

    Args:
        model: The base model, before adapters are added.
        wants_packing: Whether the settings ask for packing.
        why_padded: The reason to give if they do not, as the rest of a sentence.
        pad_id: Token id for padding.
        longest: Tokens of the longest row that will be trained on.

    Raises:
        StudioError: The model cannot read a text, or is not causal.
    """
    if model.config._attn_implementation == PACKED:
        model.set_attn_implementation(attention_for(model.config) or "sdpa")
    plain = model.config._attn_implementation
    own_attention = f"the model's own attention ({plain})"
    # Some rotary embeddings depend on the longest row of a batch: then a row alone and in a batch differ.
    limit = length_limit(model.config)
    if limit is not None and longest > limit:
        why = f"the rotary angles change with the longest row of a batch beyond {limit:,} tokens"
        return Layout("single", plain, f"Rows go through the model one at a time, with {own_attention}: {why}.")
    probe = _Probe(model, pad_id)
    why = why_padded
    if wants_packing:
        why = _why_not_packed(model, plain)
        if not why and (failure := probe.failure(probe.packed)):
            why = f"in a packed batch {failure}"
        if not why:
            model.set_attn_implementation(PACKED)
            rows = f"rows are packed end to end, and each attends to itself only ({kernel_name()})"
            note = f"Attention is {PACKED} (auto): {rows}."
            return Layout("packed", plain, note)
    if failure := probe.failure(probe.padded):
        note = f"Rows go through the model one at a time, with {own_attention}: in a padded batch {failure}."
        return Layout("single", plain, note)
    return Layout("padded", plain, f"Rows are padded, with {own_attention}, because {why}.")


def explain_padding(config: QLoRAConfig) -> str:
    """Return why rows are padded where packing is not wanted, as the rest of a sentence."""
    return f"packing needs Attention auto, and it is {config.attention}" if config.packing else "Packing is off"


def _why_not_packed(model: torch.nn.Module, plain: str) -> str:
    """Return why packed attention cannot be set on a model, as the rest of a sentence; empty if it can."""
    model.set_attn_implementation(PACKED)
    is_set = model.config._attn_implementation == PACKED
    model.set_attn_implementation(plain)
    return "" if is_set else f"the attention of {type(model).__name__} cannot be replaced"


class _Probe:
    """Two short rows, and their logits one by one under the model's own attention."""

    def __init__(self, model: torch.nn.Module, pad_id: int):
        self._model, self._pad_id = model, pad_id
        # Any tokens will do, as long as the two rows differ.
        vocabulary = model.get_input_embeddings().weight.shape[0]
        ids = [[(5 + 7 * at + 31 * row) % vocabulary for at in range(length)] for row, length in enumerate(_LENGTHS)]
        self._rows = [{"input_ids": row, "labels": row} for row in ids]
        was_training = model.training
        model.eval()
        try:
            with short_windows(model):
                self._alone = [self._logits({"input_ids": torch.tensor([row])})[0] for row in ids]
                shorter = self._logits({"input_ids": torch.tensor([ids[1][:-1]])})[0]
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise StudioError(
                f"{type(model).__name__} cannot read a short text ({type(error).__name__}: {error}). "
                "Choose another model, or set Attention to eager."
            ) from error
        finally:
            model.train(was_training)
        # A causal model gives the first tokens the same logits without the last one.
        if not are_close(shorter, self._alone[1][:-1]):
            raise StudioError(
                f"{type(model).__name__} is not causal: its logits depend on later tokens, so it cannot be trained to "
                "predict them. Choose another model."
            )

    def packed(self) -> list[torch.Tensor]:
        """Return the logits of the rows laid end to end, each (length, vocabulary)."""
        plain = self._model.config._attn_implementation
        self._model.set_attn_implementation(PACKED)
        try:
            return list(self._logits(pack(self._rows))[0].split(_LENGTHS))
        finally:
            self._model.set_attn_implementation(plain)

    def padded(self) -> list[torch.Tensor]:
        """Return the logits of the rows padded to one length, each (length, vocabulary)."""
        logits = self._logits(pad(self._rows, self._pad_id))
        return [row[:length] for row, length in zip(logits, _LENGTHS, strict=True)]

    def failure(self, form: Callable[[], list[torch.Tensor]]) -> str:
        """Return why a form gives other logits than the rows by themselves, as the rest of a sentence; empty if not."""
        name, was_training = type(self._model).__name__, self._model.training
        self._model.eval()
        ids = [row["input_ids"] for row in self._rows]
        try:
            with short_windows(self._model):
                if all_agree(form(), self._alone, ids, lambda batch: self._logits({"input_ids": batch})):
                    return ""
        # A model's own code may raise anything for arguments that it does not know.
        except Exception as error:
            return f"{name} fails ({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"
        finally:
            self._model.train(was_training)
        return f"rows of {name} do not give the logits that each gives by itself"

    def _logits(self, batch: dict) -> torch.Tensor:
        """Return the logits of a batch, (batch, length, vocabulary)."""
        device = self._model.get_input_embeddings().weight.device
        inputs = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
        inputs.pop("labels", None)
        with torch.no_grad():
            return self._model(**inputs, use_cache=False).logits
