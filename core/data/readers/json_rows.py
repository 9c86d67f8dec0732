"""JSON: one object a line, or one document read element by element."""

import json
import re
from collections.abc import Iterator
from typing import Any

from core.data.readers.lines import ROW_LIMIT, TOO_LONG, LineSource, Read, broken
from core.errors import StudioError

_CHUNK = 2**20
_TURN_KEYS = {"role", "from"}  # a list of turns is a row, not a list of rows
_SPACE = re.compile(r"[ \t\r\n,]*")


class _Decoder:
    """json's own decoder, which also notices an object that names a field twice (the last one counts)."""

    def __init__(self) -> None:
        self._twice: str | None = None
        self.decoder = json.JSONDecoder(object_pairs_hook=self._fields)

    def _fields(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            names = [name for name, _ in pairs]
            self._twice = next(name for name in names if names.count(name) > 1)
        return fields

    def read(self, line: int, text: str, value: Any) -> Read:
        """What was decoded from `text`, with its trouble."""
        twice, self._twice = self._twice, None
        if (byte := broken(text)) is not None:
            return Read(line, None, text, f"is not UTF-8 text (byte {byte})")
        if not isinstance(value, dict):
            return Read(line, None, text, "is not an object with named fields")
        return Read(line, value, text, f"names the field {twice!r} twice; the last one counts" if twice else "")


def _beyond(error: Exception) -> str:
    """What is wrong with JSON that is well formed, but that Python's decoder will not take."""
    return "is nested too deeply" if isinstance(error, RecursionError) else "holds a number of too many digits"


def read_lines(source: LineSource) -> Iterator[Read]:
    yield from _objects(source.lines())


def _objects(lines: Iterator[tuple[int, str | None]]) -> Iterator[Read]:
    json_of = _Decoder()
    for number, line in lines:
        if line is None:
            yield Read(number, None, "", TOO_LONG)
            continue
        text = line.strip()
        if not text:
            continue
        try:
            value = json_of.decoder.decode(text)
        except json.JSONDecodeError as error:
            byte = broken(text)
            yield Read(number, None, text, f"is not UTF-8 text (byte {byte})" if byte else f"is not JSON ({error.msg})")
        except (RecursionError, ValueError) as error:
            yield Read(number, None, text, _beyond(error))
        else:
            yield json_of.read(number, text, value)


def read_document(source: LineSource) -> Iterator[Read]:
    """A list of objects, an object that holds such a list, or, under the name .json, one object a line."""
    document = _Document(source)
    first = document.peek()
    if first == "[":
        yield from document.elements()
    elif first == "{":
        yield from document.one_object()
    else:
        raise StudioError(f"{source.name!r} is not JSON. Expected a list of objects, or one a line.")


class _Document:
    """A JSON text decoded bit by bit: the buffer holds what is not used yet, and grows to one row at most."""

    def __init__(self, source: LineSource):
        self.source, self.buffer, self.at, self.ended = source, "", 0, False
        self.json_of = _Decoder()
        self._line, self._counted = 1, 0  # the line of the place `_counted` in the buffer
        self._more(_CHUNK)

    def _more(self, characters: int) -> None:
        self.line()
        fresh = self.source.read(characters)
        self.ended = len(fresh) < characters
        self.buffer, self.at, self._counted = self.buffer[self.at :] + fresh, 0, 0

    def line(self) -> int:
        """The number of the line that `at` is in."""
        self._line += self.buffer.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line

    def peek(self) -> str:
        """The next character that is neither space nor a comma; "" at the end."""
        while True:
            self.at = _SPACE.match(self.buffer, self.at).end()
            if self.at < len(self.buffer) or self.ended:
                return self.buffer[self.at : self.at + 1]
            self._more(_CHUNK)

    def elements(self) -> Iterator[Read]:
        self.at += 1  # the bracket
        while (first := self.peek()) not in ("]", ""):
            yield self._element(first)
        if not first:
            yield Read(self.line(), None, "", "the list is not closed: the file ends early")

    def _element(self, first: str) -> Read:
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

    def _skip(self, line: int, trouble: str) -> Read:
        """Go on at the next line that opens an object just as this one's line does."""
        begin = self.buffer.rfind("\n", 0, self.at) + 1
        indent = self.buffer[begin : self.at] if self.buffer[begin : self.at].isspace() else ""
        opening = re.compile(rf"\n{indent}\{{")
        raw = self.buffer[self.at : self.at + 2000]
        self.at += 1
        while not (found := opening.search(self.buffer, self.at)):
            if self.ended:
                self.at = len(self.buffer)
                return Read(line, None, raw, trouble)
            self.at = max(self.at, len(self.buffer) - len(indent) - 2)
            self._more(_CHUNK)
        self.at = found.end() - 1
        return Read(line, None, raw, trouble)

    def one_object(self) -> Iterator[Read]:
        """The text begins with an object: a row, the first of many, or what holds the list of rows."""
        self._more(ROW_LIMIT)
        try:
            value, end = self.json_of.decoder.raw_decode(self.buffer)
        except (ValueError, RecursionError):
            value, end = None, 0
        if value is None or not self.ended or self.buffer[end:].strip():
            yield from _objects(self._lines())
            return
        lists = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
        if len(lists) != 1 or _TURN_KEYS & lists[0][0].keys():
            yield self.json_of.read(1, self.buffer[:end], value)
            return
        for number, item in enumerate(lists[0], 1):
            yield self.json_of.read(number, json.dumps(item, ensure_ascii=False), item)

    def _lines(self) -> Iterator[tuple[int, str | None]]:
        """What the buffer and the source still hold, as numbered lines."""
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
