"""JSON: one object per line, or one document read element by element, whatever the name of the file says.

A document may be a list of objects, objects one behind another, an object that holds the list, an object of splits, or
a table as pandas writes it (core/data/readers/json_tables.py).
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from core.data.readers import json_tables
from core.data.readers.lines import MARK, MAX_COLUMNS, ROW_LIMIT, TOO_LONG, LineSource, SourceRow
from core.errors import StudioError

_CHUNK = 2**20
_SPACE = re.compile(f"[ \t\r\n,{MARK}]*")
_HEAD = 2**16  # characters of the first line that are looked at


class _Decoder:
    """json's own decoder, which also notices an object that names a field twice (the last one counts)."""

    def __init__(self, source: LineSource) -> None:
        self._source = source
        self._twice: str | None = None
        self.decoder = json.JSONDecoder(object_pairs_hook=self._fields)

    def _fields(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            seen: set[str] = set()
            self._twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        return fields

    def read(self, line: int, text: str, value: Any, split: str | None = None) -> SourceRow:
        """Return what was decoded from `text`, with its trouble."""
        twice, self._twice = self._twice, None
        if trouble := self._source.broken(text):
            return SourceRow(line, None, text, trouble, split)
        if not isinstance(value, dict):
            return SourceRow(line, None, text, "is not an object with named fields", split)
        if len(value) > MAX_COLUMNS:
            return SourceRow(
                line, None, text[:2000], f"has {len(value):,} fields; at most {MAX_COLUMNS:,} are read", split
            )
        trouble = f"names the field {twice!r} twice; the last one counts" if twice else ""
        return SourceRow(line, value, text, trouble, split)


def _beyond(error: Exception) -> str:
    """Return what is wrong with JSON that is well formed, but that Python's decoder will not take."""
    return "is nested too deeply" if isinstance(error, RecursionError) else "holds a number of too many digits"


def read_lines(source: LineSource) -> Iterator[SourceRow]:
    """Yield the rows of a file with one object per line, or of a document under such a name."""
    head = source.head(_HEAD).lstrip(f" \t\r\n{MARK}")
    first = head.partition("\n")[0].strip()
    if head.startswith("["):
        source.note(f"{source.name!r} holds one list, not one object per line; its elements are the rows")
        yield from _Document(source).elements()
    elif first == "{":
        source.note(f"{source.name!r} holds objects of several lines each")
        yield from _Document(source).one_object()
    else:
        yield from _objects(source, source.lines())


def _objects(source: LineSource, lines: Iterator[tuple[int, str | None]]) -> Iterator[SourceRow]:
    json_of = _Decoder(source)
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
                source.note(f"a byte order mark stands inside the file, at line {number}; it is passed over")
        if not text:
            continue
        try:
            value = json_of.decoder.decode(text)
        except json.JSONDecodeError as error:
            yield SourceRow(number, None, text, source.broken(text) or f"is not JSON ({error.msg})")
        except (RecursionError, ValueError) as error:
            yield SourceRow(number, None, text, _beyond(error))
        else:
            yield json_of.read(number, text, value)


def read_document(source: LineSource) -> Iterator[SourceRow]:
    """Yield the rows of a list of objects, of an object that holds them, or, under the name .json, of its lines."""
    document = _Document(source)
    first = document.peek()
    if first == "[":
        yield from document.elements()
    elif first == "{":
        yield from document.one_object()
    else:
        raise StudioError(f"{source.name!r} is not JSON. Expected a list of objects, or one object per line.")


class _Document:
    """A JSON text decoded bit by bit: the buffer holds what is not used yet, and grows to one row at most."""

    def __init__(self, source: LineSource):
        self.source, self.buffer, self.at, self.ended = source, "", 0, False
        self.json_of = _Decoder(source)
        self._line, self._counted = 1, 0  # the line of the place `_counted` in the buffer
        self._more(_CHUNK)

    def _more(self, characters: int) -> None:
        self.line()
        fresh = self.source.read(characters)
        self.ended = len(fresh) < characters
        self.buffer, self.at, self._counted = self.buffer[self.at :] + fresh, 0, 0

    def line(self) -> int:
        """Return the number of the line that `at` is in."""
        self._line += self.buffer.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line

    def peek(self) -> str:
        """Return the next character that is neither space nor a comma nor a byte order mark; "" at the end."""
        while True:
            self.at = _SPACE.match(self.buffer, self.at).end()
            if self.at < len(self.buffer) or self.ended:
                return self.buffer[self.at : self.at + 1]
            self._more(_CHUNK)

    def elements(self) -> Iterator[SourceRow]:
        """Yield the elements of a list."""
        self.peek()
        self.at += 1  # the bracket
        while (first := self.peek()) not in ("]", ""):
            yield self._element(first)
        if not first:
            yield SourceRow(self.line(), None, "", "the list is not closed: the file ends early")
            return
        self.at += 1
        if self.peek():
            rest = self.buffer[self.at : self.at + 2000]
            yield SourceRow(self.line(), None, rest, "stands behind the end of the list and is not read")

    def _element(self, first: str) -> SourceRow:
        line = self.line()
        while True:
            try:
                value, end = self.json_of.decoder.raw_decode(self.buffer, self.at)
            except json.JSONDecodeError as error:
                # Cut short by the end of the buffer, or wrong: only more text can tell, unless the error lies before.
                cut = error.pos >= len(self.buffer) - 16 or error.msg.startswith("Unterminated string")
                held = len(self.buffer) - self.at
                if cut and not self.ended and held < ROW_LIMIT:
                    self._more(max(_CHUNK, held))
                    continue
                return self._skip(line, TOO_LONG if held >= ROW_LIMIT else f"is not JSON ({error.msg})")
            except (RecursionError, ValueError) as error:
                return self._skip(line, _beyond(error))
            if end == len(self.buffer) and not self.ended and first not in '{["':  # a number may go on
                self._more(_CHUNK)
                continue
            text, self.at = self.buffer[self.at : end], end
            return self.json_of.read(line, text, value)

    def _skip(self, line: int, trouble: str) -> SourceRow:
        """Go on at the next line that opens an object just as this one's line does."""
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
            self._more(_CHUNK)
        self.at = found.end() - 1
        return SourceRow(line, None, raw, trouble)

    def one_object(self) -> Iterator[SourceRow]:
        """Yield the rows of a text that begins with an object: a row, the first of many, or what holds the rows."""
        self.peek()
        self._more(ROW_LIMIT)
        try:
            value, end = self.json_of.decoder.raw_decode(self.buffer)
        except (ValueError, RecursionError):
            value, end = None, 0
        if value is None or not self.ended or self.buffer[end:].strip():
            is_spread = value is not None and "\n" in self.buffer[:end].strip()
            yield from self._sequence() if is_spread else _objects(self.source, self._lines())
            return
        found = json_tables.rows_in(value, self.source.note)
        if found is None:
            yield self.json_of.read(1, self.buffer[:end], value)
            return
        for number, (split, row) in enumerate(found, 1):
            yield self.json_of.read(number, json.dumps(row, ensure_ascii=False), row, split)

    def _sequence(self) -> Iterator[SourceRow]:
        """Yield objects that take several lines each, one behind another."""
        while first := self.peek():
            yield self._element(first)

    def _lines(self) -> Iterator[tuple[int, str | None]]:
        """Yield what the buffer and the source still hold, as numbered lines."""
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
