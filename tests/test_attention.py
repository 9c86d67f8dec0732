import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import random_rows, tiny_llama

from core.train import attention
from core.train.batches import pack, pad


def logits_of(model, batch):
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    with torch.no_grad():
        return model(**inputs, use_cache=False).logits


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_packed_rows_see_only_themselves(lengths, seed):
    rows = random_rows(lengths, prompt=0, seed=seed)
    packed = logits_of(tiny_llama(attention=attention.PACKED), pack(rows))[0].split(lengths)
    plain = tiny_llama(attention="sdpa")
    for row, logits in zip(rows, packed, strict=True):
        alone = logits_of(plain, {"input_ids": torch.tensor([row["input_ids"]])})[0]
        torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)


def test_long_rows_take_the_other_path_to_the_same_numbers(monkeypatch):
    rows = random_rows([30, 17], prompt=0)
    model = tiny_llama(attention=attention.PACKED)
    short = logits_of(model, pack(rows))
    monkeypatch.setattr(attention, "PLAIN_UP_TO", 8)
    torch.testing.assert_close(logits_of(model, pack(rows)), short, rtol=1e-4, atol=1e-5)


def test_without_row_lengths_it_is_one_causal_row():
    ids = torch.arange(3, 23)[None]
    packed = logits_of(tiny_llama(attention=attention.PACKED), {"input_ids": ids})
    torch.testing.assert_close(packed, logits_of(tiny_llama(), {"input_ids": ids}), rtol=1e-4, atol=1e-5)


def test_lengths_that_do_not_add_up_are_refused():
    batch = pack(random_rows([5, 6], prompt=0)) | {"row_lengths": [5, 5]}
    with pytest.raises(RuntimeError):
        logits_of(tiny_llama(attention=attention.PACKED), batch)


def test_padded_rows_give_the_same_logits_as_packed_ones():
    rows = random_rows([9, 21, 4], prompt=0)
    packed = logits_of(tiny_llama(attention=attention.PACKED), pack(rows))[0].split([9, 21, 4])
    padded = logits_of(tiny_llama(), pad(rows, pad_id=0))
    for row, (length, logits) in enumerate(zip([9, 21, 4], packed, strict=True)):
        torch.testing.assert_close(padded[row, :length], logits, rtol=1e-4, atol=1e-5)
