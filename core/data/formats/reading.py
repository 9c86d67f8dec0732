"""Parsing of rows into conversations under one set of reading options.

`Reading.read` returns the messages of a row together with notes: one sentence for everything in the row that is unused
or was changed. A column that the format does not read is reported unless the user chose to ignore it.
"""

import contextlib
import re
from collections.abc import Iterable
from typing import NamedTuple

from core.data.formats.cells import Cells, Format, Row, columns_by_slot, with_system
from core.data.formats.conversation import Message, UnusableRow
from core.data.formats.escapes import note_escapes
from core.data.formats.mojibake import note_mojibake
from core.data.formats.options import FormatName, ReadingOptions
from core.data.formats.parsers import FORMATS
from core.data.formats.reasoning_marks import read_reasoning_marks, with_reasoning
from core.data.formats.rendered import note_turn_marks, unwrap, without_system_labels
from core.data.formats.repeated_marks import KEEP_MARKS, RepeatedMarks, find_repeated_marks

# A name, or several words of which the first begins with a capital, such as {{Order Number}} or {{Company's Name}}.
PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][\w'’-]*|[A-Z][\w'’-]*(?: [A-Z0-9][\w'’-]*){1,6})\s*\}\}")
_NO_QUESTION = "a question is empty; its answer is trained after an empty user turn"
_ANY_END = RepeatedMarks()
_BY_NAME = {form.name: form for form in FORMATS}


def get_format(name: FormatName) -> Format:
    """Return the format called `name`."""
    return _BY_NAME[name]


class Parsed(NamedTuple):
    """A row parsed as a conversation.

    Attributes:
        messages: The conversation.
        notes: Sentences about what is unused or was changed, without repetitions.
        unread: Non-empty columns that the format does not read.
        applied: Options that had an effect, by field and key: ("labels", "1").
    """

    messages: list[Message]
    notes: list[str]
    unread: list[str]
    applied: frozenset[tuple[str, str]] = frozenset()


class Reading(ReadingOptions):
    """A format with its options, applied to rows."""

    def parse(self, row: Row) -> list[Message]:
        """Return the conversation of a row.

        Raises:
            UnusableRow: The row is not a conversation in this format.
        """
        return self.read(row).messages

    def read_columns(self, names: Iterable[str]) -> dict[str, str]:
        """Return by slot the column that this reading takes from rows with some columns: a chosen or a usual one."""
        form, mapped = get_format(self.format), tuple(self.columns.items())
        found = columns_by_slot(form, tuple(names), mapped, tuple(self.extra))
        return {slot: name for slot, name in found.items() if name}

    def find_marks(self, rows: Iterable[Row]) -> RepeatedMarks:
        """Return the marks that most turns of the first rows of a dataset share; unusable rows are passed over."""
        conversations: list[list[Message]] = []
        for row in rows:
            with contextlib.suppress(UnusableRow):
                conversations.append(self.read(row, KEEP_MARKS).messages)
        return find_repeated_marks(conversations)

    def read(self, row: Row, marks: RepeatedMarks = _ANY_END) -> Parsed:
        """Return the conversation of a row with notes about what is unused or was changed.

        Args:
            row: The cells by column name.
            marks: Marks that most rows of the dataset share; by default, an end mark is left out wherever it is.

        Raises:
            UnusableRow: The row is not a conversation in this format.
        """
        form = get_format(self.format)
        cells = Cells(row, form, self)
        try:
            messages = _with_plain_line_ends(form.parse(cells), cells)
            messages = read_reasoning_marks(messages, cells.think, cells.note)
        except UnusableRow as error:
            error.applied = frozenset(cells.applied)
            raise
        if form.has_turns:
            messages = unwrap(messages, cells.note, cells.role)
        messages = marks.apply(messages, cells.note)
        messages = without_system_labels(messages, cells.note)
        if form.has_turns:
            note_turn_marks(messages, cells.note, tuple(cells.notes))
        messages = _without_last_system(messages, cells)
        messages = _add_extra(messages, cells)
        if self.placeholders:
            messages = [{**m, "content": self._fill_placeholders(m["content"], cells)} for m in messages]
        # Once more: further columns and values of placeholders have been added.
        messages = _with_plain_line_ends(messages, cells)
        if any(m["role"] == "user" and not m["content"].strip() for m in messages):
            cells.note(_NO_QUESTION)
        note_mojibake(messages, cells.note)
        note_escapes(messages, cells.note)
        # `unread` comes last: it needs to know every column that the steps above have read.
        return Parsed(messages, list(dict.fromkeys(cells.notes)), cells.unread(), frozenset(cells.applied))

    def _fill_placeholders(self, text: str, cells: Cells) -> str:
        cells.applied.update(("placeholders", name) for name in PLACEHOLDER.findall(text) if name in self.placeholders)
        # A placeholder without a value keeps its braces, so that the page can count and report it.
        return PLACEHOLDER.sub(lambda match: self.placeholders.get(match[1], match[0]), text)


def _with_plain_line_ends(messages: list[Message], cells: Cells) -> list[Message]:
    """Return a conversation with the line ends that models know, in place of those of Windows."""
    if not any("\r\n" in message["content"] for message in messages):
        return messages
    cells.note("line ends of Windows (\\r\\n) are read as \\n")
    return [{**message, "content": message["content"].replace("\r\n", "\n")} for message in messages]


def _without_last_system(messages: list[Message], cells: Cells) -> list[Message]:
    """Return a conversation without system turns after its last answer: no answer follows that they could change."""
    count = len(messages)
    while count and messages[count - 1]["role"] == "system":
        count -= 1
    if count == len(messages) or not count or messages[count - 1]["role"] != "assistant":
        return messages
    cells.note("a system turn after the last answer is not used, since no answer follows it")
    return messages[:count]


def _add_extra(messages: list[Message], cells: Cells) -> list[Message]:
    """Add the columns chosen as reasoning to the last answer, as context to the first question, or as system prompt."""
    messages = with_reasoning(messages, cells.extra("reasoning"), cells.think, cells.note)
    if context := cells.extra("context"):
        for i, message in enumerate(messages):
            if message["role"] in ("user", "text"):
                content = "\n\n".join([message["content"], *context])
                messages = [*messages[:i], {**message, "content": content}, *messages[i + 1 :]]
                break
    return with_system(messages, cells.extra("system"))
