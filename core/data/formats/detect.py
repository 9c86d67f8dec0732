"""Which format the rows of a data set have, told with the evidence; the user may say otherwise."""

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.data.formats.reading import Reading, by_name

Row = dict[str, Any]
_FEW_LABELS = 20
_LABEL_NAMES = ("label", "labels", "sentiment", "class", "category", "target", "intent", "emotion", "topic", "rating")


@dataclass(frozen=True)
class Detected:
    """The reading that fits the rows best, and why."""

    reading: Reading
    evidence: str


def detect(rows: Sequence[Row]) -> Detected | None:
    """What `rows`, the first of a data set, are; None when no column of theirs holds text."""
    votes = Counter(sign for sign in map(_sign, rows) if sign)
    if votes:
        (form, column), matches = votes.most_common(1)[0]
        slot = by_name(form).needed[0]
        columns = {slot: column} if column and column not in by_name(form).slots[slot] else {}
        where = f"in the column {column!r}, " if column else ""
        return Detected(
            Reading(format=form, columns=columns),
            f"{by_name(form).sign}, {where}in {matches} of the first {len(rows)} rows",
        )
    return _labelled(rows) or _plain(rows)


def _sign(row: Row) -> tuple[Any, str] | None:
    """The format that one row shows, and the column that shows it."""
    for name, value in row.items():
        first = _first_turn(value)
        if {"from", "value"} <= first.keys():
            return "sharegpt", name
        if "role" in first:
            return ("messages", name) if name not in ("prompt", "completion") else ("prompt_completion", "prompt")
    if "instruction" in row and "output" in row:
        return "alpaca", ""
    slots = by_name("prompt_completion").slots
    if all(any(name in row for name in slots[slot]) for slot in slots):
        return "prompt_completion", ""
    for name, value in row.items():
        if isinstance(value, str) and "### Human:" in value:
            return "guanaco", name
        if isinstance(value, str) and "[INST]" in value:
            return "llama2", name
    return None


def _first_turn(value: Any) -> dict[str, Any]:
    """The first turn of a list of turns, which may be JSON in a text; empty when `value` is none."""
    if isinstance(value, str) and value.startswith("[{"):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}


def _texts(rows: Sequence[Row]) -> dict[str, float]:
    """The columns that hold text in most rows, with their mean length."""
    lengths: dict[str, list[int]] = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, str) and value.strip():
                lengths.setdefault(name, []).append(len(value))
    return {name: sum(found) / len(found) for name, found in lengths.items() if len(found) * 2 > len(rows)}


def _labelled(rows: Sequence[Row]) -> Detected | None:
    texts = _texts(rows)
    for name in sorted({name for row in rows for name in row}, key=lambda n: (n.lower() not in _LABEL_NAMES, n)):
        values = [row[name] for row in rows if isinstance(row.get(name), (str, int, bool))]
        several = Counter(map(str, values))
        text = max((t for t in texts if t != name), key=lambda t: texts[t], default=None)
        named = name.lower() in _LABEL_NAMES
        few = 2 <= len(several) <= _FEW_LABELS and len(values) >= (2 if named else 20 * len(several))
        if text is None or not few or max(map(len, several)) > 40 or texts[text] < 2 * max(map(len, several)):
            continue
        shown = ", ".join(value for value, _ in several.most_common(4))
        return Detected(
            Reading(format="label", columns={"text": text, "label": name}),
            f"{len(several)} different values in the column {name!r} ({shown}{', …' if len(several) > 4 else ''}) "
            f"beside the text in {text!r}",
        )
    return None


def _plain(rows: Sequence[Row]) -> Detected | None:
    texts = _texts(rows)
    if not texts:
        return None
    usual = next((name for name in by_name("text").slots["text"] if name in texts), None)
    column = usual or max(texts, key=lambda name: texts[name])
    among = "" if len(texts) == 1 else f", the longest of {len(texts)} columns of text" if not usual else ""
    return Detected(
        Reading(format="text", columns={"text": column} if not usual else {}),
        f"no marks of turns; the column {column!r}{among} is read as plain text",
    )
