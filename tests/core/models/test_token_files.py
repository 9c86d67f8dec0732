"""Files beside tokenizer.json that are made to harm: too many tokens, long ones, and names of other files."""

import json

import pytest

from core.models.token_files import FILES, read_token_file
from core.models.tokenizer_bounds import Unusable

CONFIG, SPECIAL, ADDED = FILES
MANY = [f"<{number}>" for number in range(10_001)]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            CONFIG,
            {"extra_special_tokens": MANY},
            "has 10,001 entries in extra_special_tokens, and",
        ),
        (CONFIG, {"additional_special_tokens": MANY}, "has 10,001 entries"),
        (CONFIG, {"model_specific_special_tokens": dict.fromkeys(MANY, "x")}, "has 10,001 entries"),
        (CONFIG, {f"{token}_token": token for token in MANY}, "has 10,001 entries"),
        (CONFIG, {"added_tokens_decoder": {str(n): {} for n in range(100_001)}}, "has 100,001 entries"),
        (CONFIG, {"bos_token": "x" * 10**6}, "a text of 1,000,000 characters"),
        (CONFIG, {"bos_token": {"content": "x" * 10**6}}, "a text of 1,000,000 characters"),
        (CONFIG, {"x" * 10**6: 1}, "a name of 1,000,000 characters"),
        (CONFIG, {"fast_tokenizer_files": ["tokenizer.4.0.0.json"]}, "names other files than tokenizer.json"),
        (CONFIG, {"fast_tokenizer_files": ["tokenizer.json", "../tokenizer.1.json"]}, "names other files"),
        (CONFIG, {"fast_tokenizer_files": "tokenizer.1.json"}, "names other files"),
        (CONFIG, {"fast_tokenizer_files": 2.5}, "names other files"),
        (CONFIG, {"gguf_file": "model.gguf"}, "names a GGUF file"),
        (SPECIAL, {"extra_special_tokens": MANY}, "has 10,001 entries"),
        (SPECIAL, {"eos_token": "x" * 5_000}, "a text of 5,000 characters"),
        (ADDED, {f"<{n}>": n for n in range(100_001)}, "has 100,001 entries"),
        (ADDED, {"x" * 5_000: 7}, "a name of 5,000 characters"),
        (ADDED, [], "holds no object"),
    ],
)
def test_file_beyond_a_bound_is_refused_with_its_name_and_the_reason(tmp_path, name, content, reason):
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(Unusable, match=f"^{name} .*{reason}"):
        read_token_file(name, tmp_path / name)


@pytest.mark.parametrize("depth", [40, 100_000])
def test_nested_file_is_refused(tmp_path, depth):
    (tmp_path / CONFIG).write_text('{"a":' * depth + "1" + "}" * depth)
    with pytest.raises(Unusable, match=r"is nested more than 32 deep|is no JSON that can be read"):
        read_token_file(CONFIG, tmp_path / CONFIG)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (CONFIG, {"chat_template": "x" * 50_000, "tokenizer_file": None, "fast_tokenizer_files": ["tokenizer.json"]}),
        (CONFIG, {"chat_template": [{"name": "default", "template": "x" * 50_000}]}),
        (CONFIG, {"chat_template": {"tool_use": "x" * 50_000}}),
        (CONFIG, {"added_tokens_decoder": {str(n): {"content": f"<{n}>"} for n in range(50_000)}}),
        (ADDED, {f"<{n}>": n for n in range(50_000)}), (SPECIAL, {"bos_token": "<s>"}),
    ],
)  # fmt: skip
def test_file_within_its_bounds_is_read(tmp_path, name, content):
    (tmp_path / name).write_text(json.dumps(content))
    assert read_token_file(name, tmp_path / name) == content
