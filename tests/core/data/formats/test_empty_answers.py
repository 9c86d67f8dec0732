"""Columns of words for no answer, and of wrong answers, are not taken for answers without a question."""

import pytest

from core.data.formats.detect import detect

QUESTIONS = ["How do tides come about?", "Who keeps the light?", "Why is the sea so salty?", "Name three birds."]
RATED = [[{"model": "a", "response": "Hardly.", "overall_score": 2.0},
          {"model": "b", "response": f"Answer {i}.", "overall_score": 9.5}] for i in range(4)]  # fmt: skip


def rows_of(**columns):
    return [{name: values[i] for name, values in columns.items()} for i in range(4)]


@pytest.mark.parametrize("word", ["None", "N/A", "null", "TBD", "[deleted]", "#REF!"])
@pytest.mark.parametrize("name", ["answer", "output", "correct_answers", "response"])
@pytest.mark.parametrize("wrap", [str, lambda text: [text]], ids=["text", "list"])
def test_answers_that_are_mostly_words_for_none_are_asked_about(word, name, wrap):
    given = [wrap(word), wrap(word), wrap(word), wrap("Gull, tern and auk.")]
    found = detect(rows_of(question=QUESTIONS, **{name: given}))
    assert not found.is_sure


def test_few_words_for_none_leave_a_reading_certain():
    assert detect(rows_of(question=QUESTIONS, answer=["None", "The keeper.", "By rivers.", "Gull."])).is_sure


@pytest.mark.parametrize("answers", [["None"], ["None", "Nothing"]], ids=["one", "several"])
def test_rated_answers_are_offered_beside_columns_of_none(answers):
    rows = rows_of(
        instruction=QUESTIONS, completions=RATED, correct_answers=[answers] * 4, incorrect_answers=[answers] * 4
    )
    found = detect(rows)
    assert not found.is_sure
    assert found.candidates[0].parse(rows[1])[-1]["content"] == "Answer 1."
    used = {name for one in found.candidates for name in one.columns.values()}
    assert not used & {"correct_answers", "incorrect_answers"}


def test_rated_answers_that_a_reading_leaves_out_are_asked_about():
    rows = rows_of(
        instruction=QUESTIONS, output=["By the moon.", "The keeper.", "By rivers.", "Gull."], completions=RATED
    )
    assert "'completions'" in detect(rows).evidence


def test_wrong_answers_are_never_offered():
    rows = rows_of(question=QUESTIONS, incorrect_answers=[["By magic.", "By wind."]] * 4)
    assert all("incorrect_answers" not in one.columns.values() for one in detect(rows).candidates)
