"""Attention of packed rows, compared with padded rows and eager attention."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StudioError
from core.kernels import attention
from core.train.batches import pack, pad
from tests.helpers.answering_architectures import VOCABULARY, build
from tests.helpers.tiny_model import random_rows, tiny_llama


def logits_of(model, batch):
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    with torch.no_grad():
        return model(**inputs, use_cache=False).logits


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=st.integers(0, 1000))
def test_packed_rows_attend_only_themselves(lengths, seed):
    rows = random_rows(lengths, prompt=0, seed=seed)
    packed = logits_of(tiny_llama(attention=attention.PACKED), pack(rows))[0].split(lengths)
    plain = tiny_llama(attention="sdpa")
    for row, logits in zip(rows, packed, strict=True):
        alone = logits_of(plain, {"input_ids": torch.tensor([row["input_ids"]])})[0]
        torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)


def test_packed_attention_of_long_rows_matches_short_path(monkeypatch):
    rows = random_rows([30, 17], prompt=0)
    model = tiny_llama(attention=attention.PACKED)
    short = logits_of(model, pack(rows))
    monkeypatch.setattr(attention, "MAX_PLAIN_LENGTH", 8)
    torch.testing.assert_close(logits_of(model, pack(rows)), short, rtol=1e-4, atol=1e-5)


def test_packed_attention_without_row_lengths_is_one_causal_row():
    ids = torch.arange(3, 23)[None]
    packed = logits_of(tiny_llama(attention=attention.PACKED), {"input_ids": ids})
    torch.testing.assert_close(packed, logits_of(tiny_llama(), {"input_ids": ids}), rtol=1e-4, atol=1e-5)


def test_packed_attention_with_wrong_lengths_raises():
    batch = pack(random_rows([5, 6], prompt=0)) | {"row_lengths": [5, 5]}
    with pytest.raises(RuntimeError):
        logits_of(tiny_llama(attention=attention.PACKED), batch)


def test_padded_and_packed_rows_give_same_logits():
    rows = random_rows([9, 21, 4], prompt=0)
    packed = logits_of(tiny_llama(attention=attention.PACKED), pack(rows))[0].split([9, 21, 4])
    padded = logits_of(tiny_llama(), pad(rows, pad_id=0))
    for row, (length, logits) in enumerate(zip([9, 21, 4], packed, strict=True)):
        torch.testing.assert_close(padded[row, :length], logits, rtol=1e-4, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=4),
    name=st.sampled_from(["mistral", "gemma2", "gemma3_text", "gpt_oss", "cohere2"]),
    plain_up_to=st.sampled_from([0, 512]),
)
def test_packed_windows_sinks_and_caps_match_eager_attention(lengths, name, plain_up_to):
    """Windows have 6 tokens; the two limits select the two implementations for a CPU."""
    rows = random_rows(lengths, prompt=0)
    for row in rows:
        row["input_ids"] = [token % VOCABULARY for token in row["input_ids"]]
    model, plain = build(name), build(name)
    plain.set_attn_implementation("eager")
    model.set_attn_implementation(attention.PACKED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "MAX_PLAIN_LENGTH", plain_up_to)
        packed = logits_of(model, pack(rows))[0].split(lengths)
    for row, logits in zip(rows, packed, strict=True):
        alone = logits_of(plain, {"input_ids": torch.tensor([row["input_ids"]])})[0]
        torch.testing.assert_close(logits, alone, rtol=1e-3, atol=1e-4)


def parts(rows=1, tokens=5):
    return [torch.zeros(rows, 2, tokens, 4) for _ in range(3)]


@pytest.mark.parametrize(
    ("given", "named"),
    [({"attention_mask": torch.ones(1, 1, 5, 5)}, "attention_mask"), ({"is_causal": False}, "is_causal=False"),
     ({"chunk_size": 8}, "chunk_size"), ({"position_bias": torch.zeros(5, 5)}, "position_bias"),
     ({"output_attentions": True}, "output_attentions"), ({"head_mask": torch.ones(2)}, "head_mask")],
)  # fmt: skip
def test_packed_attention_rejects_argument_it_does_not_apply(given, named):
    with pytest.raises(StudioError, match=named):
        attention.packed_attention(None, *parts(), **({"attention_mask": None} | given))


def test_packed_attention_accepts_harmless_arguments():
    given = {"use_cache": False, "position_ids": torch.arange(5)[None], "output_attentions": False, "chunk_size": None}
    out, _ = attention.packed_attention(None, *parts(), None, **given)
    assert out.shape == (1, 5, 2, 4)


def test_packed_attention_rejects_batch_of_several_rows():
    with pytest.raises(StudioError, match="a batch of 2"):
        attention.packed_attention(None, *parts(rows=2), None)
