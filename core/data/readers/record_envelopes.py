"""Rows that databases, search engines and interfaces put into an envelope, such as {"_id": 1, "_source": {…}}.

The fields of the record become columns, and so do the fields of the envelope beside it; none is lost. A record is
recognized by the name of its field and by a name inside that columns of texts have in public datasets, and only where
the envelope itself has no such name.
"""

from typing import Any

from core.data.formats.values import is_missing
from core.data.readers import extended_json, typed_values, xml_objects
from core.data.readers.header import has_known_name

# Names of the record in DynamoDB, Elasticsearch, Firestore, Airtable, Datastore, JSON:API and Strapi, GraphQL, CouchDB,
# the Hub's viewer, and Qdrant.
_RECORDS = (
    "Item", "NewImage", "PutRequest", "dynamodb", "_source", "document", "fields", "properties", "attributes", "node",
    "doc", "record", "entity", "row", "payload",
)  # fmt: skip
# Fields of an envelope that say nothing about its record, and may be lists or objects.
_BESIDE = frozenset(
    ("Keys", "Metadata", "OldImage", "sort", "highlight", "value", "key", "links", "relationships", "meta", "_links",
     "vector", "truncated_cells", "_ignored", "matched_queries")
)  # fmt: skip
# A record may be in an envelope that is in another one.
_MAX_LEVELS = 3


def plain_row(row: dict[str, Any]) -> tuple[dict[str, Any], list[str]] | None:
    """Return a row without envelopes and types with a sentence about each change; None if nothing changes.

    Args:
        row: The decoded object.
    """
    if not any(isinstance(value, (dict, list)) for value in row.values()):
        return None
    notes: list[str] = []
    if (plain := xml_objects.plain_row(row)) is not None:
        row, note = plain
        notes.append(note)
    if not any(isinstance(value, dict) for value in row.values()):
        return (row, notes) if notes else None
    for _ in range(_MAX_LEVELS):
        if (found := _step(row)) is None:
            break
        row, note = found
        notes.append(note)
    return (row, notes) if notes else None


def _step(row: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    if (plain := extended_json.plain_row(row)) is not None:
        return plain, extended_json.NOTE
    if (typed := typed_values.plain_fields(row)) is not None:
        return typed[0], _typed_note(typed[1])
    name = _record(row)
    if name is None:
        return None
    if (typed := typed_values.plain_fields(row[name])) is not None:
        return row | {name: typed[0]}, _typed_note(typed[1])
    note = f"each row is a record in the field {name!r}; its fields are read as columns, beside those of its envelope"
    return _unwrapped(row, name), note


def _typed_note(source: str) -> str:
    return f"values with their type, as {source} writes them, are read as plain values"


def _record(row: dict[str, Any]) -> str | None:
    """Return the field of a row that holds its record, or None if the row is no envelope."""
    name = next((name for name in _RECORDS if isinstance(row.get(name), dict) and row[name]), None)
    if name is None:
        return None
    rest = [other for other in row if other != name]
    if has_known_name(rest) or any(_is_content(other, row[other]) for other in rest):
        return None
    inner = row[name]
    # A schema has an object for each name.
    texts = [field for field, value in inner.items() if isinstance(value, (str, list))]
    is_sure = name == "_source" and "_index" in row
    is_record = is_sure or has_known_name(texts) or _record(inner) or typed_values.plain_fields(inner) is not None
    return name if is_record else None


def _is_content(name: str, value: Any) -> bool:
    """Return whether a field beside a record may be more than the bookkeeping of an envelope."""
    return name not in _BESIDE and isinstance(value, (list, dict)) and not is_missing(value)


def _unwrapped(row: dict[str, Any], record: str) -> dict[str, Any]:
    inner = row[record]
    beside = {(f"{name}_envelope" if name in inner else name): value for name, value in row.items() if name != record}
    return inner | beside
