"""Batches of rendered rows: laid end to end (packed), or padded to the longest row."""

from dataclasses import dataclass, field
from typing import Any

import torch

from core.data.formats import Message
from core.data.tokens import IGNORE_INDEX, Renderer, TemplateError
from core.kernels.attention import make_row_bounds

# A row's number in the source, and its conversation.
Row = tuple[int, list[Message]]


@dataclass
class TokenizedRows:
    """Rows as tokens, and counts of what happened to them.

    Attributes:
        rows: Each with "row" (its number), "input_ids" and "labels" (`IGNORE_INDEX` where a token carries no loss).
        left_out: Rows that cannot be trained on, counted by reason.
        truncated: Rows that were shortened to the maximum length.
        tokens: Tokens of all rows.
        answer_tokens: Tokens of all rows that carry loss.
        notes: Numbers of rows, by the note of the renderer.
    """

    rows: list[dict[str, Any]]
    left_out: dict[str, int]
    truncated: int
    tokens: int
    answer_tokens: int
    notes: dict[str, int] = field(default_factory=dict)


def tokenize(renderer: Renderer, rows: list[Row], max_length: int, answers_only: bool) -> TokenizedRows:
    """Render every row, and count those that cannot be trained on by the reason.

    Args:
        renderer: The renderer that the preview uses too.
        rows: Numbers and conversations.
        max_length: Tokens at which a row is truncated.
        answers_only: Whether only answers carry loss.
    """
    result = TokenizedRows([], {}, 0, 0, 0)
    for number, messages in rows:
        try:
            rendered = renderer.render(messages, max_length, all_text=not answers_only)
            reason = rendered.no_loss_reason(max_length)
        except TemplateError as error:
            reason = str(error)
        if reason:
            result.left_out[reason] = result.left_out.get(reason, 0) + 1
            continue
        # No token precedes a row's first one, so nothing predicts it.
        labels = [IGNORE_INDEX, *rendered.labels[1:]]
        result.rows.append({"row": number, "input_ids": rendered.input_ids, "labels": labels})
        for note in rendered.notes:
            result.notes[note] = result.notes.get(note, 0) + 1
        result.truncated += rendered.is_truncated
        result.tokens += len(labels)
        result.answer_tokens += rendered.loss_tokens
    return result


def pack(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a batch of one flat sequence, for models with packed attention.

    Two rows of 3 and 2 tokens become

        input_ids     a b c d e       (1, tokens), int64
        position_ids  0 1 2 0 1       (1, tokens), int64: start again at each row
        row_lengths   [3, 2]          a list
        row_bounds    0 3 5           (rows + 1,), int32

    with "labels" (1, tokens), int64. A row's first label is `IGNORE_INDEX`, so that no row predicts the next one.
    """
    lengths = [len(row["input_ids"]) for row in rows]
    return {
        "input_ids": torch.tensor([[token for row in rows for token in row["input_ids"]]]),
        "labels": torch.tensor([[label for row in rows for label in row["labels"]]]),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "row_lengths": lengths,
        "row_bounds": make_row_bounds(lengths),
    }


def pad(rows: list[dict[str, Any]], pad_id: int) -> dict[str, Any]:
    """Return a batch of tensors (rows, longest), int64, padded on the right; padding is masked and carries no loss."""
    longest = max(len(row["input_ids"]) for row in rows)

    def fill(key: str, value: int) -> torch.Tensor:
        return torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in rows])  # (rows, longest)

    mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
    return {
        "input_ids": fill("input_ids", pad_id),
        "labels": fill("labels", IGNORE_INDEX),
        "attention_mask": torch.tensor(mask),
    }


def find_loss_positions(labels: torch.Tensor) -> torch.Tensor:
    """Return which of the flattened next-token predictions carry loss, (count,), int64.

    The data loader calls this on the processor. On the GPU, the size of the result would have to be awaited.

    Args:
        labels: (batch, length); prediction n of a row is that of token n + 1.
    """
    return (labels[:, 1:].reshape(-1) != IGNORE_INDEX).nonzero().squeeze(1)


def count_tokens(batch: dict[str, Any]) -> int:
    """Return the number of tokens of a batch without padding."""
    return int(batch["attention_mask"].sum()) if "attention_mask" in batch else batch["input_ids"].numel()
