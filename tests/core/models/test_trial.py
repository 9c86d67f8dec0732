"""Tokenizers that are made to harm are refused by the process that tries them, and the server goes on."""

import base64
import json
import os
import signal
import subprocess
import sys

import pytest
from transformers.tokenization_utils_tokenizers import TokenizersBackend

from core.errors import StudioError
from core.models import trial
from core.models.catalogue import Model
from core.models.loading import load_tokenizer
from core.models.tokenizer_bounds import repeats_a_repetition

LETTERS = {chr(number): number - 33 for number in range(33, 127)}
PLAIN = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
    "pre_tokenizer": None, "post_processor": None, "decoder": None,
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
              "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
              "vocab": LETTERS, "merges": []},
}  # fmt: skip
TRUNCATION = {"direction": "Right", "max_length": 2**63, "strategy": "LongestFirst", "stride": 2**63}
PADDING = {"strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
           "pad_type_id": 0, "pad_token": "a"}  # fmt: skip
ADDED = {"id": 200, "content": "<x>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True}  # fmt: skip


def sequence(name: str, steps: list) -> dict:
    return {"type": "Sequence", name: steps}


def replaced(pattern: str, content: str, kind: str = "String") -> dict:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def split(pattern: str) -> dict:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def charsmap(trie: bytes, texts: bytes, size: int | None = None) -> dict:
    packed = (len(trie) if size is None else size).to_bytes(4, "little") + trie + texts
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(packed).decode()}


def model(**fields: object) -> dict:
    return {"model": PLAIN["model"] | fields}


TEXT, SECOND = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}
SPECIAL = {"SpecialToken": {"id": "a", "type_id": 0}}


def template(single: list, ids: int = 1) -> dict:
    special = {"a": {"id": "a", "ids": [1] * ids, "tokens": ["a"] * ids}}
    return {"type": "TemplateProcessing", "single": single, "pair": [TEXT, SECOND], "special_tokens": special}


def nested(depth: int) -> dict:
    step: dict = {"type": "NFC"}
    for _ in range(depth):
        step = sequence("normalizers", [step])
    return step


