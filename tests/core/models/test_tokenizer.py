"""Tokenizers are read as their tokenizer.json defines them, whatever class their config names."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from core.data.formats import Reading
from core.data.tokens import Renderer
from core.errors import StudioError
from core.models.tokenizer import padding_id, read
from tests.helpers.template_families import bundled, conversations

SPECIAL = ["<unk>", "<s>", "</s>", "<|im_end|>"]


def sentencepiece_bpe() -> Tokenizer:
    """Return a tokenizer like Llama 2's: its normalizer prepends `▁` to each piece between special tokens."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    return train(made, trainers.BpeTrainer(vocab_size=900, special_tokens=SPECIAL + pieces, show_progress=False))


def byte_level_bpe() -> Tokenizer:
    """Return a byte-level BPE tokenizer."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    letters = pre_tokenizers.ByteLevel.alphabet()
    options = {"vocab_size": 700, "initial_alphabet": letters, "special_tokens": SPECIAL, "show_progress": False}
    return train(made, trainers.BpeTrainer(**options))


def split_byte_level_bpe() -> Tokenizer:
    """Return a tokenizer like Llama 3's and Qwen's: each digit is a piece, and no space is added."""
    made = byte_level_bpe()
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return made


def metaspace_unigram() -> Tokenizer:
    """Return a Unigram tokenizer like T5's, which writes a space as `▁`."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    made.decoder = decoders.Metaspace(prepend_scheme="never")
    options = {"vocab_size": 400, "special_tokens": SPECIAL, "unk_token": "<unk>", "show_progress": False}
    return train(made, trainers.UnigramTrainer(**options))


def word_piece() -> Tokenizer:
    """Return a WordPiece tokenizer like BERT's."""
    made = Tokenizer(models.WordPiece(unk_token="<unk>"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return train(made, trainers.WordPieceTrainer(vocab_size=500, special_tokens=SPECIAL, show_progress=False))


def train(made: Tokenizer, trainer: object) -> Tokenizer:
    """Train a tokenizer on bundled conversations, and add a token that takes the white space before it."""
    made.train_from_iterator((turn["content"] for messages in bundled()[:40] for turn in messages), trainer)
    made.add_tokens([AddedToken("<tool>", normalized=False, lstrip=True)])
    return made


KINDS = {
    "Llama 2": (sentencepiece_bpe, "LlamaTokenizer"),
    "Llama 2, legacy": (sentencepiece_bpe, "LlamaTokenizerFast"),
    "Gemma": (sentencepiece_bpe, "GemmaTokenizer"),
    "DeepSeek-R1-Distill": (byte_level_bpe, "LlamaTokenizerFast"),
    "GPT-2": (split_byte_level_bpe, "GPT2Tokenizer"),
    "Qwen": (split_byte_level_bpe, "Qwen2Tokenizer"),
    "Llama 3": (split_byte_level_bpe, "PreTrainedTokenizerFast"),
    "Command-R": (split_byte_level_bpe, "CohereTokenizer"),
    "T5": (metaspace_unigram, "T5Tokenizer"),
    "XGLM": (metaspace_unigram, "XGLMTokenizer"),
    "BERT": (word_piece, "BertTokenizer"),
}


@pytest.fixture(scope="module", params=list(KINDS))
def pair(request, tmp_path_factory):
    """A tokenizer as the studio reads it, and its file as the `tokenizers` library reads it."""
    make, named = KINDS[request.param]
    folder = tmp_path_factory.mktemp("tokenizer")
    make().save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": named, "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "legacy": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return read(str(folder)), Tokenizer.from_file(str(folder / "tokenizer.json"))


parts = st.lists(st.one_of(st.text(max_size=12), st.sampled_from([*SPECIAL, "<tool>", " ", "\n", "[INST]", " a 12 3"])))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts.map("".join))
@example("<s>[INST] Hello [/INST] Hi  there </s><s>[INST] again <tool> x")
def test_read_ids_offsets_and_text_equal_the_tokenizer_file(pair, text):
    tokenizer, own = pair
    expected = own.encode(text, add_special_tokens=False)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert encoded["input_ids"] == expected.ids
    assert encoded["offset_mapping"] == expected.offsets
    assert tokenizer.decode(encoded["input_ids"]) == own.decode(expected.ids, skip_special_tokens=False)
    assert tokenizer.decode(encoded["input_ids"], skip_special_tokens=True) == own.decode(expected.ids)


@pytest.mark.parametrize("system", [None, " Antworte kurz.\n"])
def test_read_llama2_ids_equal_the_tokenizer_file_on_real_conversations(llama2_tokenizer, shared_data, system):
    """Compare with Meta's reference form, too: each pair is stripped and encoded alone, and begins with `▁[` (518)."""
    own = Tokenizer.from_file(str(Path(llama2_tokenizer.name_or_path) / "tokenizer.json"))
    texts = pq.read_table(shared_data / "guanaco-llama2-1k-train.parquet").column("text").to_pylist()
    dialogs = [Reading(format="llama2").parse({"text": text}) for text in texts]
    dialogs += conversations(shared_data / "openassistant_best_replies_eval.jsonl", 518)
    renderer, named, compared = Renderer(llama2_tokenizer), Renderer(llama2_tokenizer, "llama2"), 0
    for dialog in dialogs:
        turns = [turn["content"] for turn in dialog]
        if len(turns) % 2 or any(mark in text for text in turns for mark in ("<s>", "</s>", "<unk>")):
            continue
        messages = [{"role": "system", "content": system}, *dialog] if system else dialog
        compared += 1
        expected = []
        for at in range(0, len(turns), 2):
            before = f"<<SYS>>\n{system}\n<</SYS>>\n\n" if system and at == 0 else ""
            text = f"<s>[INST] {(before + turns[at]).strip()} [/INST] {turns[at + 1].strip()} </s>"
            expected += own.encode(text, add_special_tokens=False).ids
        ids = renderer.render(messages).input_ids
        assert ids == expected
        assert renderer.render_text(messages) == named.render_text(messages)
        assert [ids[at + 1] for at, token in enumerate(ids) if token == 1] == [518] * (len(turns) // 2)
    assert compared > 1300


def test_padding_id_lies_inside_the_embedding_matrix(tokenizer):
    assert padding_id(tokenizer, len(tokenizer)) == tokenizer.pad_token_id
    assert padding_id(tokenizer, 1) == 0


@pytest.mark.parametrize("name", ["RagTokenizer", "XLMTokenizer", "XLMTokenizerFast", "Wav2Vec2CTCTokenizer"])
@pytest.mark.parametrize("file", ["tokenizer_config.json", "config.json"])
def test_class_of_slow_tokenizers_is_refused_before_it_reads_its_own_files(tmp_path, name, file):
    """They read files that are not tried, such as tokenizers in subfolders."""
    byte_level_bpe().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / file).write_text(json.dumps({"model_type": "llama", "tokenizer_class": name}))
    with pytest.raises(StudioError, match=f"names {name}, which is no fast tokenizer"):
        read(str(tmp_path))
