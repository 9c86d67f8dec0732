"""Training data of Rasa: intents with examples, in YAML or in its older Markdown, one row per example.

    - intent: book_flight                       ## intent:book_flight
      examples: |                               - fly me to [Rome](city)
        - fly me to [Rome](city)

The text of an example is read without the marks of its entities, which are kept in a column of their own.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from core.data.readers.json_keys import Note

_HEADING = re.compile(r"##\s*([\w ]+?)\s*:\s*(.+?)\s*")
_EXAMPLE = re.compile(r"\s*[-*+]\s+(.*\S)\s*")
# [Rome](city), [Rome](city:rome) or [Rome]{"entity": "city"}.
_ENTITY = re.compile(r"\[([^\]\[]+)\](?:\(([^()\s]+)\)|(\{[^{}]*\}))")
_NO_ROWS = "only the examples of intents in the data of Rasa are rows; not read: "


def is_markdown(lines: Iterable[str]) -> bool:
    """Return whether lines begin with a heading of an intent, as Rasa's Markdown does."""
    first = next((text for line in lines if (text := line.strip())), "")
    found = _HEADING.fullmatch(first)
    return bool(found) and found[1].lower() in ("intent", "synonym", "lookup", "regex")


def rows_of_markdown(lines: Iterable[tuple[int, str]], note: Note) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line and the row of each example in Rasa's Markdown.

    Args:
        lines: Numbered lines.
        note: Callback for sentences about what is not read.
    """
    kind, name, others = "", "", set()
    for number, line in lines:
        if heading := _HEADING.fullmatch(line.strip()):
            kind, name = heading[1].lower(), heading[2]
            others |= {kind} - {"intent"}
        elif (example := _EXAMPLE.fullmatch(line)) and kind == "intent":
            yield number, _row(example[1], name)
    if others:
        note(_NO_ROWS + ", ".join(sorted(others)))


def rows_of_document(value: Any, note: Note) -> list[dict[str, Any]] | None:
    """Return the rows of the examples in a decoded document of Rasa, or None if it is none.

    Args:
        value: The decoded YAML.
        note: Callback for sentences about what is not read.
    """
    parts = value.get("nlu") if isinstance(value, dict) else None
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return None
    rows, others = [], {str(name) for name in value if name not in ("nlu", "version", "responses")}
    for part in parts:
        if not isinstance(part.get("intent"), str):
            others |= {str(name) for name in part if name != "examples"}
            continue
        answer = _response(value.get("responses"), part["intent"])
        rows += [_row(text, part["intent"]) | answer for text in _examples(part.get("examples"))]
    if others:
        note(_NO_ROWS + ", ".join(sorted(others)))
    return rows or None


def _examples(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from (found[1] for line in value.splitlines() if (found := _EXAMPLE.fullmatch(line)))
    for item in value if isinstance(value, list) else []:
        text = item.get("text") if isinstance(item, dict) else item
        if isinstance(text, str) and text.strip():
            yield text.strip()


def _response(responses: Any, intent: str) -> dict[str, str]:
    """Return the answer of an intent of questions with their answers, such as faq/opening_hours."""
    found = responses.get(f"utter_{intent}") if isinstance(responses, dict) else None
    first = found[0] if isinstance(found, list) and found else None
    return {"response": first["text"]} if isinstance(first, dict) and isinstance(first.get("text"), str) else {}


def _row(text: str, intent: str) -> dict[str, Any]:
    entities = [{"value": found[1], "entity": _entity_name(found[2] or found[3])} for found in _ENTITY.finditer(text)]
    return {"text": _ENTITY.sub(r"\1", text), "intent": intent} | ({"entities": entities} if entities else {})


def _entity_name(mark: str) -> str:
    if not mark.startswith("{"):
        return mark
    try:
        fields = json.loads(mark)
    except ValueError:
        return mark
    return str(fields.get("entity", mark))
