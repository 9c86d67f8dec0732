"""Probe of an adapter at load time: a batch of base and tuned rows, compared with each model alone.

An adapter that fails is decoded one sequence at a time (`core.chat.plain`).
"""

from typing import Protocol

import torch
from peft import PeftModel

from core.models.probing import are_close

_PROMPT_TOKENS = 9
# Ids at the front of a vocabulary are often special tokens.
_FIRST_ID = 5


class _RowAdapters(Protocol):
    """The part of `core.chat.adapters.RowAdapters` that the probe needs; that module imports this one."""

    def set_rows(self, keys: list[str | None]) -> None:
        """Assign adapters to the rows of the next batches."""


def adapter_failure(model: torch.nn.Module, adapters: _RowAdapters, key: str, tuned: PeftModel) -> str:
    """Return why an adapter's rows cannot share a batch with the base's; empty if they can.

    Base and tuned rows alternate in one batch. The base's rows must be bit-identical to those of the same batch without
    the adapter; the tuned rows must agree with PEFT's model alone on the same batch. It is not compared with single
    rows: a GPU rounds differently for each shape, and in bfloat16 that alone can exceed the tolerance.

    Args:
        model: The base model.
        adapters: Its adapters, with hooks for this one.
        key: The adapter.
        tuned: PEFT's model of the adapter.
    """
    ids = torch.tensor(arbitrary_ids(model, 4, _PROMPT_TOKENS), device=model.device)  # (4, T)
    try:
        with torch.no_grad():
            adapters.set_rows([])
            bare = model(input_ids=ids).logits  # (4, T, vocabulary)
            adapters.set_rows([None, key, None, key])
            mixed = model(input_ids=ids).logits  # (4, T, vocabulary)
            adapters.set_rows([])
            alone = tuned(input_ids=ids).logits  # (4, T, vocabulary)
    except Exception as error:
        return f"the adapter's rows cannot be separated in a batch ({type(error).__name__}: {error})"
    finally:
        adapters.set_rows([])
    if not torch.equal(mixed[[0, 2]], bare[[0, 2]]):
        return "in a batch the adapter would change the base's rows"
    if not all(are_close(mixed[at], alone[at]) for at in (1, 3)):
        return "in a batch the adapter gives other logits than PEFT alone"
    return ""


def arbitrary_ids(model: torch.nn.Module, rows: int, length: int) -> list[list[int]]:
    """Return rows of different tokens within a model's vocabulary."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    return [[_FIRST_ID + (7 * at + 31 * row) % (vocabulary - 8) for at in range(length)] for row in range(rows)]
