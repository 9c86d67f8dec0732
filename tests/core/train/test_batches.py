"""Rows tokenized, packed and padded to batches."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from core.data.tokens import Renderer
from core.train.batches import count_tokens, pack, pad, tokenize
from tests.helpers.tiny_model import random_rows

QUESTION = {"role": "user", "content": "What is a tide?"}
ANSWER = {"role": "assistant", "content": "The sea, breathing."}


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_pack_and_pad_keep_every_token_and_count_no_padding(lengths):
    rows = random_rows(lengths, prompt=0)
    packed, padded = pack(rows), pad(rows, pad_id=0)
    flat = [token for row in rows for token in row["input_ids"]]
    assert packed["input_ids"][0].tolist() == flat
    assert padded["input_ids"][padded["attention_mask"].bool()].tolist() == flat
    assert count_tokens(packed) == count_tokens(padded) == sum(lengths)
    starts = (packed["position_ids"][0] == 0).nonzero().flatten().tolist()
    assert starts == [sum(lengths[:i]) for i in range(len(lengths))]
    assert (padded["labels"][~padded["attention_mask"].bool()] == -100).all()


def test_tokenize_row_equals_preview(tokenizer):
    renderer = Renderer(tokenizer)
    shown = renderer.render([QUESTION, ANSWER])
    (row,) = tokenize(renderer, [(7, [QUESTION, ANSWER])], max_length=512, answers_only=True).rows
    assert row["row"] == 7
    assert row["input_ids"] == shown.input_ids
    assert row["labels"][1:] == shown.labels[1:]


def test_tokenize_row_without_loss_tokens_is_counted_by_reason(tokenizer):
    rows = [(0, [QUESTION, ANSWER]), (1, [{"role": "user", "content": "word " * 400}, ANSWER])]
    made = tokenize(Renderer(tokenizer), rows, max_length=64, answers_only=True)
    assert [row["row"] for row in made.rows] == [0]
    assert made.left_out == {"no token carries loss within 64 tokens": 1}


def test_tokenize_row_rejected_by_template_is_left_out(tokenizer):
    renderer = Renderer(tokenizer)
    renderer.template = "{{ raise_exception('no tools here') }}"
    made = tokenize(renderer, [(0, [QUESTION, ANSWER])], max_length=64, answers_only=True)
    assert made.rows == []
    assert list(made.left_out.values()) == [1]
    assert "no tools here" in next(iter(made.left_out))


def test_tokenize_all_text_masks_only_first_token(tokenizer):
    made = tokenize(Renderer(tokenizer), [(0, [QUESTION, ANSWER])], max_length=512, answers_only=False)
    labels = torch.tensor(made.rows[0]["labels"])
    assert labels[0] == -100
    assert (labels[1:] != -100).all()
