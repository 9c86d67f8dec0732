"""Reader of JSON files: one object per line, or a document that is decoded element by element.

The content decides, not the ending of the file name. A document may be a list of objects, a sequence of objects, an
object that contains the list, an object of splits, or a table written by pandas (core/data/readers/json_tables.py).
"""

import itertools
import json
import re
from collections.abc import Iterator

from core.data.readers import json_repairs, json_tables
from core.data.readers.json_decoder import TOO_DEEP, Decoder
from core.data.readers.json_lists import LIST_COLUMN, RowOfList, is_list_per_line, names_of_lists, row_of_list
from core.data.readers.lines import MARK, ROW_LIMIT, TOO_LONG, LineSource, SourceRow
from core.errors import StudioError

_CHUNK = 2**20
_SPACE = re.compile(f"[ \t\r\n,{MARK}]*")
# Characters at the start of the file from which lines and a document are distinguished.
_HEAD_CHARACTERS = 2**16


def _decoder_limit(error: Exception) -> str:
    """Return the trouble of well-formed JSON that exceeds a limit of Python's decoder."""
    return TOO_DEEP if isinstance(error, RecursionError) else "holds a number of too many digits"


def read_lines(source: LineSource) -> Iterator[SourceRow]:
    """Yield the rows of a file whose name promises one object per line, also if it contains a document."""
    head = source.head(_HEAD_CHARACTERS).lstrip(f" \t\r\n{MARK}")
    first = head.partition("\n")[0].strip()
    if is_list_per_line(head):
        yield from _lists(source, head)
    elif head.startswith("["):
        source.note(f"{source.name!r} contains one list, not one object per line; its elements are the rows")
        yield from _Document(source).elements()
    elif first == "{":
        source.note(f"{source.name!r} contains objects of several lines each")
        yield from _Document(source).one_object()
    else:
        yield from _objects(source, source.lines())


def _lists(source: LineSource, head: str) -> Iterator[SourceRow]:
    """Yield the rows of a file of one list per line."""
    names = names_of_lists(head, source.name)
    meaning = "the first one names the columns" if names else f"it is read as the column {LIST_COLUMN!r}"
    source.note(f"each line of {source.name!r} is a list; {meaning}")
    rows = _objects(source, source.lines(), row_of_list(names))
    yield from itertools.islice(rows, 1 if names else 0, None)


def _objects(
    source: LineSource,
    lines: Iterator[tuple[int, str | None]],
    row_of: RowOfList | None = None,
) -> Iterator[SourceRow]:
    """Yield one row per line.

    Args:
        source: The source, for its notes and its limits.
        lines: Number and text of each line; None for a line that is too long.
        row_of: Function that returns the row in a list, if a line may be one.
    """
    json_of = Decoder(source)
    has_mark = False
    for number, line in lines:
        if line is None:
            yield SourceRow(number, None, "", TOO_LONG)
            continue
        text = line.strip()
        if text.startswith(MARK):
            text = text.lstrip(f"{MARK} \t")
            if not has_mark:
                has_mark = True
                source.note(f"the file contains a byte order mark at line {number}; it is ignored")
        if not text:
            continue
        try:
            value = json_of.decoder.decode(text)
        except json.JSONDecodeError as error:
            yield json_of.read_broken(number, text, error)
        except (RecursionError, ValueError) as error:
            yield SourceRow(number, None, text, _decoder_limit(error))
        else:
            if row_of and isinstance(value, list):
                value = row_of(value)
                if isinstance(value, str):
                    yield SourceRow(number, None, text, value)
                    continue
                text = json.dumps(value, ensure_ascii=False)
            yield json_of.read(number, text, value)


def read_document(source: LineSource) -> Iterator[SourceRow]:
    """Yield the rows of a document: a list of objects, an object that contains them, or objects one per line.

    Raises:
        StudioError: The text begins with neither a list nor an object.
    """
    document = _Document(source)
    first = document.peek()
    if first == "[":
        yield from document.elements()
    elif first == "{":
        yield from document.one_object()
    elif first == '"':
        yield from document.lines()
    else:
        comments = " It begins with a comment, which JSON does not have; remove the comments."
        raise StudioError(
            f"{source.name!r} is not JSON. Expected a list of objects, or one object per line."
            + (comments if json_repairs.is_comment(document.buffer[document.at :]) else "")
        )


