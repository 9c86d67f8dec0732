"""Bounds of the files beside tokenizer.json: the tokens that they add, and the other files that they ask to read.

transformers adds the tokens of these files one after the other, and compares each of a list with those before it:
20,000 of them take 2 to 5 CPU seconds, five times as many 25 times as long.
"""

from pathlib import Path
from typing import Any

from core.models.tokenizer_bounds import MAX_ADDED, MAX_TOKEN, Unusable, read_json

FILES = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
# Models have some hundreds of special tokens, up to 6,000.
_MAX_LISTED = 10_000
_MAX_DEPTH = 32
# Objects whose tokens are added by their ids, in linear time.
_BY_ID = ("added_tokens_decoder", "added_tokens.json")
_VERSIONS, _GGUF = "fast_tokenizer_files", "gguf_file"


def read_token_file(name: str, path: Path) -> dict[str, Any]:
    """Return the content of one of `FILES`, which is within its bounds.

    Raises:
        Unusable: It is not; the message begins with its name.
    """
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise Unusable("holds no object")
        # The trial (`core.models.trial`) reads only tokenizer.json; the server would read another version untried.
        versions = content.get(_VERSIONS)
        if versions and (not isinstance(versions, list) or set(map(str, versions)) != {"tokenizer.json"}):
            raise Unusable(f"names other files than tokenizer.json ({_VERSIONS}), which are not read")
        if content.get(_GGUF):
            raise Unusable("names a GGUF file, which is not read")
        _check(name, content, 0)
    except Unusable as error:
        raise Unusable(f"{name} {error}") from error
    return content


def _check(name: str, value: Any, depth: int) -> None:
    """Check a value and all inside it; `name` is that of the file or of the field."""
    if depth > _MAX_DEPTH:
        raise Unusable(f"is nested more than {_MAX_DEPTH} deep")
    # A template has bounds of its own.
    if isinstance(value, str) and len(value) > MAX_TOKEN and not name.endswith("template"):
        raise Unusable(f"has a text of {len(value):,} characters, and at most {MAX_TOKEN:,} are read")
    if not isinstance(value, list | dict):
        return
    most = MAX_ADDED if name in _BY_ID else _MAX_LISTED
    if len(value) > most:
        raise Unusable(f"has {len(value):,} entries in {name}, and at most {most:,} are read")
    for key, inner in value.items() if isinstance(value, dict) else ((name, inner) for inner in value):
        if len(key) > MAX_TOKEN:
            raise Unusable(f"has a name of {len(key):,} characters, and at most {MAX_TOKEN:,} are read")
        _check(name if name.endswith("template") else key, inner, depth + 1)
