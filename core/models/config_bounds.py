"""Bounds of the sizes in a model's config.json, which are checked before anything is built by them.

transformers makes lists as long as a config's number of layers or labels while it reads the config, and a model
allocates by its widths. `ModelShape` reads the same sizes; families call them by other names, so a size is known by
the end of its name, at any depth of the config.
"""

import json
import re
from pathlib import Path
from typing import Any

from core.errors import StudioError
from core.models.catalogue import Model

FILE = "config.json"
_MAX_BYTES = 4 * 2**20
_MAX_ITEMS, _MAX_DEPTH = 200_000, 32
_LAYERS = re.compile(r"(^|_)layers?(_num)?$|^depth$")
# A name has the bound of the first pattern that it matches. The greatest models have 200 layers, widths of 60,000 and
# vocabularies of 300,000; a context may be ten million tokens. Widths of other parts, such as pictures, may be larger.
_BOUNDS = [
    (re.compile(r"position_embeddings$|positions$|n_ctx$|seq_len(gth)?$|context_length$"), 2**31),
    (_LAYERS, 1_000),
    (re.compile(r"(^|_)heads?(_num)?$|_heads(_|$)|^multi_query_group_num$|_groups$|^num_labels$"), 4_096),
    (re.compile(r"(^|_)experts?$"), 2**15),
    (re.compile(r"(^|_)vocab_size$"), 2**22),
    (re.compile(r"^(hidden_size|intermediate_size|moe_intermediate_size|d_model|d_ff|ffn_dim|n_embd|n_inner)$"),
     2**20),
    (re.compile(r"(^|_)(size|dim|rank|width|channels)(_|$)|^(num|n|d)_"), 2**26),
]  # fmt: skip
_OTHER = 2**53
# Layers times experts: each may be a module of its own.
_MAX_MODULES = 2**16
# Sizes that are counts of something that a model has; others may be zero, negative or of another type.
_COUNTS = re.compile(r"^(hidden_size|num_hidden_layers|num_attention_heads|vocab_size|n_layer|n_head|n_embd|d_model)$")


def check_config(model: Model) -> None:
    """Check the sizes in a model's config.json; nothing is done if the model has none.

    Raises:
        StudioError: A size is no whole number within its bounds, or the file is too large or too deep.
    """
    from transformers.utils import cached_file

    found = cached_file(model.path, FILE, revision=model.revision, _raise_exceptions_for_missing_entries=False)
    if found is None:
        return
    if reason := find_problem(Path(found)):
        raise StudioError(
            f"The model {model.name!r} could not be loaded: {reason}. Choose another model, or repair its {FILE}."
        )


def load_config(model: Model) -> Any:
    """Return a model's `PretrainedConfig`, whose sizes are within their bounds.

    Raises:
        StudioError: As in `check_config`.
    """
    from transformers import AutoConfig

    check_config(model)
    return AutoConfig.from_pretrained(model.path, revision=model.revision, trust_remote_code=False)


def find_problem(path: Path) -> str:
    """Return what is wrong with the sizes in a config.json, as the end of a sentence; empty if nothing is."""
    if path.stat().st_size > _MAX_BYTES:
        return f"{FILE} has {path.stat().st_size:,} bytes, and at most {_MAX_BYTES:,} are read"
    try:
        config = json.loads(path.read_text(encoding="utf-8", errors="replace"))
        if not isinstance(config, dict):
            return f"{FILE} holds {type(config).__name__} instead of an object"
        return _find(config, "", [0])
    except (ValueError, RecursionError) as error:
        return f"{FILE} is no JSON that can be read ({str(error) or type(error).__name__})"


def _find(config: dict[str, Any], prefix: str, seen: list[int]) -> str:
    """Return the first problem of an object and of those inside it.

    Args:
        config: The object.
        prefix: Name of the object in messages, with a dot; empty for the whole config.
        seen: A list of one number, that of the values looked at so far; it is increased.
    """
    if prefix.count(".") > _MAX_DEPTH:
        return f"{FILE} is nested more than {_MAX_DEPTH} deep"
    for name, value in config.items():
        seen[0] += len(value) if isinstance(value, list) else 1
        if seen[0] > _MAX_ITEMS:
            return f"{FILE} has more than {_MAX_ITEMS:,} values"
        if isinstance(value, dict):
            # Tables of names, such as id2label, hold no sizes.
            reason = "" if name in ("id2label", "label2id") else _find(value, f"{prefix}{name}.", seen)
        else:
            reason = _check_value(name, value, prefix)
        if reason:
            return reason
    return _check_modules(config, prefix)


def _check_value(name: str, value: Any, prefix: str) -> str:
    high = next((bound for pattern, bound in _BOUNDS if pattern.search(name)), None)
    is_count = _COUNTS.match(name) is not None
    for item in value if isinstance(value, list) else [value]:
        is_number = isinstance(item, int | float) and not isinstance(item, bool)
        if is_count and item is not None:
            is_wrong = not isinstance(item, int) or isinstance(item, bool) or not 1 <= item <= high
        elif high is None:
            is_wrong = isinstance(item, int) and abs(item) > _OTHER
        else:
            is_wrong = is_number and not abs(item) <= high
        if is_wrong:
            limits = f"from 1 to {high:,}" if is_count else f"of at most {high or _OTHER:,}"
            return f"{FILE} has {prefix}{name} = {_short(item)}, expected a whole number {limits}"
    return ""


def _check_modules(config: dict[str, Any], prefix: str) -> str:
    numbers = {name: value for name, value in config.items() if isinstance(value, int)}
    layers = max((value for name, value in numbers.items() if _LAYERS.search(name)), default=0)
    experts = max((value for name, value in numbers.items() if re.search(r"_experts?$", name)), default=0)
    if layers * experts > _MAX_MODULES:
        where = f" in {prefix.removesuffix('.')}" if prefix else ""
        return f"{FILE} has {layers:,} layers of {experts:,} experts{where}, more than {_MAX_MODULES:,} in all"
    return ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
