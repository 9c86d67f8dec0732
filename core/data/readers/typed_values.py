"""Values of databases that carry their type, such as {"S": "text"} of DynamoDB, as the values they stand for.

DynamoDB, Firestore and Datastore, answers of SPARQL, and Avro's unions write each value as an object of its type and
the value. A row is converted only if all its values, or those of the object of its fields, have such a type.
"""

import re
from collections.abc import Callable
from typing import Any

_NUMBER = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,3})?")
_INTEGER = re.compile(r"[+-]?\d{1,19}")
# Fields of an answer of SPARQL beside its value, and the types of its values.
_SPARQL_FIELDS = frozenset(("type", "value", "xml:lang", "datatype"))
_SPARQL_TYPES = ("literal", "typed-literal", "uri", "bnode")


class _Untyped(ValueError):
    """A value without a type, or with a type that its content does not have."""


Convert = Callable[[Any], Any]


def plain_fields(fields: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """Return fields with the plain values and the name of the database, or None if not all of them carry a type.

    Args:
        fields: Values by name.
    """
    # Nearly all rows leave here: a typed value is an object.
    if not fields or not any(isinstance(value, dict) for value in fields.values()):
        return None
    for source, convert in _SOURCES.items():
        try:
            return {name: convert(value) for name, value in fields.items()}, source
        except _Untyped:
            continue
    return None


def _number(value: Any) -> int | float:
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    raise _Untyped


def _only(value: Any) -> tuple[str, Any]:
    if not isinstance(value, dict) or len(value) != 1:
        raise _Untyped
    return next(iter(value.items()))


def _of_kind(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise _Untyped
    return value


def _dynamo(value: Any) -> Any:
    kind, inner = _only(value)
    if kind in ("S", "B"):
        return _of_kind(inner, str)
    if kind == "N":
        return _number(_of_kind(inner, str))
    if kind == "BOOL":
        return _of_kind(inner, bool)
    if kind == "NULL":
        return None
    if kind in ("SS", "BS"):
        return [_of_kind(item, str) for item in _of_kind(inner, list)]
    if kind == "NS":
        return [_number(item) for item in _of_kind(inner, list)]
    if kind == "L":
        return [_dynamo(item) for item in _of_kind(inner, list)]
    if kind == "M":
        return {name: _dynamo(item) for name, item in _of_kind(inner, dict).items()}
    raise _Untyped


def _firestore(value: Any) -> Any:
    # Datastore adds whether a property is left out of the indexes.
    value = {name: item for name, item in _of_kind(value, dict).items() if name != "excludeFromIndexes"}
    kind, inner = _only(value)
    if kind in ("stringValue", "timestampValue", "bytesValue", "referenceValue", "blobValue"):
        return _of_kind(inner, str)
    if kind in ("integerValue", "doubleValue"):
        return _number(inner)
    if kind == "booleanValue":
        return _of_kind(inner, bool)
    if kind == "nullValue":
        return None
    if kind in ("geoPointValue", "keyValue"):
        return inner
    if kind == "arrayValue":
        return [_firestore(item) for item in _of_kind(_of_kind(inner, dict).get("values", []), list)]
    if kind in ("mapValue", "entityValue"):
        fields = _of_kind(inner, dict).get("fields", inner.get("properties", {}))
        return {name: _firestore(item) for name, item in _of_kind(fields, dict).items()}
    raise _Untyped


def _sparql(value: Any) -> Any:
    if not isinstance(value, dict) or not {"type", "value"} <= value.keys() <= _SPARQL_FIELDS:
        raise _Untyped
    if value["type"] not in _SPARQL_TYPES:
        raise _Untyped
    return _of_kind(value["value"], str)


def _avro(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kind, inner = _only(value)
    if kind in ("string", "bytes"):
        return _of_kind(inner, str)
    if kind in ("int", "long", "float", "double"):
        return _number(inner)
    if kind == "boolean":
        return _of_kind(inner, bool)
    if kind == "array":
        return [_avro(item) for item in _of_kind(inner, list)]
    if kind == "map":
        return {name: _avro(item) for name, item in _of_kind(inner, dict).items()}
    raise _Untyped


_SOURCES: dict[str, Convert] = {"DynamoDB": _dynamo, "Firestore": _firestore, "SPARQL": _sparql, "Avro": _avro}
