"""Choices with a flag each: the one that is marked as right is the answer, or the page asks."""

import pytest

from core.data.formats import Reading, UnusableRow
from core.data.formats.detect import detect

ASKED = [f"What is the number {i} of all?" for i in range(6)]
RIGHT, WRONG = "It is seven.", ["It is nine.", "It is red."]
# The right choice is the second one in the first row, and the first or third one in others.
ORDERS = [[WRONG[0], RIGHT, WRONG[1]], [RIGHT, *WRONG], [*WRONG, RIGHT]] * 2


def rows_of(name, make):
    return [
        {"question": question, name: make(texts, [text == RIGHT for text in texts])}
        for question, texts in zip(ASKED, ORDERS, strict=True)
    ]


def objects(text, flag):
    return lambda texts, flags: [{text: one, flag: right} for one, right in zip(texts, flags, strict=True)]


SURE = {
    "TruthfulQA": rows_of("mc1_targets", lambda texts, flags: {"choices": texts, "labels": list(map(int, flags))}),
    "TruthfulQA's own files": rows_of(
        "mc1_targets", lambda texts, flags: dict(zip(texts, map(int, flags), strict=True))),
    "BIG-bench": rows_of("target_scores", lambda texts, flags: dict(zip(texts, map(float, flags), strict=True))),
    "objects": rows_of("options", objects("text", "is_correct")),
    "objects of a quiz": rows_of("choices", objects("option", "correct")),
    "objects with text flags": rows_of(
        "answerOptions", lambda texts, flags: objects("content", "isCorrect")(texts, list(map(str, flags)))),
    "JSON in a cell": rows_of("options", lambda texts, flags: str(objects("text", "is_correct")(texts, flags))),
}  # fmt: skip


@pytest.mark.parametrize("rows", SURE.values(), ids=SURE)
def test_choice_that_a_flag_marks_is_the_answer(rows):
    found = detect(rows)
    assert found.reading.format == "multiple_choice", found.evidence
    parsed = found.reading.read(rows[0])
    assert [one["content"] for one in parsed.messages] == [
        f"{ASKED[0]}\n\nA. {WRONG[0]}\nB. {RIGHT}\nC. {WRONG[1]}",
        RIGHT,
    ]
    assert parsed.notes == ["the choice whose flag marks it as right is used as the answer"]
    assert all(found.reading.parse(row)[-1]["content"] == RIGHT for row in rows)


@pytest.mark.parametrize("write", [lambda flags: flags, lambda flags: list(map(int, flags)), str])
def test_list_of_flags_beside_the_choices_names_the_answer(write):
    rows = [
        row | {"labels": write([text == RIGHT for text in row["choices"]])}
        for row in rows_of("choices", lambda t, _: t)
    ]
    found = detect(rows)
    assert found.reading.columns == {"answer": "labels"}
    assert all(found.reading.parse(row)[-1]["content"] == RIGHT for row in rows)


def test_several_right_choices_are_noted():
    row = {"question": ASKED[0], "choices": {"choices": ORDERS[0], "labels": [0, 1, 1]}}
    parsed = Reading(format="multiple_choice").read(row)
    assert parsed.messages[-1]["content"] == RIGHT
    assert "2 are marked as right, and the first of them is used" in parsed.notes[0]


@pytest.mark.parametrize("flags", [[0, 0, 0], ["a", "b", "c"], [0, 1, 2]])
def test_choices_without_a_right_one_are_left_out(flags):
    row = {"question": ASKED[0], "choices": {"choices": ORDERS[0], "labels": flags}}
    with pytest.raises(UnusableRow, match="the answer is missing"):
        Reading(format="multiple_choice").parse(row)


def test_labels_of_an_answer_are_no_flags():
    row = {"question": ASKED[0], "choices": {"text": WRONG, "label": ["1", "0"]}, "answerKey": "0"}
    found = Reading(format="multiple_choice").parse(row)
    assert found[0]["content"].endswith("1. It is nine.\n0. It is red.")
    assert found[-1]["content"] == WRONG[1]


ASKS = {
    "two columns": (
        [row | {"mc2_targets": row["mc1_targets"]} for row in SURE["TruthfulQA"]], "hold choices with flags"),
    "a forum": (rows_of("answers", objects("text", "correct")), "may be the choices of a question"),
    "always the first": (
        [{"question": one, "options": {RIGHT: 1, WRONG[0]: 0}} for one in ASKED], "is right in all rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKS)
def test_doubtful_flags_ask_and_offer_the_choices_first(name):
    rows, words = ASKS[name]
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert words in found.evidence
    assert found.candidates[0].format == "multiple_choice"
    assert all(one.format != "paired" for one in found.candidates)
    assert found.candidates[0].parse(rows[0])[-1]["content"] == RIGHT


def test_flags_of_several_labels_are_no_choices():
    rows = [{"text": one, "labels": {"spam": i % 2, "rude": 1}} for i, one in enumerate(ASKED)]
    assert all(one.format != "multiple_choice" for one in detect(rows).candidates)


def test_choice_without_a_text_is_not_shown():
    row = {
        "question": ASKED[0],
        "choices": [{"text": RIGHT, "correct": 1}, {"correct": 0}, {"text": "No.", "correct": 0}],
    }
    assert Reading(format="multiple_choice").parse(row)[0]["content"].endswith(f"A. {RIGHT}\nC. No.")
