"""Tokenizers in GGUF: which splitting rules are known, and tokens equal to those of llama.cpp if it is installed."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StudioError
from core.export.gguf_vocabulary import SPLITTING_RULES, _scores, find_splitting_rule

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}


def tokenizer_json(*steps, model="BPE", **over):
    pre_tokenizer = {"type": "Sequence", "pretokenizers": list(steps)} if len(steps) > 1 else (steps or (None,))[0]
    return {"model": {"type": model}, "pre_tokenizer": pre_tokenizer, "normalizer": None} | over


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ([BYTES | {"use_regex": True}], "gpt-2"),
        ([{"type": "Digits", "individual_digits": True}, BYTES | {"use_regex": True}], "smollm"),
        *(([split(rule[0]), BYTES], name) for rule, name in SPLITTING_RULES.items() if name in ("llama-bpe", "qwen2")),
    ],
)
def test_known_rule_has_the_name_of_llama_cpp(steps, name):
    assert find_splitting_rule(tokenizer_json(*steps)) == name


@pytest.mark.parametrize(
    "found",
    [
        tokenizer_json(split(r"\w+"), BYTES), tokenizer_json(BYTES), tokenizer_json(), tokenizer_json(model="Unigram"),
        tokenizer_json(BYTES | {"use_regex": True}, normalizer={"type": "Lowercase"}),
        tokenizer_json({"type": "Whitespace"}, BYTES | {"use_regex": True}),
    ],
)  # fmt: skip
def test_unknown_rule_is_refused(found):
    with pytest.raises(StudioError, match=r"cannot be written as GGUF|no name for"):
        find_splitting_rule(found)


def test_score_of_a_token_falls_with_the_rank_of_its_first_merge():
    merges = [["a", "b"], ["b", "c"], "ab c", ["a", "bc"]]
    assert _scores(merges) == {"ab": -1.0, "bc": -2.0, "abc": -3.0}


def open_in_llama_cpp(path):
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is optional: it compiles for minutes")
    return llama_cpp.Llama(str(path), vocab_only=True, verbose=False)


def conversations(shared_data):
    path = shared_data / "openassistant_best_replies_eval.jsonl"
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("kind", ["tokenizer", "llama2_tokenizer"])
def test_llama_cpp_splits_texts_into_the_same_tokens(settings, request, shared_data, tmp_path, kind):
    import gguf

    from core.export.gguf_vocabulary import write_vocabulary

    tokenizer = request.getfixturevalue(kind)
    writer = gguf.GGUFWriter(tmp_path / "vocabulary.gguf", "llama")
    write_vocabulary(writer, tokenizer, len(tokenizer), None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    theirs = open_in_llama_cpp(tmp_path / "vocabulary.gguf")
    texts = conversations(shared_data)
    assert len(texts) >= 500
    for text in texts:
        found = theirs.tokenize(text.encode(), add_bos=False, special=False)
        assert found == tokenizer(text, add_special_tokens=False).input_ids, text[:80]


@given(st.text(max_size=60))
def test_scores_are_below_zero_and_unique(text):
    merges = [[left, right] for left, right in itertools.pairwise(text)]
    scores = list(_scores(merges).values())
    assert all(score < 0 for score in scores)
    assert len(set(scores)) == len(scores)
