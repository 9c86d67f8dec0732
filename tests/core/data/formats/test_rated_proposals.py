"""A column that may say which answers are good brings the reading that leaves bad answers out."""

import pytest

from core.data.formats import UnusableRow
from core.data.formats.detect import detect
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of, turns

FORMATS = {
    "messages": rows_of(messages=[turns(text) for text in PROSE]),
    "sharegpt": rows_of(
        conversations=[[{"from": "human", "value": "Is it so?"}, {"from": "gpt", "value": text}] for text in PROSE]
    ),
    "alpaca": rows_of(instruction=QUESTIONS, input=["In short."] * 4, output=PROSE),
    "prompt_completion": rows_of(prompt=QUESTIONS, completion=PROSE, context=["In a book."] * 4),
    "worded columns": rows_of(questionText=QUESTIONS, answerText=PROSE),
}
FLAGS = {
    "label": ["good", "good", "bad", "good"],
    "is_correct": [1, 1, 0, 1],
    "decision": ["accepted", "approved", "rejected", "accept"],
    "thumbs": ["thumbs_up", "like", "thumbs_down", "thumbs_up"],
    "keep": ["yes", "yes", "no", "yes"],
}
BAD_FLAGS = {"deleted": [False, False, True, False], "is_bad": [0, 0, 1, 0], "weight": [0.5, 2, 3, 0.1]}


def with_column(rows, name, values):
    return [row | {name: value} for row, value in zip(rows, values, strict=True)]


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("form", FORMATS)
def test_detect_offers_rated_answers_first_where_a_flag_may_judge(form, name):
    found = detect(with_column(FORMATS[form], name, FLAGS[name]))
    assert found.reading.format == "undecided"
    assert found.candidates[0].format == "rated"
    rows = with_column(FORMATS[form], name, FLAGS[name])
    other = next(reading for reading in found.candidates if reading.format != "rated")
    for row in (rows[0], rows[1], rows[3]):
        assert found.candidates[0].parse(row) == other.parse(row)
    with pytest.raises(UnusableRow, match="bad answer"):
        found.candidates[0].parse(rows[2])


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_detect_offers_no_rated_answers_where_true_means_bad(name):
    found = detect(with_column(FORMATS["prompt_completion"], name, BAD_FLAGS[name]))
    assert found.reading.format == "undecided"
    assert all(reading.format != "rated" for reading in found.candidates)


@pytest.mark.parametrize(
    ("first", "second"), [("answer_A", "answer_B"), ("answer1", "answer2"), ("response a", "response b")]
)
def test_flag_that_chooses_between_two_answers_says_of_none_that_it_is_good(first, second):
    rows = with_column(rows_of(**{"question": QUESTIONS, first: PROSE, second: PROSE[::-1]}), "labels", [1, 0, 1, 0])
    assert not [reading for reading in detect(rows).candidates if reading.format == "rated"]