# The change of a plain tokenizer, and a part of the reason.
REFUSED = {
    "doubled letters": ({"normalizer": sequence("normalizers", [replaced("a", "aa")] * 60)}, "times as long"),
    "rare letter": ({"normalizer": replaced("Ω", "x" * 10**6)}, "times as long"),
    "nothing": ({"normalizer": replaced("", "y" * 9_999, "Regex")}, "times as long"),
    "prepended": ({"normalizer": {"type": "Prepend", "prepend": "a" * 10**6}}, "times as long"),
    "bytes of bytes": ({"normalizer": sequence("normalizers", [{"type": "ByteLevel"}] * 40)}, "times as long"),
    "steps": ({"normalizer": sequence("normalizers", [{"type": "NFC"}] * 99)}, "steps"),
    "decoded": ({"decoder": replaced("a", "b" * 10**6)}, "decoder that may make a text"),
    "decoded twice": ({"decoder": sequence("decoders", [replaced("a", "aa")] * 60)}, "decoder that may make a text"),
    "nested": ({"normalizer": replaced("(a+)+$", "x", "Regex")}, "repeats a group"),
    "split": ({"pre_tokenizer": split("((a*)*)*b")}, "repeats a group"),
    "sequence": ({"pre_tokenizer": sequence("pretokenizers", [split("(?:x|a*)*b")])}, "repeats a group"),
    "long pattern": ({"pre_tokenizer": split("(?<=a|ab)" * 2_000)}, "Regex of 18,000"),
    "no pattern": ({"normalizer": replaced("((", "x", "Regex")}, "cannot be read"),
    "map": ({"normalizer": charsmap(b"", b"", 2**32 - 1)}, "longer than itself"),
    "map of text": ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "%%%"}}, "not base64"),
    "map of megabytes": ({"normalizer": charsmap(bytes(4096), b"a" * 10**6)}, "times as long"),
    "map that panics": ({"normalizer": charsmap(b"\xff" * 4096, b"ab\0")}, "cannot be read"),
    "recursion": ({"normalizer": nested(100)}, "recursion limit"),
    "id": (model(vocab={"a": 2**32 - 1}), "the id 4,294,967,295"),
    "greater id": (model(vocab={"a": 2**64}), "cannot be read"),
    "negative id": (model(vocab={"a": -1}), "cannot be read"),
    "long token": ({"added_tokens": [ADDED | {"content": "a" * 10**6}]}, "a token of 1,000,000"),
    "many tokens": ({"added_tokens": [ADDED] * 100_001}, "adds 100,001 tokens"),
    "truncation": ({"truncation": TRUNCATION}, "truncation.max_length"),
    "padding": ({"padding": PADDING}, "padding.Fixed"),
    "multiple": ({"padding": PADDING | {"strategy": "BatchLongest", "pad_to_multiple_of": 2**62}}, "pad_to_multiple"),
    "strip": ({"decoder": {"type": "Strip", "content": "a", "start": 2**63, "stop": 0}}, "decoder.start"),
    "prefix": (model(continuing_subword_prefix="x" * 10**6), "continuing_subword_prefix"),
    "words": ({"model": {"type": "WordPiece", "max_input_chars_per_word": 10**9}}, "max_input_chars_per_word"),
    "unknown": ({"model": {"type": "Unigram", "unk_id": 99, "vocab": [["a", -1.0]]}}, "cannot be read"),
    "chunks": ({"pre_tokenizer": {"type": "FixedLength", "length": 0}}, "cannot be read"),
    "merges": (model(vocab={"a": 0}, merges=["a a"]), "cannot be read"),
    "template": ({"post_processor": template([SPECIAL] * 2_000 + [TEXT])}, "post_processor that makes"),
    "template of ids": ({"post_processor": template([SPECIAL, TEXT], ids=2_000)}, "post_processor that makes"),
    "repeated text": ({"post_processor": template([TEXT] * 99)}, "tokens of a text of"),
    "list": ([], "holds no object"), "text": ("[" * 100_000, "no JSON"),
}  # fmt: skip
LLAMA = sequence("normalizers", [{"type": "Prepend", "prepend": "▁"}, replaced(" ", "▁")])
WORDS = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}]++[\r\n]*|\s+"
HARMLESS = {
    "plain": {}, "llama": {"normalizer": LLAMA}, "pattern": {"pre_tokenizer": split(WORDS)},
    "padded": {"padding": PADDING | {"strategy": {"Fixed": 128}}},
    "map": {"normalizer": charsmap(bytes(4096), b"ab\0")},
    "template": {"post_processor": template([SPECIAL, TEXT, SPECIAL])},
}  # fmt: skip
# One process tries the whole table, each file in a fork of it that has the limits.
TABLE = """
import json, os, sys
from core.models import trial_worker
from core.system.process_limits import Limits
for name, path in json.load(sys.stdin).items():
    reader, writer = os.pipe()
    if not os.fork():
        Limits(2**31, 10, 2**20).apply()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            trial_worker.try_files({"tokenizer.json": path}, lambda name: None)
            os.write(writer, b"usable")
        except trial_worker.Unusable as error:
            os.write(writer, str(error).encode()[:4000])
        os._exit(0)
    os.close(writer)
    print(json.dumps([name, os.read(reader, 4000).decode()]), flush=True)
    os.wait()
"""


def written(folder, content) -> str:
    folder.mkdir(exist_ok=True)
    path = folder / "tokenizer.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.fixture(scope="module")
def reasons(tmp_path_factory) -> dict[str, str]:
    """Return the reasons against all files of both tables, by their names."""
    folder, paths = tmp_path_factory.mktemp("tokenizers"), {}
    for table in (HARMLESS, {name: change for name, (change, _) in REFUSED.items()}):
        for name, change in table.items():
            kind = f"{'harmless' if table is HARMLESS else 'refused'} {name}"
            paths[kind] = written(folder / kind, PLAIN | change if isinstance(change, dict) else change)
    done = subprocess.run(
        [sys.executable, "-c", TABLE], input=json.dumps(paths), capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": trial.python_path(), "RAYON_NUM_THREADS": "1"},
    )  # fmt: skip
    assert not done.returncode, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", REFUSED)
