"""Values with damaged parts: one part of a nested value is replaced by a value of another type, added or removed."""

import copy
import random
from collections.abc import Iterator
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2.5, float("nan"), "", " ", "none", "x", "[1, 2]", '{"a": 1}', [], {}, [None], ["x"], [["x"]],
    [{"a": 1}], {"a": 1}, {"text": ["a"]}, {"role": ["user"], "content": 3}, {"content": {"parts": {}}}, [3, "x", None],
)  # fmt: skip


def damaged(value: Any, rng: random.Random) -> Any:
    """Return a copy of an object or a list in which one or two parts are damaged."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 2))):
        if paths := [path for path in _paths(value) if path]:
            _damage(value, rng.choice(paths), rng)
    return value


def _paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _paths(part, (*path, key))


def _damage(value: Any, path: tuple, rng: random.Random) -> None:
    for key in path[:-1]:
        value = value[key]
    odd, chance = copy.deepcopy(rng.choice(ODD_VALUES)), rng.random()
    if chance < 0.8:
        value[path[-1]] = odd
    elif isinstance(value, list):
        value.append(odd)
    else:
        del value[path[-1]]
