"""The cells of one row as a format sees them: by slot, with a record of what was read and what was not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from core.data.formats.columns import find_column
from core.data.formats.conversation import Message
from core.data.formats.options import ExtraUse, FormatName, ReadingOptions
from core.data.formats.values import is_missing, optional_text

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Format:
    """One way to write a conversation into columns.

    Attributes:
        sign: how it is recognised, for the user.
        slots: the parts it looks for in a row, with the names that such columns usually have.
        needed: the slots without which there is no row.
    """

    name: FormatName
    label: str
    sign: str
    slots: dict[str, tuple[str, ...]]
    needed: tuple[str, ...]
    parse: Callable[["Cells"], list[Message]]


@dataclass
class Cells:
    """The cells of one row, by the slots of a format; remembers which columns were read.

    Attributes:
        notes: sentences about what was not used or was changed.
    """

    row: Row
    form: Format
    reading: ReadingOptions
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        columns, extra = self.reading.columns, self.reading.extra
        self._column_of = _columns_by_slot(self.form, tuple(self.row), tuple(columns.items()), tuple(extra))

    @property
    def think(self) -> bool:
        return self.reading.reasoning == "think"

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def column(self, slot: str) -> str | None:
        """Return the column that holds `slot` in this row, or None."""
        return self._column_of[slot]

    def get(self, slot: str) -> Any:
        """Return the value of `slot`, or None where the row has none."""
        name = self._column_of[slot]
        if name is None:
            return None
        self.used.add(name)
        return self.row[name]

    def text(self, slot: str) -> str:
        """Return the text of a slot that a row may lack; "" where it is missing."""
        value = self.get(slot)
        return "" if value is None else optional_text(value, f"the {slot}", self.note)

    def extra(self, use: ExtraUse) -> list[str]:
        """Return the texts of the columns that the user put to `use`, in the order of the form."""
        if not self.reading.extra:
            return []
        names = [name for name, chosen in self.reading.extra.items() if chosen == use and name in self.row]
        self.used.update(names)
        texts = (optional_text(self.row[name], f"the column {name!r}", self.note) for name in names)
        return [text for text in texts if text]

    def unread(self) -> list[str]:
        """Return the columns that hold something, were not read, and are not to be ignored."""
        ignored = {name for name, use in self.reading.extra.items() if use == "ignore"}
        return [
            name
            for name, value in self.row.items()
            if name not in self.used and name not in ignored and not is_missing(value)
        ]


@lru_cache(maxsize=4096)
def _columns_by_slot(
    form: Format, names: tuple[str, ...], mapped: tuple[tuple[str, str], ...], extra: tuple[str, ...]
) -> dict[str, str | None]:
    """Return the column of each slot in rows whose columns are `names`: the mapped one, else one of a usual name.

    Rows of one data set have few different sets of columns, so that this is worked out once for each.
    """
    chosen = dict(mapped)
    free = [name for name in names if name not in chosen.values() and name not in extra]
    return {
        slot: (chosen[slot] if chosen[slot] in names else None) if chosen.get(slot) else find_column(free, wanted)
        for slot, wanted in form.slots.items()
    }


def with_system(messages: list[Message], texts: list[str]) -> list[Message]:
    """Add texts to the system turn, which is made where there is none. Plain text has none: they go before it."""
    if not texts:
        return messages
    if messages and messages[0]["role"] in ("system", "text"):
        first = messages[0]
        order = [first["content"], *texts] if first["role"] == "system" else [*texts, first["content"]]
        return [{**first, "content": "\n\n".join(order)}, *messages[1:]]
    return [{"role": "system", "content": "\n\n".join(texts)}, *messages]
