"""Plain text: a row a paragraph where empty lines part them, else a row a line."""

import itertools
import json
from collections.abc import Iterator

from core.data.readers.lines import ROW_LIMIT, TOO_LONG, LineSource, Read, broken

_LOOKED_AT = 2000  # lines, to tell paragraphs from lines


def read(source: LineSource) -> Iterator[Read]:
    lines = source.lines()
    head = [item for _, item in zip(range(_LOOKED_AT), lines, strict=False)]
    texts = [line.strip() for _, line in head if line is not None]
    paragraphs = any(not above and below for above, below in itertools.pairwise(texts))
    block: list[str] = []
    first = size = 0

    def chained() -> Iterator[tuple[int, str | None]]:
        yield from head
        yield from lines

    for number, line in chained():
        if line is None:
            yield Read(number, None, "", TOO_LONG)
            continue
        if line.strip():
            first = first or number
            size += len(line)
            block.append(line)
        if block and (not paragraphs or not line.strip() or size > ROW_LIMIT):
            yield _row(first, block)
            block, first, size = [], 0, 0
    if block:
        yield _row(first, block)


def _row(line: int, block: list[str]) -> Read:
    text = "".join(block).rstrip("\r\n").replace("\r\n", "\n")
    if (byte := broken(text)) is not None:
        return Read(line, None, text, f"is not UTF-8 text (byte {byte})")
    return Read(line, {"text": text}, json.dumps({"text": text}, ensure_ascii=False))
