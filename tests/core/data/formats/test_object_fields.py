"""Fields of objects are columns of a reading that names them: texts in two languages, an answer with its aliases."""

import pytest

from core.data.formats import Reading, UnusableRow
from core.data.formats.detect import detect
from core.data.formats.values import is_named, unfold
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of

GERMAN = ["Der Mond zieht am Wasser.", "Der Wärter, ganz allein.", "Flüsse tragen Salz hin.", "Möwe und Alk."]
PAIRS = [{"en": text, "de": other} for text, other in zip(PROSE, GERMAN, strict=True)]


def pair(prompt, completion):
    return Reading(format="prompt_completion", columns={"prompt": prompt, "completion": completion})


@pytest.mark.parametrize(
    "objects",
    [PAIRS, [str(one) for one in PAIRS], [one | {"id": index} for index, one in enumerate(PAIRS)]],
    ids=["objects", "written as text", "with an id"],
)
def test_detect_offers_two_texts_of_an_object_in_both_directions(objects):
    rows = rows_of(id=range(4), translation=objects)
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert "'en' and 'de' of 'translation' may be a question and its answer" in found.evidence
    forth, back = found.candidates[:2]
    assert [forth, back] == [pair("translation.en", "translation.de"), pair("translation.de", "translation.en")]
    for row, text, other in zip(rows, PROSE, GERMAN, strict=True):
        assert [message["content"] for message in forth.parse(row)] == [text, other]
        assert [message["content"] for message in back.parse(row)] == [other, text]
        assert set(forth.read(row).unread) <= {"id", "translation.id"}


def test_detect_offers_question_and_answer_of_each_language_first():
    rows = rows_of(
        question=[{"en": text, "de": f"Frage: {text}"} for text in QUESTIONS],
        answer=[{"en": text, "de": other} for text, other in zip(PROSE, GERMAN, strict=True)],
    )
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert "hold objects with the fields 'en', 'de', of which a reading uses one" in found.evidence
    assert found.candidates[:2] == [pair("question.en", "answer.en"), pair("question.de", "answer.de")]
    assert set(found.candidates[0].read(rows[0]).unread) == {"question.de", "answer.de"}


def test_detect_offers_a_named_question_and_answer_of_an_object_in_one_direction():
    rows = rows_of(record=[{"question": q, "answer": a} for q, a in zip(QUESTIONS, PROSE, strict=True)])
    offered = [reading for reading in detect(rows).candidates if reading.format == "prompt_completion"]
    assert offered == [pair("record.question", "record.answer")]


def test_detect_offers_no_texts_of_an_object_beside_a_question_and_an_answer():
    rows = rows_of(prompt=QUESTIONS, completion=PROSE, meta=PAIRS)
    assert detect(rows).reading == Reading(format="prompt_completion")
    assert all("meta.en" not in reading.columns.values() for reading in detect(rows).candidates)


@pytest.mark.parametrize("field", ["value", "text", "body", "Answer", "spelling"])
def test_detect_offers_the_text_of_an_answer_object_before_its_json(field):
    answers = [{field: text, "aliases": [text, text.upper()], "type": "WikipediaEntity"} for text in PROSE]
    rows = rows_of(question=QUESTIONS, answer=answers)
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert f"a reading with the field {field!r} is offered" in found.evidence
    expected = Reading(format="prompt_completion", columns={"completion": f"answer.{field}"})
    assert found.candidates[:2] == [expected, Reading(format="prompt_completion")]
    parsed = expected.read(rows[0])
    assert [message["content"] for message in parsed.messages] == [QUESTIONS[0], PROSE[0]]
    assert set(parsed.unread) == {"answer.aliases", "answer.type"}


def test_detect_offers_the_text_of_a_question_object():
    rows = rows_of(question=[{"text": text, "tokens": text.split()} for text in QUESTIONS], answer=PROSE)
    assert detect(rows).candidates[0] == Reading(format="prompt_completion", columns={"prompt": "question.text"})


@pytest.mark.parametrize("value", [None, "text", ["a"], {"other": "x"}])
def test_row_without_the_field_is_left_out(value):
    with pytest.raises(UnusableRow, match="completion"):
        pair("question", "answer.value").parse({"question": "Why?", "answer": value})


@pytest.mark.parametrize(
    ("row", "name", "expected"),
    [
        ({"a": {"b": 1, "c": 2}, "d": 3}, "a.b", {"a.b": 1, "a.c": 2, "d": 3}),
        ({"a": '{"b": 1}'}, "a.b", {"a.b": 1}),
        ({"a": {"b": {"c": 1}}}, "a.b.c", {"a.b.c": 1}),
        ({"a": {"b": 1}, "a.b": 2}, "a.b", {"a": {"b": 1}, "a.b": 2}),
        ({"a": {"b": 1}}, "x.b", {"a": {"b": 1}}),
        ({"a": {"b": 1}}, "a", {"a": {"b": 1}}),
        ({"a": {}}, "a.b", {"a": {}}),
        ({"a": "b"}, "a.b", {"a": "b"}),
    ],
)
def test_unfold_makes_the_fields_of_a_named_object_columns(row, name, expected):
    assert dict(unfold(row, [name])) == expected


def test_field_is_named_if_its_column_is_there():
    assert is_named("answer.value.x", {"answer"})
    assert is_named("Q. 1", {"Q. 1"})
    assert not is_named("question.value", {"answer"})
