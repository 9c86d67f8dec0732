"""Batches of labeled texts, for classifiers: rows as tokens with one class each, padded to the longest row."""

from typing import TYPE_CHECKING, Any

import torch

from core.data.labels import Classes, LabeledRows
from core.models.classifier import encode_text
from core.models.classifier_batches import pad_texts
from core.train.batches import TokenizedRows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def tokenize_texts(
    tokenizer: "PreTrainedTokenizerBase", rows: LabeledRows, classes: Classes, max_length: int
) -> TokenizedRows:
    """Return labeled texts as tokens; "labels" of a row is a list that holds only its class.

    Args:
        tokenizer: The tokenizer.
        rows: Rows whose labels are all known, and counts of those without one.
        classes: The labels.
        max_length: Tokens after which a text is truncated.
    """
    result = TokenizedRows([], dict(rows.left_out), 0, 0, 0)
    for row in rows.rows:
        try:
            ids, is_truncated = encode_text(tokenizer, row.text, max_length)
            reason = "" if ids else "the text has no tokens"
        except ValueError as error:
            ids, is_truncated, reason = [], False, str(error)
        if reason:
            result.left_out[reason] = result.left_out.get(reason, 0) + 1
            continue
        result.rows.append({"row": row.row, "input_ids": ids, "labels": [classes.class_of(row.label)]})
        result.truncated += is_truncated
        result.tokens += len(ids)
    return result


def pad_labeled(rows: list[dict[str, Any]], pad_id: int) -> dict[str, Any]:
    """Return a batch of rows as `pad_texts` makes it, with "labels" (rows,), int64."""
    batch = pad_texts([row["input_ids"] for row in rows], pad_id)
    return batch | {"labels": torch.tensor([row["labels"][0] for row in rows])}
