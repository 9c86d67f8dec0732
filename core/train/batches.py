"""From rendered rows to batches: laid end to end (packed) or padded to the longest."""

from dataclasses import dataclass, field
from typing import Any

import torch

from core.data.formats import Message
from core.data.tokens import IGNORE_INDEX, Renderer, TemplateError
from core.kernels.attention import make_row_bounds

Row = tuple[int, list[Message]]  # its number in the source, and the conversation


@dataclass
class Tokenized:
    """Rows ready for the trainer, the reasons why others are not among them, and notes on them, each with a count."""

    rows: list[dict[str, Any]]  # row, input_ids, labels
    left_out: dict[str, int]
    truncated: int
    tokens: int
    answer_tokens: int
    notes: dict[str, int] = field(default_factory=dict)


def tokenize(renderer: Renderer, rows: list[Row], max_length: int, answers_only: bool) -> Tokenized:
    """Render every row; one that the template refuses or that has nothing left to learn is counted by its reason."""
    result = Tokenized([], {}, 0, 0, 0)
    for number, messages in rows:
        try:
            rendered = renderer.render(messages, max_length, all_text=not answers_only)
            reason = rendered.no_loss_reason(max_length)
        except TemplateError as error:
            reason = str(error)
        if reason:
            result.left_out[reason] = result.left_out.get(reason, 0) + 1
            continue
        labels = [IGNORE_INDEX, *rendered.labels[1:]]  # nothing predicts a row's first token
        result.rows.append({"row": number, "input_ids": rendered.input_ids, "labels": labels})
        for note in rendered.notes:
            result.notes[note] = result.notes.get(note, 0) + 1
        result.truncated += rendered.truncated
        result.tokens += len(labels)
        result.answer_tokens += rendered.loss_tokens
    return result


def pack(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One flat sequence (1, tokens) with positions that start again at each row, and the rows' lengths and bounds."""
    lengths = [len(row["input_ids"]) for row in rows]
    return {
        "input_ids": torch.tensor([[token for row in rows for token in row["input_ids"]]]),
        "labels": torch.tensor([[label for row in rows for label in row["labels"]]]),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "row_lengths": lengths,
        "row_bounds": make_row_bounds(lengths),
    }


def pad(rows: list[dict[str, Any]], pad_id: int) -> dict[str, Any]:
    """(rows, longest) tensors, padded on the right; padding is masked and carries no loss."""
    longest = max(len(row["input_ids"]) for row in rows)

    def filled(key: str, value: int) -> torch.Tensor:
        return torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in rows])

    mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
    return {
        "input_ids": filled("input_ids", pad_id),
        "labels": filled("labels", IGNORE_INDEX),
        "attention_mask": torch.tensor(mask),
    }


def learned(labels: torch.Tensor) -> torch.Tensor:
    """Where in the flattened (batch, length - 1) predictions a token carries loss; found before the GPU has to wait."""
    return (labels[:, 1:].reshape(-1) != IGNORE_INDEX).nonzero().squeeze(1)


def count_tokens(batch: dict[str, Any]) -> int:
    """Tokens of a batch, padding left out."""
    return int(batch["attention_mask"].sum()) if "attention_mask" in batch else batch["input_ids"].numel()
