"""Statuses of answers, such as submitted and discarded, choose among them, and are always asked about."""

import pytest

from core.data.formats.answer_choice import STATUS_VALUES, are_statuses
from core.data.formats.detect import detect

QUESTIONS = ["How do tides come about?", "Who keeps the light?", "Why is the sea so salty?", "Name three birds."]
ANSWERS = ["The moon pulls the water.", "The keeper does, alone.", "Rivers carry salt.", "Gull, tern and auk."]
BAD = sorted(word for word, counts in STATUS_VALUES.items() if not counts and are_statuses([word]))


def rows_of(**columns):
    return [{name: values[i] for name, values in columns.items()} for i in range(4)]


@pytest.mark.parametrize("name", ["response.status", "statuses", "state", "x"])
@pytest.mark.parametrize("word", BAD)
def test_list_of_statuses_chooses_the_answer(word, name):
    answers = [["A bad text.", text] for text in ANSWERS]
    found = detect(rows_of(prompt=QUESTIONS, response=answers, **{name: [[word, "submitted"]] * 4}))
    assert not found.is_sure
    row = {"prompt": QUESTIONS[0], "response": answers[0], name: [word, "submitted"]}
    assert found.candidates[0].parse(row)[-1]["content"] == ANSWERS[0]
    assert not any("messages" in one.columns.values() for one in found.candidates)


@pytest.mark.parametrize("word", BAD)
def test_statuses_of_single_answers_leave_out_the_bad_one(word):
    statuses = [["submitted"], [word], ["submitted"], ["submitted"]]
    rows = rows_of(prompt=QUESTIONS, answers=[[text] for text in ANSWERS], statuses=statuses)
    found = detect(rows)
    assert not found.is_sure
    with pytest.raises(ValueError, match="marks none of the answers as right"):
        found.candidates[0].parse(rows[1])


@pytest.mark.parametrize("name", ["status", "review", "x"])
@pytest.mark.parametrize("word", ["discarded", "cancelled", "canceled", "rejected", "skipped", "invalid", "declined"])
def test_column_of_statuses_beside_answers_is_asked_about(word, name):
    assert not detect(rows_of(prompt=QUESTIONS, completion=ANSWERS, **{name: ["submitted", word] * 2})).is_sure
