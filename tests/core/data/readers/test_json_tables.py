"""Rows in a list deeper in a JSON object, and the questions of SQuAD; objects that are rows themselves stay one row."""

import json

import pytest

from core.data.readers import read_rows

ROWS = [{"question": "Why is it salty?", "answer": "Rivers."}, {"question": "What is a keel?", "answer": "A spine."}]


def read(folder, value):
    path, notes = folder / "rows.json", []
    path.write_text(json.dumps(value, indent=1))
    return [found.row for found in read_rows(path, path.name, note=notes.append)], notes


NESTED = {
    "hits.hits": {
        "took": 3,
        "timed_out": False,
        "_shards": {"total": 1},
        "hits": {"total": {"value": 2}, "hits": ROWS},
    },
    "response.items": {"status": "ok", "response": {"page": 1, "items": ROWS}},
    "a.b.c.d": {"version": 2, "a": {"b": {"c": {"d": ROWS}}}},
}


@pytest.mark.parametrize("path", NESTED)
def test_only_list_in_an_object_holds_the_rows(tmp_path, path):
    rows, notes = read(tmp_path, NESTED[path])
    assert rows == ROWS
    assert notes == [f"the rows are the list in {path!r}; the rest of the file is not read"]


def test_several_lists_are_named_with_the_next_step(tmp_path):
    value = {"common_examples": ROWS, "regex_features": ROWS[:1], "lookup_tables": []}
    rows, [note] = read(tmp_path, {"rasa_nlu_data": value})
    assert rows == [{"rasa_nlu_data": value}]
    assert "'common_examples' (2), 'regex_features' (1)" in note
    assert "save the list of rows as a file of its own" in note


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "meta": {"sources": [{"url": "a"}, {"url": "b"}]}},
        {"note": "It has a text of its own.", "more": {"parts": ROWS}},
        {"request": {"messages": [{"role": "user", "content": "x"}], "tools": [{"name": "a"}]}, "model": "m"},
        {"id": 1, "more": {"parts": ROWS[:1]}},
        {"id": 1, "more": {"numbers": [1, 2, 3]}},
    ],
)
def test_object_that_is_a_row_stays_one(tmp_path, row):
    assert read(tmp_path, row) == ([row], [])


def test_questions_of_squad_are_the_rows(tmp_path):
    known = {"id": "a", "question": "Why?", "answers": [{"text": "So.", "answer_start": 3}], "is_impossible": False}
    open_ = {"id": "b", "question": "When?", "answers": [], "is_impossible": True}
    paragraph = {"context": "It is so.", "qas": [known, open_]}
    article = {"title": "Salt", "paragraphs": [paragraph]}
    rows, notes = read(tmp_path, {"version": "v2.0", "data": [article, article]})
    above = {"title": "Salt", "context": "It is so."}
    assert rows[:2] == [
        above | known | {"answers": {"text": ["So."], "answer_start": [3]}},
        above | open_ | {"answers": {"text": [], "answer_start": []}},
    ]
    assert len(rows) == 4
    assert "as in SQuAD" in notes[0]
    assert "'version', which is not read" in notes[1]


def test_other_lists_of_paragraphs_stay(tmp_path):
    articles = [{"title": "Salt", "paragraphs": [{"text": "It is so."}]}] * 2
    assert read(tmp_path, {"data": articles})[0] == articles
