"""Bounds of a tokenizer.json: how much a text may grow in it, and how long its parts are.

No table of texts shows what a file does to a text that its author has chosen: a normalizer may replace one rare
character by a megabyte, or double a letter forty times. So growth is bounded by the file itself: that of each step is
at most the length of what it writes, and the steps of a sequence multiply. A pattern whose repeated group repeats
something itself may need exponential time, so it is refused.
"""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MAX_BYTES = 256 * 2**20
# The steps of Llama 2 make no text longer. NFKC writes up to 18 characters for one, and byte-level steps two.
_MAX_GROWTH = 256
_MAX_STEPS = 64
MAX_TOKEN, _MAX_ID, MAX_ADDED = 4_096, 2**22, 100_000
# WordPiece needs quadratic time for a word. _MAX_LENGTH bounds the other numbers, such as lengths to pad to.
_MAX_WORD, _MAX_LENGTH = 10_000, 2**24
# Steps that write more than one character for one, beside those that name what they write.
_GROWTH = {"ByteLevel": 2, "BertNormalizer": 3, "Nmt": 1}


class Unusable(Exception):
    """A file cannot be used; the message is the rest of a sentence that begins with its name."""


def load(path: Path) -> tuple[Callable[[str, bool], list[int]], Callable[[list[int]], str]]:
    """Read a tokenizer.json, and return functions that encode, with special tokens or without, and decode.

    Raises:
        Unusable: A part of it exceeds its bound.
    """
    from tokenizers import Tokenizer

    check(read_json(path))
    tokenizer = Tokenizer.from_file(str(path))
    # transformers, too, ignores both.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for token, number in tokenizer.get_vocab(with_added_tokens=True).items():
        if number >= _MAX_ID:
            raise Unusable(f"gives the token {token[:40]!r} the id {number:,}, and at most {_MAX_ID:,} are read")
        if len(token) > MAX_TOKEN:
            raise Unusable(f"has a token of {len(token):,} characters, and at most {MAX_TOKEN:,} are read")
    return lambda text, special: tokenizer.encode(text, add_special_tokens=special).ids, tokenizer.decode


def check(content: Any) -> None:
    """Check the parts of a tokenizer.json that a text passes.

    Raises:
        Unusable: One exceeds its bound.
    """
    if not isinstance(content, dict):
        raise Unusable("holds no object")
    for name in ("normalizer", "pre_tokenizer", "decoder"):
        growth = 1
        for count, step in enumerate(_steps(content.get(name)), 1):
            growth *= _growth(step)
            if growth > _MAX_GROWTH or count > _MAX_STEPS:
                raise Unusable(f"has a {name} that may make a text more than {_MAX_GROWTH} times as long, or has more "
                               f"than {_MAX_STEPS} steps")  # fmt: skip
            _check_step(name, step)
    if len(content.get("added_tokens") or []) > MAX_ADDED:
        raise Unusable(f"adds {len(content['added_tokens']):,} tokens, and at most {MAX_ADDED:,} are read")
    for name in ("truncation", "padding", "model"):
        _check_values(name, content.get(name))


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        Unusable: It is too large, or no JSON.
    """
    if path.stat().st_size > MAX_BYTES:
        raise Unusable(f"has {path.stat().st_size:,} bytes, and at most {MAX_BYTES:,} are read")
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise Unusable(f"is no JSON that can be read ({str(error) or type(error).__name__})") from error


def _steps(step: Any) -> Iterator[dict[str, Any]]:
    """Yield the steps of a normalizer, pre-tokenizer or decoder, those of sequences one after the other."""
    if not isinstance(step, dict):
        return
    inside = [value for name in ("normalizers", "pretokenizers", "decoders") if (value := step.get(name))]
    if not inside:
        yield step
    for steps in inside:
        for each in steps if isinstance(steps, list) else []:
            yield from _steps(each)


def _growth(step: dict[str, Any]) -> int:
    """Return how many characters a step may write for one."""
    kind = step.get("type")
    if kind == "Precompiled":
        return _longest_mapping(step.get("precompiled_charsmap"))
    written = [step.get(name) for name in ("content", "replacement", "prepend")]
    longest = max((len(text) for text in written if isinstance(text, str)), default=1)
    return max(longest, _GROWTH.get(kind, 1), 1)


def _longest_mapping(charsmap: Any) -> int:
    """Return the length of the longest text of a map of characters, whose texts end with a zero byte.

    The map is SentencePiece's: the size of a trie in four bytes, the trie, and the texts.
    """
    try:
        packed = base64.b64decode(charsmap or "", validate=True)
    except (TypeError, ValueError) as error:
        raise Unusable("has a precompiled_charsmap that is not base64") from error
    if not packed:
        return 1
    texts = packed[4 + int.from_bytes(packed[:4], "little") :]
    if len(packed) < 8 or not texts:
        raise Unusable("has a precompiled_charsmap that names a trie longer than itself")
    return max(1, max(len(text.decode("utf-8", "replace")) for text in texts.split(b"\0")))


def _check_step(name: str, step: dict[str, Any]) -> None:
    _check_values(name, step)
    pattern = step.get("pattern")
    source = pattern.get("Regex") if isinstance(pattern, dict) else None
    if not isinstance(source, str):
        return
    if repeats_a_repetition(source):
        raise Unusable(
            f"has a pattern in its {name} that repeats a group with a repetition in it, which may take forever: "
            f"{source[:80]}"
        )


def _check_values(name: str, part: Any) -> None:
    """Check the numbers and texts of a part outside the vocabulary, such as lengths to pad to."""
    for key, value in part.items() if isinstance(part, dict) else ():
        if key not in ("vocab", "merges") and isinstance(value, dict):
            _check_values(name, value)
        most = _MAX_WORD if key == "max_input_chars_per_word" else _MAX_LENGTH
        if isinstance(value, int) and abs(value) > most:
            raise Unusable(f"has {name}.{key} = {value}, and at most {most:,} is read")
        if isinstance(value, str) and len(value) > MAX_TOKEN and key != "precompiled_charsmap":
            raise Unusable(f"has {name}.{key} of {len(value):,} characters, and at most {MAX_TOKEN:,} are read")


def repeats_a_repetition(pattern: str) -> bool:
    """Return whether a group of a regular expression is repeated without a limit, and something in it is, too.

    Matching such a pattern may take exponential time. Possessive repetitions and atomic groups count like all others.
    """
    groups: list[bool] = []
    inside = False
    at = 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "\\":
            at += 2
            continue
        if letter == "[":
            at = _end_of_class(pattern, at)
            continue
        if letter == "(":
            groups.append(inside)
            inside = False
        elif letter == ")" and groups:
            if inside and _is_repetition(pattern, at + 1):
                return True
            inside = groups.pop() or inside
        elif _is_repetition(pattern, at):
            inside = True
        at += 1
    return False


def _is_repetition(pattern: str, at: int) -> bool:
    """Return whether a repetition begins at a position that has no limit, or one above nine."""
    if pattern[at : at + 1] in ("*", "+"):
        # A + after another repetition makes it possessive.
        return at == 0 or pattern[at - 1] not in "*+?}"
    if pattern[at : at + 1] != "{":
        return False
    limit = pattern[at + 1 : pattern.find("}", at)].split(",")[-1].strip()
    return not limit or (limit.isdigit() and int(limit) > 9)


def _end_of_class(pattern: str, at: int) -> int:
    """Return the position after a character class, which may contain others."""
    depth = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            depth += 1
        elif pattern[at] == "]":
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    return at
