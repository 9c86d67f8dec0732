"""Access to the cells of one row by the slots of a format.

A slot is a part that a format looks for, such as "instruction"; the column that fills it is the one that the user
mapped, or the first with a usual name. `Cells` records which columns were read, so that the others can be reported.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from core.data.formats.columns import find_column
from core.data.formats.conversation import Message, Role, usual_role
from core.data.formats.options import ExtraUse, FormatName, ReadingOptions
from core.data.formats.passages import passages_text
from core.data.formats.steps import is_step_name, steps_text
from core.data.formats.values import is_missing, nested, optional_text, unfold

Row = Mapping[str, Any]
# Slots and uses of columns that may hold passages to answer from.
_PASSAGE_SLOTS = ("context", "input")


@dataclass(frozen=True, eq=False)
class Format:
    """One way of storing conversations in columns.

    Attributes:
        name: Name in recipes and on the command line.
        label: Name in the user interface.
        sign: Description of how the format is recognized, for the user.
        slots: Parts that the format looks for in a row, each with the usual names of its column.
        needed: Slots without which a row is unusable.
        parse: Function that turns the cells of a row into messages.
        has_turns: Whether its messages come from columns or lists of turns, in which marks of a template are removed by
            `rendered.unwrap`; the others parse the marks of a text themselves, or have no turns.
        names_speakers: Whether its turns may name their speaker, so that the option for roles applies.
    """

    name: FormatName
    label: str
    sign: str
    slots: dict[str, tuple[str, ...]]
    needed: tuple[str, ...]
    parse: Callable[["Cells"], list[Message]]
    has_turns: bool = field(kw_only=True)
    names_speakers: bool = False


@dataclass
class Cells:
    """Cells of one row by the slots of a format, with a record of the columns that were read.

    Attributes:
        row: Values by column name.
        form: The format.
        reading: The reading options.
        notes: Sentences about what was not used or was changed.
        used: Columns read so far.
        applied: Options that had an effect so far, by field and key.
    """

    row: Row
    form: Format
    reading: ReadingOptions
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    applied: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        columns, extra = self.reading.columns, self.reading.extra
        if any("." in name for name in (*columns.values(), *extra)):
            self.row = unfold(self.row, (*columns.values(), *extra))
        self._column_of = columns_by_slot(self.form, tuple(self.row), tuple(columns.items()), tuple(extra))

    @property
    def think(self) -> bool:
        """Return whether reasoning is written into the answers."""
        return self.reading.reasoning == "think"

    def role(self, name: str) -> Role | None:
        """Return the role of a speaker: the one that the user named, or the usual one; None for an unknown speaker."""
        name = name.lower()
        if (named := self.reading.roles.get(name)) is None:
            return usual_role(name)
        self.applied.add(("roles", name))
        return named

    def note(self, sentence: str) -> None:
        """Add a sentence to the notes of the row."""
        self.notes.append(sentence)

    def column(self, slot: str) -> str | None:
        """Return the name of the column that fills `slot` in this row, or None."""
        return self._column_of[slot]

    def get(self, slot: str) -> Any:
        """Return the value of `slot`, or None if the row has no such column."""
        name = self._column_of[slot]
        if name is None:
            return None
        self.used.add(name)
        return self.row[name]

    def text(self, slot: str) -> str:
        """Return the text of an optional slot; "" if it is missing."""
        value = self.get(slot)
        return "" if value is None else self._context(value, slot, f"the {slot}")

    def _context(self, value: Any, use: str, name: str) -> str:
        """Return the text of an optional value; passages beside a question are joined."""
        if use in _PASSAGE_SLOTS and isinstance(value, str):
            # Pandas writes a list of passages as a Python literal.
            found = nested(value)
            is_list = isinstance(found, list) and bool(found) and all(isinstance(text, str) for text in found)
            value = found if is_list else value
        text = passages_text(value, name, self.note) if use in _PASSAGE_SLOTS else None
        return optional_text(value, name, self.note) if text is None else text

    def extra_columns(self, use: ExtraUse) -> list[str]:
        """Return the columns that the user chose for `use` and the row has, in the user's order."""
        if not self.reading.extra:
            return []
        names = [name for name, chosen in self.reading.extra.items() if chosen == use and name in self.row]
        self.used.update(names)
        return names

    def extra(self, use: ExtraUse) -> list[str]:
        """Return the texts of the columns that the user chose for `use`, in the user's order."""
        names = self.extra_columns(use)
        return [text for name in names if (text := self._extra_text(name, use))]

    def _extra_text(self, name: str, use: ExtraUse) -> str:
        """Return the text of a column chosen for `use`; the steps of a solution are one text."""
        where = f"the column {name!r}"
        steps = steps_text(self.row[name], where, self.note) if use == "reasoning" and is_step_name(name) else None
        return self._context(self.row[name], use, where) if steps is None else steps

    def unread(self) -> list[str]:
        """Return the non-empty columns that were not read and that the user did not choose to ignore."""
        ignored = {name for name, use in self.reading.extra.items() if use == "ignore"}
        return [
            name
            for name, value in self.row.items()
            if name not in self.used and name not in ignored and not is_missing(value)
        ]


@lru_cache(maxsize=4096)
def columns_by_slot(
    form: Format, names: tuple[str, ...], mapped: tuple[tuple[str, str], ...], extra: tuple[str, ...]
) -> dict[str, str | None]:
    """Return the column of each slot for rows with the columns `names`: the mapped one, or one of a usual name.

    The rows of a dataset have few different sets of columns, so caching makes this a lookup for nearly every row. A
    column that is mapped to another slot or used as an extra column is not found by its name.
    """
    chosen = dict(mapped)
    free = [name for name in names if name not in chosen.values() and name not in extra]
    return {
        slot: (chosen[slot] if chosen[slot] in names else None) if chosen.get(slot) else find_column(free, wanted)
        for slot, wanted in form.slots.items()
    }


def with_system(messages: list[Message], texts: list[str]) -> list[Message]:
    """Append texts to the system turn, which is created if there is none; in plain text, put them before the text."""
    if not texts:
        return messages
    if messages and messages[0]["role"] in ("system", "text"):
        first = messages[0]
        order = [first["content"], *texts] if first["role"] == "system" else [*texts, first["content"]]
        return [{**first, "content": "\n\n".join(order)}, *messages[1:]]
    return [{"role": "system", "content": "\n\n".join(texts)}, *messages]