class _Document:
    """JSON text that is decoded one element at a time.

    Attributes:
        source: The file.
        buffer: Text that is read but not decoded; it grows to one row at most.
        at: Position of the next character in the buffer.
        ended: Whether the file is read to its end.
        json_of: The decoder.
    """

    def __init__(self, source: LineSource):
        self.source, self.buffer, self.at, self.ended = source, "", 0, False
        self.json_of = Decoder(source)
        # Number of the line at the position `_counted` of the buffer.
        self._line, self._counted = 1, 0
        self._read_more(_CHUNK)

    def _read_more(self, characters: int) -> None:
        # Count the lines of the text that is dropped from the buffer.
        self.line()
        fresh = self.source.read(characters)
        self.ended = len(fresh) < characters
        self.buffer, self.at, self._counted = self.buffer[self.at :] + fresh, 0, 0

    def line(self) -> int:
        """Return the number of the current line."""
        self._line += self.buffer.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line

    def peek(self) -> str:
        """Skip spaces, commas and byte order marks, and return the next character; "" at the end."""
        while True:
            self.at = _SPACE.match(self.buffer, self.at).end()
            if self.at < len(self.buffer) or self.ended:
                return self.buffer[self.at : self.at + 1]
            self._read_more(_CHUNK)

    def elements(self) -> Iterator[SourceRow]:
        """Yield the elements of a list."""
        # Skip the opening bracket.
        self.peek()
        self.at += 1
        while (first := self.peek()) not in ("]", ""):
            yield self._element(first)
        if not first:
            yield SourceRow(self.line(), None, "", "the list is not closed: the file ends early")
            return
        self.at += 1
        if self.peek():
            rest = self.buffer[self.at : self.at + 2000]
            yield SourceRow(self.line(), None, rest, "follows the end of the list and is not read")

    def _element(self, first: str) -> SourceRow:
        line = self.line()
        while True:
            try:
                value, end = self.json_of.decoder.raw_decode(self.buffer, self.at)
            except json.JSONDecodeError as error:
                # An error near the end of the buffer (a literal or an escape is at most 16 characters long) or in a
                # string without an end may disappear with more text; any other error is final.
                is_incomplete = error.pos >= len(self.buffer) - 16 or error.msg.startswith("Unterminated string")
                held = len(self.buffer) - self.at
                if is_incomplete and not self.ended and held < ROW_LIMIT:
                    # Doubling the buffer keeps decoding a long row linear.
                    self._read_more(max(_CHUNK, held))
                    continue
                text = self.buffer[self.at : error.pos + 2]
                trouble = json_repairs.describe(text, error.msg, error.pos - self.at)
                return self._skip(line, TOO_LONG if held >= ROW_LIMIT else trouble)
            except (RecursionError, ValueError) as error:
                return self._skip(line, _decoder_limit(error))
            # A number at the end of the buffer may have more digits.
            if end == len(self.buffer) and not self.ended and first not in '{["':
                self._read_more(_CHUNK)
                continue
            text, self.at = self.buffer[self.at : end], end
            return self.json_of.read(line, text, value)

    def _skip(self, line: int, trouble: str) -> SourceRow:
        """Return a row with its trouble, and continue at the next line that opens an object with the same indent."""
        begin = self.buffer.rfind("\n", 0, self.at) + 1
        indent = self.buffer[begin : self.at] if self.buffer[begin : self.at].isspace() else ""
        opening = re.compile(rf"\n{indent}\{{")
        raw = self.buffer[self.at : self.at + 2000]
        self.at += 1
        while not (found := opening.search(self.buffer, self.at)):
            if self.ended:
                self.at = len(self.buffer)
                return SourceRow(line, None, raw, trouble)
            self.at = max(self.at, len(self.buffer) - len(indent) - 2)
            self._read_more(_CHUNK)
        self.at = found.end() - 1
        return SourceRow(line, None, raw, trouble)

    def one_object(self) -> Iterator[SourceRow]:
        """Yield the rows of a text that begins with an object.

        The object is the first of many rows (one per line, or of several lines each), contains the rows, or is the only
        row.
        """
        self.peek()
        self._read_more(ROW_LIMIT)
        try:
            value, end = self.json_of.decoder.raw_decode(self.buffer)
        except (ValueError, RecursionError):
            value, end = None, 0
        # More text follows the first object, or it is too long to contain all rows: it is the first of many.
        if value is None or not self.ended or self.buffer[end:].strip():
            is_spread = value is not None and "\n" in self.buffer[:end].strip()
            yield from self._sequence() if is_spread else self.lines()
            return
        found = json_tables.rows_in(value, self.source.note)
        if found is None:
            yield self.json_of.read(1, self.buffer[:end], value)
            return
        for number, (split, row) in enumerate(found, 1):
            yield self.json_of.read(number, json.dumps(row, ensure_ascii=False), row, split)

    def _sequence(self) -> Iterator[SourceRow]:
        """Yield objects of several lines each."""
        while first := self.peek():
            yield self._element(first)

    def lines(self) -> Iterator[SourceRow]:
        """Yield one row per line."""
        return _objects(self.source, self._lines())

    def _lines(self) -> Iterator[tuple[int, str | None]]:
        """Yield the rest of the buffer and of the source as numbered lines."""
        # The last piece of the buffer is the beginning of the next line of the source.
        *complete, rest = self.buffer.split("\n")
        self.buffer = ""
        yield from enumerate(complete, 1)
        number = len(complete)
        for _, line in self.source.lines():
            number += 1
            yield number, None if line is None else rest + line
            rest = ""
        if rest:
            yield number + 1, rest
