"""Incremental decoding: the joined pieces are the decoding of all tokens, whatever the tokens are."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from core.chat.text_decoder import TextDecoder

WORDS = ["▁the", "▁sea", "ing", "▁", "é", "▁你", ",", ".", "▁'", "t", "▁a"]
SPECIAL, ADDED = "<s>", "<tool>"


@cache
def sentencepiece_tokenizer():
    """A tokenizer with Llama 2's decoder: byte tokens, word marks, and a dropped first space."""
    pieces = [*(f"<0x{byte:02X}>" for byte in range(256)), *WORDS, "<unk>"]
    backend = Tokenizer(models.BPE({piece: at for at, piece in enumerate(pieces)}, [], unk_token="<unk>"))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens([AddedToken(SPECIAL, special=True)])
    backend.add_tokens([AddedToken(ADDED, special=False)])
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.fixture(scope="module")
def sentencepiece():
    return sentencepiece_tokenizer()


def decode_in_pieces(tokenizer, ids, skip=True, every=1):
    decoder, pieces = TextDecoder(tokenizer, skip), []
    for number, token in enumerate(ids):
        decoder.push(token)
        if number % every == 0:
            pieces.append(decoder.read())
            assert not decoder.text.endswith("\ufffd"), "an incomplete character is never certain"
    pieces.append(decoder.finish())
    assert decoder.text == "".join(pieces)
    return decoder.text


def decode_all(tokenizer, ids, skip=True):
    return tokenizer.decode(ids, skip_special_tokens=skip, clean_up_tokenization_spaces=False)


BYTES_OF_TEXT = st.text(st.characters(codec="utf-8"), max_size=4).map(lambda text: list(text.encode()))
SENTENCEPIECE_IDS = st.lists(
    st.one_of(
        st.integers(0, 255).map(lambda byte: [byte]),
        BYTES_OF_TEXT,
        st.integers(256, 256 + len(WORDS) + 2).map(lambda token: [token]),
    ),
    max_size=40,
).map(lambda parts: [token for part in parts for token in part])


@given(SENTENCEPIECE_IDS, st.booleans(), st.sampled_from([1, 3]))
def test_text_decoder_sentencepiece_pieces_join_to_the_decoding_of_all_ids(ids, skip, every):
    tokenizer = sentencepiece_tokenizer()
    assert decode_in_pieces(tokenizer, ids, skip, every) == decode_all(tokenizer, ids, skip)


@limits(max_examples=60)
@given(data=st.data())
def test_text_decoder_byte_level_pieces_join_to_the_decoding_of_all_ids(tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=60))
    text = data.draw(st.text(max_size=20))
    ids += tokenizer(text, add_special_tokens=False)["input_ids"]
    skip = data.draw(st.booleans())
    assert decode_in_pieces(tokenizer, ids, skip) == decode_all(tokenizer, ids, skip)


@pytest.mark.parametrize("text", ["🎈🎈 balloon", "日本語の文", "naïve café, don't . stop", "  two  spaces\n\n"])
def test_text_decoder_text_round_trips_and_shows_whole_characters_only(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    decoder = TextDecoder(tokenizer)
    for token in ids:
        decoder.push(token)
        decoder.read()
        assert text.startswith(decoder.text)
        assert text.startswith(decoder.text + decoder.pending_text.rstrip("\ufffd"))
    decoder.finish()
    assert decoder.text == text


def test_text_decoder_byte_run_is_shown_before_it_ends(sentencepiece):
    decoder = TextDecoder(sentencepiece)
    for byte in "你好".encode():
        decoder.push(byte)
        decoder.read()
    assert (decoder.text, decoder.pending_text) == ("", "你好")


@pytest.mark.parametrize("ids", [list(range(256, 264)), [0xE4], [0xE4, 0xBD, 0xA0]], ids=["words", "invalid", "bytes"])
def test_text_decoder_decoded_tokens_grow_linearly(sentencepiece, monkeypatch, ids):
    counts = []
    whole = sentencepiece.decode
    monkeypatch.setattr(
        sentencepiece, "decode", lambda tokens, **more: counts.append(len(tokens)) or whole(tokens, **more)
    )

    def decoded_tokens(length):
        counts.clear()
        decode_in_pieces(sentencepiece, (ids * length)[:length])
        return sum(counts)

    assert decoded_tokens(4000) < 2.5 * decoded_tokens(2000)
