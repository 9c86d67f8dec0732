"""Decoder of the objects in a JSON file: it corrects what is certain, and reports the rest with the line."""

import json
from typing import Any

from core.data.depth import MAX_DEPTH, is_too_deep
from core.data.readers import json_repairs, record_envelopes
from core.data.readers.lines import MAX_COLUMNS, LineSource, SourceRow

TOO_DEEP = "is nested too deeply"


class Decoder:
    """Decoder of JSON that also detects objects in which a field occurs twice (the last one counts)."""

    def __init__(self, source: LineSource) -> None:
        self._source = source
        # The first repeated field since the last call of `read`.
        self._repeated: str | None = None
        self._noted: set[str] = set()
        self.decoder = json.JSONDecoder(object_pairs_hook=self._make_object)

    def _make_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            seen: set[str] = set()
            self._repeated = next(name for name, _ in pairs if name in seen or seen.add(name))
        return fields

    def _note(self, words: str) -> None:
        """Add a sentence to the notes of the file, once."""
        if words not in self._noted:
            self._noted.add(words)
            self._source.note(words)

    def read_broken(self, line: int, text: str, error: json.JSONDecodeError) -> SourceRow:
        """Return the row of a line that is not JSON: its object if it is certain, otherwise its trouble."""
        trouble = self._source.broken(text)
        if not trouble and (repaired := json_repairs.repair(text)):
            self._note(repaired[1])
            return self.read(line, json.dumps(repaired[0], ensure_ascii=False), repaired[0])
        return SourceRow(line, None, text, trouble or json_repairs.describe(text, error.msg, error.pos))

    def read(self, line: int, text: str, value: Any, split: str | None = None) -> SourceRow:
        """Return the row of a decoded value.

        Args:
            line: Number of its first line.
            text: The text from which it was decoded.
            value: The decoded value.
            split: Name of its split.
        """
        repeated, self._repeated = self._repeated, None
        if isinstance(value, str) and (inner := json_repairs.unwrap(value)) is not None:
            self._note("objects are written as texts of JSON; they are read as the objects")
            value, text = inner, value
        if trouble := self._source.broken(text):
            return SourceRow(line, None, text, trouble, split)
        if not isinstance(value, dict):
            return SourceRow(line, None, text, "is not an object with named fields", split)
        if text.count("[") + text.count("{") > MAX_DEPTH and is_too_deep(value):
            return SourceRow(line, None, text[:2000], TOO_DEEP, split)
        if len(value) > MAX_COLUMNS:
            return SourceRow(
                line, None, text[:2000], f"has {len(value):,} fields; at most {MAX_COLUMNS:,} are read", split
            )
        if (plain := record_envelopes.plain_row(value)) is not None:
            value, notes = plain
            text = json.dumps(value, ensure_ascii=False)
            for words in notes:
                self._note(words)
        trouble = f"names the field {repeated!r} twice; the last one counts" if repeated else ""
        return SourceRow(line, value, text, trouble, split)