def test_tokenizer_made_to_harm_is_refused_with_the_reason(reasons, name):
    reason = reasons[f"refused {name}"]
    assert reason.startswith("tokenizer.json ")
    assert REFUSED[name][1] in reason


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_tokenizer_is_usable(reasons, name):
    assert reasons[f"harmless {name}"] == "usable"


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("(a+)+", True), ("(a*)*", True), ("(a|b+)*", True), ("((a+))*", True), ("(a+){2,}", True), ("(a+){99}", True),
        ("(?:a{1,}b)+", True), ("(a+)?", False), ("(a+){1,3}", False), ("(ab)+", False), ("[(a+)]+", False),
        (r"\(a+\)+", False), ("[^(\\s|[.,!?])]+", False), ("a+b+c*", False), ("(?i:'s|'t)?+\\p{L}++", False),
        ("(", False), ("[", False), ("\\", False), ("{", False), (")+", False),
    ],
)  # fmt: skip
def test_repeats_a_repetition(pattern, expected):
    assert repeats_a_repetition(pattern) is expected


@pytest.mark.parametrize(
    ("lines", "code", "expected"),
    [
        ([{"at": "a"}, {"refused": ""}], 0, ""), ([{"at": "a"}, {"refused": "a is bad"}], 0, "a is bad"),
        ([{"at": "a"}], -signal.SIGABRT, "a crashes the library that reads it, or makes it ask for too much memory"),
        ([{"at": "a"}], -signal.SIGXCPU, "a takes more than 30 CPU seconds"),
        ([{"at": "a"}], 1, "a ends the process that reads it (exit code 1)"),
        ([{"at": "a"}], -signal.SIGILL, "a ends the process that reads it (exit code -4)"),
    ],
)  # fmt: skip
def test_end_of_the_trial_gives_the_reason(lines, code, expected):
    assert trial._outcome(lines, code) == expected


def test_trial_that_did_not_begin_says_nothing_about_the_files():
    with pytest.raises(StudioError, match="could not be tried"):
        trial._outcome([], -signal.SIGKILL)


@pytest.fixture
def hostile(tmp_path):
    """Return a model whose template has no end."""
    written(tmp_path / "mine", PLAIN)
    loops = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
    (tmp_path / "mine" / "tokenizer_config.json").write_text(json.dumps({"chat_template": [{"template": loops}]}))
    return Model("mine", "mine", str(tmp_path / "mine"), local=True, trials=str(tmp_path / "trials"))


def test_load_tokenizer_of_a_hostile_model_is_refused_and_tried_once(hostile, monkeypatch):
    expected = "'mine' could not be loaded: its tokenizer_config.json has a chat template .* more than 0.5 seconds"
    with pytest.raises(StudioError, match=expected):
        load_tokenizer(hostile)
    # Another process finds the result in the folder, this one in its memory.
    monkeypatch.setattr(trial, "_try", None)
    with pytest.raises(StudioError, match=expected):
        load_tokenizer(hostile)
    trial._known.clear()
    with pytest.raises(StudioError, match=expected):
        load_tokenizer(hostile)
    # Other content is tried again.
    written(trial.Path(hostile.path), PLAIN | {"version": "1.1"})
    monkeypatch.setattr(trial, "_try", lambda files: f"{sorted(files)[0]} is another")
    with pytest.raises(StudioError, match=r"its tokenizer\.json is another"):
        load_tokenizer(hostile)


def test_file_that_would_be_read_in_place_of_tokenizer_json_is_refused(tmp_path):
    """Its letter is in no text of the trial, and would become 67 million."""
    normalizer = sequence("normalizers", [replaced("\U00010348", "\U00010348" * 2)] * 26)
    (tmp_path / "tokenizer.4.0.0.json").write_text(json.dumps(PLAIN | {"normalizer": normalizer}))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "fast_tokenizer_files": ["tokenizer.4.0.0.json"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(StudioError, match=r"its tokenizer_config\.json names other files than tokenizer\.json"):
        load_tokenizer(Model("mine", "mine", str(tmp_path), local=True))


def test_models_without_tokenizer_json_are_tried_with_the_files_that_they_have(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "vocab.txt").write_text("[UNK]\na\n")
    assert list(trial._find_files(Model("mine", "mine", str(tmp_path), local=True))) == ["vocab.txt"]


def test_every_file_that_a_fast_tokenizer_of_transformers_reads_is_tried():
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

    kinds = {tokenizer_class_from_name(name) for name in TOKENIZER_MAPPING_NAMES.values() if name} - {None}
    fast = [kind for kind in kinds if TokenizersBackend in kind.__mro__]
    assert len(fast) > 40
    names = {name for kind in fast for name in kind.vocab_files_names.values()}
    assert names <= {*trial.FILES, *trial.OTHER_FILES}
