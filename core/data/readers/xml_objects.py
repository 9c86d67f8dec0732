"""Objects of an XML file that was converted to JSON: a text beside the attributes of its element.

xmltodict writes <p lang="en">Hello</p> as {"@lang": "en", "#text": "Hello"}, and Moodle's <name><text>Hello</text>
</name> becomes {"text": "Hello"}. The text is the value; the attributes are named in a note.
"""

from typing import Any

from core.data.listing import list_some

_TEXTS = ("#text", "text")
_SHOWN = 4


def plain_row(row: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """Return a row with texts in place of the elements that hold nothing else, and a note; None if it stays."""
    if not _has_attributes(row):
        return None
    lost: dict[str, None] = {}
    plain = {name: _plain(value, lost) for name, value in row.items()}
    if plain == row:
        return None
    shown = f"; the attributes {list_some(map(repr, sorted(lost)), _SHOWN)} are not read" if lost else ""
    return plain, f"the elements of an XML file, written as JSON, are read as their texts{shown}"


def _has_attributes(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_has_attributes, value))
    return isinstance(value, dict) and any(
        (isinstance(name, str) and name[:1] in "@#" and name[1:].isidentifier()) or _has_attributes(part)
        for name, part in value.items()
    )


def _plain(value: Any, lost: dict[str, None]) -> Any:
    if isinstance(value, list):
        return [_plain(item, lost) for item in value]
    if not isinstance(value, dict):
        return value
    texts = [name for name in value if name in _TEXTS]
    attributes = [name for name in value if name.startswith("@")]
    if len(texts) == 1 and len(value) == 1 + len(attributes) and not isinstance(value[texts[0]], (dict, list)):
        lost.update(dict.fromkeys(name for name in attributes if value[name] is not None))
        return value[texts[0]]
    return {name: _plain(part, lost) for name, part in value.items()}
