"""Questions in the sections of a file are rows of their own; turns of a conversation and other lists stay."""

import json

import pytest

from core.data.readers import read_rows

PAIRS = [{"question": "Why?", "answer": "So."}, {"question": "When?", "answer": "Then."}]


def read(folder, value, name="rows.json"):
    path, notes = folder / name, []
    text = "".join(json.dumps(row) + "\n" for row in value) if name.endswith("l") else json.dumps(value)
    path.write_text(text)
    found = list(read_rows(path, name, note=notes.append))
    assert all(json.loads(one.raw) == one.row for one in found)
    return [one.row for one in found], notes


def sections(name="questions", pairs=PAIRS, **more):
    return [{"category": "Sea", **more, name: pairs}, {"category": "Land", **more, name: pairs[:1]}]


EXPECTED = [{"category": "Sea", **PAIRS[0]}, {"category": "Sea", **PAIRS[1]}, {"category": "Land", **PAIRS[0]}]


@pytest.mark.parametrize("name", ["questions", "faqs", "qas", "qa_pairs", "items", "QAPairs"])
@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"categories": rows}])
def test_questions_of_sections_are_rows_with_the_fields_beside(tmp_path, wrap, name):
    rows, notes = read(tmp_path, wrap(sections(name)))
    assert rows == EXPECTED
    assert any(f"in {name!r}; each of them is read as a row of its own" in note for note in notes)


def test_questions_of_json_lines_are_rows(tmp_path):
    assert read(tmp_path, sections(), "rows.jsonl")[0] == EXPECTED


def test_field_of_a_section_that_its_questions_have_too_is_kept(tmp_path):
    pairs = [{"id": 1, **PAIRS[0]}]
    assert read(tmp_path, [{"id": 7, "cards": pairs}] * 2)[0] == [{"cards_id": 7, "id": 1, **PAIRS[0]}] * 2


@pytest.mark.parametrize(
    "row",
    [
        {"id": 1, "conversation": PAIRS},
        {"id": 1, "instances": PAIRS},
        {"id": 1, "questions": [{**PAIRS[0], "turn_id": 1}]},
        {"id": 1, "questions": [{"role": "user", "question": "Why?", "answer": "So."}]},
        {"id": 1, "questions": ["Why?"]},
        {"id": 1, "answer": "So.", "items": PAIRS},
        {"id": 1, "messages": [{"role": "user"}], "items": PAIRS},
        {"id": 1, "items": [{"name": "a", "price": 3}]},
    ],
)
def test_other_lists_stay(tmp_path, row):
    assert read(tmp_path, [row, row]) == ([row, row], [])


def test_file_of_sections_and_other_rows_stays(tmp_path):
    value = [sections()[0], {"text": "It is so."}]
    assert read(tmp_path, value)[0] == value
