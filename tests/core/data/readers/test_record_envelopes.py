"""Records of databases, search engines and interfaces are read as their fields; objects of a row's own stay."""

import json

import pytest

from core.data.readers import read_rows

FIELDS = {"question": "Why is it salty?", "answer": "Rivers."}
TURNS = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]


def read(folder, *rows):
    path, notes = folder / "dump.jsonl", []
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = list(read_rows(path, path.name, note=notes.append))
    assert all(json.loads(one.raw) == one.row for one in found)
    return [one.row for one in found], notes


def dynamo(value):
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, list):
        return {"L": [dynamo(item) for item in value]}
    return {"M": {name: dynamo(item) for name, item in value.items()}}


def firestore(value):
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [firestore(item) for item in value]}}
    return {"mapValue": {"fields": {name: firestore(item) for name, item in value.items()}}}


def typed(convert, fields):
    return {name: convert(value) for name, value in fields.items()}


ALL = FIELDS | {"turns": TURNS}
ENVELOPES = {
    "DynamoDB's export": ({"Item": typed(dynamo, ALL)}, ALL),
    "DynamoDB's scan": (typed(dynamo, ALL), ALL),
    "DynamoDB's batch": ({"PutRequest": {"Item": typed(dynamo, ALL)}}, ALL),
    "DynamoDB's changes": (
        {"Metadata": {"WriteTimestampMicros": {"N": "1"}}, "Keys": {"id": {"S": "a"}}, "NewImage": typed(dynamo, ALL)},
        ALL | {"Metadata": {"WriteTimestampMicros": {"N": "1"}}, "Keys": {"id": {"S": "a"}}}),
    "Firestore": ({"name": "faq/1", "fields": typed(firestore, ALL)}, ALL | {"name": "faq/1"}),
    "a query of Firestore": (
        {"document": {"name": "faq/1", "fields": typed(firestore, ALL)}, "readTime": "2024"},
        ALL | {"name": "faq/1", "readTime": "2024"}),
    "Datastore": (
        {"properties": {n: {"stringValue": t, "excludeFromIndexes": True} for n, t in FIELDS.items()}}, FIELDS),
    "SPARQL": ({n: {"type": "literal", "xml:lang": "en", "value": t} for n, t in FIELDS.items()}, FIELDS),
    "Avro": ({n: {"string": t} for n, t in FIELDS.items()} | {"id": 3}, FIELDS | {"id": 3}),
    "Elasticsearch": ({"_index": "faq", "_id": "1", "_score": 1.0, "_source": FIELDS, "sort": [1]},
                      FIELDS | {"_index": "faq", "_id": "1", "_score": 1.0, "sort": [1]}),
    "Airtable": ({"id": "rec1", "createdTime": "2024", "fields": FIELDS},
                 FIELDS | {"id": "rec1", "createdTime": "2024"}),
    "Strapi": ({"id": 1, "attributes": FIELDS}, FIELDS | {"id": 1}),
    "GraphQL": ({"node": FIELDS, "cursor": "a"}, FIELDS | {"cursor": "a"}),
    "CouchDB": ({"id": "a", "key": "a", "value": {"rev": "1"}, "doc": {"_id": "a", **FIELDS}},
                {"_id": "a", **FIELDS, "id": "a", "key": "a", "value": {"rev": "1"}}),
    "Qdrant": ({"id": 1, "vector": [0.5, 0.25], "payload": FIELDS}, FIELDS | {"id": 1, "vector": [0.5, 0.25]}),
    "a name in both": ({"id": 1, "attributes": {"id": 7, **FIELDS}}, {"id": 7, **FIELDS, "id_envelope": 1}),
}  # fmt: skip


@pytest.mark.parametrize("name", ENVELOPES)
def test_fields_of_a_record_are_columns_and_none_is_lost(tmp_path, name):
    row, expected = ENVELOPES[name]
    rows, notes = read(tmp_path, row, row)
    assert rows == [expected] * 2
    assert notes
    assert len(notes) == len(set(notes))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"N": "3"}, 3),
        ({"N": "0.5"}, 0.5),
        ({"BOOL": False}, False),
        ({"NULL": True}, None),
        ({"SS": ["a", "b"]}, ["a", "b"]),
        ({"NS": ["1"]}, [1]),
        ({"B": "YQ=="}, "YQ=="),
    ],
)
def test_value_of_dynamodb_is_the_one_that_it_stands_for(tmp_path, value, expected):
    assert read(tmp_path, {"a": {"S": "x"}, "b": value})[0] == [{"a": "x", "b": expected}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"integerValue": "3"}, 3),
        ({"doubleValue": 0.5}, 0.5),
        ({"booleanValue": True}, True),
        ({"nullValue": None}, None),
        ({"arrayValue": {}}, []),
        ({"timestampValue": "2024-01-01T00:00:00Z"}, "2024-01-01T00:00:00Z"),
    ],
)
def test_value_of_firestore_is_the_one_that_it_stands_for(tmp_path, value, expected):
    rows, _ = read(tmp_path, {"fields": {"text": {"stringValue": "x"}, "b": value}})
    assert rows == [{"text": "x", "b": expected}]


@pytest.mark.parametrize(
    "row",
    [
        {"a": {"S": "x"}, "b": "y"},
        {"a": {"S": 3}},
        {"a": {"N": "three"}},
        {"a": {"S": "x", "T": "y"}},
        {"fields": {"text": {"stringValue": 3}}},
        {"type": "object", "properties": {"question": {"type": "string"}}},
        {"question": "Why?", "document": {"text": "It is so.", "title": "Salt"}},
        {"id": 1, "attributes": {"colour": "red"}},
        {"id": 1, "fields": FIELDS, "responses": [{"values": {"rating": {"value": 1}}}]},
        {"id": 1, "data": FIELDS, "annotations": []},
        {"schema": {"type": "string", "value": "x"}, "prompt": "Why?"},
    ],
)
def test_other_objects_stay(tmp_path, row):
    assert read(tmp_path, row) == ([row], [])
