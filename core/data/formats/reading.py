"""How the rows of a data set are read as conversations.

`Reading.read` gives a row's messages together with notes: a sentence for everything in the row that is not used or was
changed on the way. A column that no slot of the format takes is named unless the user chose to ignore it.
"""

import re
from typing import NamedTuple

from core.data.formats.cells import Cells, Format, Row, with_system
from core.data.formats.conversation import Message
from core.data.formats.options import FormatName, ReadingOptions
from core.data.formats.parsers import FORMATS

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_BY_NAME = {form.name: form for form in FORMATS}


def get_format(name: FormatName) -> Format:
    """Return the format called `name`."""
    return _BY_NAME[name]


class Parsed(NamedTuple):
    """A row as a conversation.

    Attributes:
        messages: the conversation.
        notes: sentences about what was not used or was changed, each once.
        unread: columns that hold something and that nothing reads.
    """

    messages: list[Message]
    notes: list[str]
    unread: list[str]


class Reading(ReadingOptions):
    """How rows are read. An empty field leaves the choice to the format."""

    def parse(self, row: Row) -> list[Message]:
        """Return the conversation of a row. Raises UnusableRow when it is none."""
        return self.read(row).messages

    def read(self, row: Row) -> Parsed:
        """Return the conversation of a row with notes about what it does not use.

        Raises:
            UnusableRow: the row is no conversation in this format.
        """
        form = get_format(self.format)
        cells = Cells(row, form, self)
        messages = _add_extra(form.parse(cells), cells)
        if self.placeholders:
            messages = [{**m, "content": self._filled(m["content"])} for m in messages]
        return Parsed(messages, list(dict.fromkeys(cells.notes)), cells.unread())

    def _filled(self, text: str) -> str:
        return PLACEHOLDER.sub(lambda found: self.placeholders.get(found[1], found[0]), text)


def _add_extra(messages: list[Message], cells: Cells) -> list[Message]:
    """Put the columns that the user chose behind the first question and into the system prompt."""
    if context := cells.extra("context"):
        for i, message in enumerate(messages):
            if message["role"] in ("user", "text"):
                content = "\n\n".join([message["content"], *context])
                messages = [*messages[:i], {**message, "content": content}, *messages[i + 1 :]]
                break
    return with_system(messages, cells.extra("system"))
