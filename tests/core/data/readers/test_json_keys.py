"""JSON objects whose keys are data: ids, categories or questions."""

import json

import pytest

from core.data.readers import read_rows

PAIRS = [("How do tides come about?", "The moon."), ("Why is it salty?", "Rivers."), ("What is a keel?", "A spine.")]
ROWS = [{"question": question, "answer": answer} for question, answer in PAIRS]


def read(folder, value, indent=1):
    path, notes = folder / "rows.json", []
    path.write_text(json.dumps(value, indent=indent))
    return [found.row for found in read_rows(path, path.name, note=notes.append)], notes


BY_ID = {
    "ids": {f"q{i:03}": row for i, row in enumerate(ROWS)},
    "words": dict(zip(("tides", "salt", "keel"), ROWS, strict=True)),
    "inside another object": {"faq": {f"q{i}": row for i, row in enumerate(ROWS)}},
    "an id in each row": {f"q{i}": {**row, "id": i} for i, row in enumerate(ROWS)},
    "languages": {f"menu.item{i}": {"en": "Open", "pt-BR": "Abrir"} for i in range(3)},
    "conversations": {f"c{i}": {"title": "t", "messages": [{"role": "user", "content": "x"}]} for i in range(3)},
}


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", BY_ID)
def test_object_of_objects_is_a_table_by_id(tmp_path, name, indent):
    rows, notes = read(tmp_path, BY_ID[name], indent)
    values = BY_ID[name] if len(BY_ID[name]) > 1 else next(iter(BY_ID[name].values()))
    assert [{**value, **row} for row, value in zip(rows, values.values(), strict=True)] == rows
    assert [row.get("id_key", row["id"]) for row in rows] == list(values)
    assert len(notes) == 1


def test_object_of_lists_is_a_table_by_category(tmp_path):
    rows, notes = read(tmp_path, {"sea": ROWS[:2], "ship": ROWS[2:]})
    assert rows == [{"category": name, **row} for name, row in zip(("sea", "sea", "ship"), ROWS, strict=True)]
    assert "'category'" in notes[0]


@pytest.mark.parametrize(
    "answers",
    [dict(PAIRS), {q: [a, "So."][: len(a) % 2 + 1] for q, a in PAIRS}, {q.replace("?", "."): a for q, a in PAIRS}],
)
def test_object_of_questions_is_a_table_of_pairs(tmp_path, answers):
    rows, notes = read(tmp_path, answers)
    assert rows == [{"question": question, "answer": answer} for question, answer in answers.items()]
    assert len(notes) == 1


@pytest.mark.parametrize(
    "row",
    [
        {"user": {"text": "a", "id": 1}, "assistant": {"text": "b", "id": 2}, "note": {"text": "c", "id": 3}},
        {"first": {"name": "Ann", "age": 1}, "second": {"name": "Bob", "age": 2}, "third": {"name": "C", "age": 3}},
        {"a": [{"role": "user", "content": "x"}], "b": [{"role": "user", "content": "y"}]},
        {"title": "A ship", "author": "Ann", "body": "It sails."},
        {"What is your name?": "Ann"},
        {"name": "Ann", "city": "Bergen", "job": "keeper"},
        {"x": {"question": "Why?", "answer": "So."}, "y": {"cost": 3, "unit": "s"}, "z": {"n": 1, "m": 2}},
    ],
)
def test_other_objects_stay_one_row(tmp_path, row):
    rows, notes = read(tmp_path, row)
    assert rows == [row]
    assert not notes
