"""Columns that say to which split each row belongs, such as `split` with the values train and test.

The rows of one file are all read; a sentence names such a column, because its test rows would be trained on, too.
"""

import re
from collections import Counter
from collections.abc import Iterable

from core.data.readers.json_tables import SPLIT_NAMES, TRAIN_SPLIT_NAMES

# Folded names of columns that hold the name of a split.
_NAMES = {"split", "splits", "datasplit", "datasetsplit", "subset", "partition", "fold", "set", "splitname", "usage"}
# Folded names of flags of rows for evaluation, and of those for training.
_HELD_OUT_FLAGS = {"istest", "isval", "isvalidation", "iseval", "isdev", "isheldout", "heldout", "holdout"}
_TRAIN_FLAGS = {"istrain", "istraining", "intrain"}
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
# A column with more different values does not name splits.
_MAX_VALUES = 20


class SplitColumns:
    """Counts of the values of columns that may name splits."""

    def __init__(self) -> None:
        self._values: dict[str, Counter[str]] = {}

    def count(self, name: str, cells: Iterable[str | None]) -> None:
        """Count the values of a column, if its name may be that of a column of splits."""
        if (_folded(name) not in _NAMES | _HELD_OUT_FLAGS | _TRAIN_FLAGS) or len(
            values := self._values.setdefault(name, Counter())
        ) > _MAX_VALUES:
            return
        values.update(cell.strip() for cell in cells if cell and cell.strip())

    def sentences(self) -> list[str]:
        """Return a sentence about each column that names both rows for training and rows for evaluation."""
        return [sentence for name, values in self._values.items() if (sentence := _sentence(name, values))]


def _folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _sentence(name: str, values: Counter[str]) -> str:
    is_train = {value: _is_train(name, value) for value in values}
    if None in is_train.values() or set(is_train.values()) != {True, False}:
        return ""
    kept = ["'" + value.replace("'", "''") + "'" for value, train in is_train.items() if train]
    condition = f"= {kept[0]}" if len(kept) == 1 else f"IN ({', '.join(kept)})"
    counts = " and ".join(f"{count:,} {value}" for value, count in values.most_common())
    # The studio's own column "split" takes the name in the table of the SQL box (core.data.row_fields).
    shown = f"{name} (source)" if name == "split" else name
    quoted = shown if shown.isidentifier() else f'"{shown}"'
    return (
        f"the column {name!r} names splits ({counts} rows), and the studio reads all rows; to train without those for "
        f"evaluation, create a subset with the SQL SELECT row FROM rows WHERE {quoted} {condition} ORDER BY row"
    )


def _is_train(name: str, value: str) -> bool | None:
    """Return whether a value says that its row is for training; None if it names no split."""
    folded, value = _folded(name), value.lower()
    if folded in _NAMES:
        word = value if value in SPLIT_NAMES else re.split(r"[_\-. ]", value)[0]
        return word in TRAIN_SPLIT_NAMES if word in SPLIT_NAMES else None
    flag = _FLAGS.get(value)
    return None if flag is None else flag == (folded in _TRAIN_FLAGS)
