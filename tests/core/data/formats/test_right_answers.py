"""Of several answers to a question, the first that a list of flags marks as right is used."""

import pytest

from core.data.formats import Reading, UnusableRow
from core.data.formats.detect import detect
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of

WRONG = "It is 99, I am sure of that."
ANSWERS = [[WRONG, PROSE[0]], [PROSE[1], WRONG], [WRONG, PROSE[2], PROSE[2] + "!"], [WRONG, WRONG]]
FLAGS = [[False, True], [True, False], [False, True, True], [False, False]]


def reading(flags, answers="generations", prompt="problem"):
    return Reading(format="prompt_completion", columns={"prompt": prompt, "completion": answers, "correct": flags})


@pytest.mark.parametrize("spell", [lambda flags: flags, lambda flags: [int(flag) for flag in flags],
                                   lambda flags: [float(flag) for flag in flags], str])  # fmt: skip
@pytest.mark.parametrize("name", ["correctness_math_verify", "is_correct", "scores", "passed"])
@pytest.mark.parametrize("columns", [("problem", "generations"), ("instruction", "outputs")])
def test_detect_offers_the_first_right_answer_before_the_first(columns, name, spell):
    prompt, answers = columns
    rows = rows_of(**{prompt: QUESTIONS, answers: ANSWERS, name: [spell(flags) for flags in FLAGS]})
    rows = [row | {"is_reasoning_complete": [True] * len(row[answers])} for row in rows]
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert f"{name!r} may say which of the answers in {answers!r} are right" in found.evidence
    right = next(one for one in found.candidates if one.format in ("prompt_completion", "alpaca"))
    assert (right.format, right.columns["correct"]) == ("prompt_completion", name)
    for row, question, answer in zip(rows[:3], QUESTIONS, PROSE, strict=False):
        parsed = right.read(row)
        assert [message["content"] for message in parsed.messages] == [question, answer]
        assert f"completion is a list of answers; the first that {name!r} marks as right is used" in parsed.notes
    with pytest.raises(UnusableRow, match=f"'{name}' marks none of the answers as right"):
        right.parse(rows[3])


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (None, "'ok' is empty"),
        ([], "'ok' is empty"),
        ([True], "no lists of the same length"),
        (True, "no lists of the same length"),
        ([None, False], "marks none"),
        (["good", "bad"], "marks none"),
    ],
)
def test_row_without_a_right_answer_is_left_out(flags, reason):
    with pytest.raises(UnusableRow, match=reason):
        reading("ok").parse({"problem": "Why?", "generations": ["So.", "No."], "ok": flags})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ranks", [["1st", "2nd"]] * 4),
        ("is_reasoning_complete", FLAGS),
        ("scores", [[0.5, 0.5]] * 4),
        ("correct", [[True], [True], [True], [True]]),
        ("correct", [True, False, True, True]),
    ],
)
def test_detect_takes_no_other_list_for_flags_of_the_answers(name, values):
    rows = rows_of(problem=QUESTIONS, generations=ANSWERS, **{name: values})
    assert all("correct" not in one.columns for one in detect(rows).candidates)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ratings", [[2.0, 4.5], [3, 1], [1, 5, 4], [5, 5]]),
        ("scores", [[0.3, 0.7], [0.2, 0.1], [0.1, 0.3, 0.2], [0.5, 0.5]]),
        ("ranks", [[2, 1], [1, 2], [3, 1, 2], [1, 1]]),
        ("rankings", [[1, 0], [0, 1], [2, 0, 1], [0, 0]]),
        ("ratings", ["[1, 5]", "[5, 1]", "[1, 5, 4]", "[3, 3]"]),
    ],
)
def test_best_rated_answer_of_a_list_is_offered_before_the_first(name, values):
    rows = rows_of(problem=QUESTIONS, generations=ANSWERS, **{name: values})
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert f"{name!r} may say which of the answers in 'generations' is the best" in found.evidence
    best = found.candidates[0]
    assert best.columns["correct"] == name
    for row, answer in zip(rows, [*PROSE[:3], WRONG], strict=True):
        assert best.parse(row)[-1]["content"] == answer
