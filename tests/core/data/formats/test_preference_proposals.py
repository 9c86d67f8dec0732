"""Of two answers, the one that another column chooses is trained on, row by row."""

import pytest

from core.data.formats import Reading, UnusableRow
from core.data.formats.answer_choice import chooses_first, marks_of
from core.data.formats.detect import detect
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of

OTHERS = ["Nobody knows that.", "Look it up yourself.", "I want to know, too.", "It depends on many things."]
# The two columns, the column that chooses, its values, and the index of the better answer under each reading offered.
CHOICES = {
    "a label of 0 and 1": (("answer_A", "answer_B"), "labels", [1, 0, 0, 1], [[0, 1, 1, 0], [1, 0, 0, 1]]),
    "a label in numbers with a point": (("answerA", "answerB"), "label", [1.0, 0.0, 1.0, 1.0],
                                        [[0, 1, 0, 0], [1, 0, 1, 1]]),
    "a flag": (("response_a", "response_b"), "better", [True, False, False, True], [[0, 1, 1, 0], [1, 0, 0, 1]]),
    "letters": (("response_a", "response_b"), "outcome", ["A", "b", "B", "a"], [[0, 1, 1, 0]]),
    "names of models": (("response_a", "response_b"), "winner", ["model_a", "model_b", "model_b", "model_a"],
                        [[0, 1, 1, 0]]),
    "names of columns": (("output_1", "output_2"), "chosen", ["output_1", "output_2", "output_2", "output_1"],
                         [[0, 1, 1, 0]]),
    "1 and 2": (("output_1", "output_2"), "preference", [1, 2, 2, 1], [[0, 1, 1, 0]]),
    "1 and 2 of letters": (("output_a", "output_b"), "preference", ["1", "2", "2", "1"], [[0, 1, 1, 0]]),
    "an index": (("response_0", "response_1"), "better_response_id", [0, 1, 1, 0], [[0, 1, 1, 0]]),
    "an index of 1 and 2": (("sol1", "sol2"), "label", [0, 1, 1, 0], [[1, 0, 0, 1], [0, 1, 1, 0]]),
}  # fmt: skip


def rows_with(pair, name, values):
    first, second = pair
    return rows_of(**{"id": range(4), "question": QUESTIONS, first: PROSE, second: OTHERS, name: values})


@pytest.mark.parametrize("case", CHOICES)
def test_detect_offers_two_answers_with_the_column_that_chooses_first(case):
    pair, name, values, expected = CHOICES[case]
    rows = rows_with(pair, name, values)
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert f"{name!r} may say which of {pair[0]!r} and {pair[1]!r} is the better answer" in found.evidence
    offered = [reading for reading in found.candidates if reading.format == "preference"]
    assert found.candidates[: len(offered)] == offered
    for reading, better in zip(offered, expected, strict=True):
        parsed = [reading.read(row) for row in rows]
        answers = [one.messages[-1]["content"] for one in parsed]
        assert answers == [(PROSE, OTHERS)[index][number] for number, index in enumerate(better)]
        assert [one.messages[0]["content"] for one in parsed] == QUESTIONS
        for one, value, index in zip(parsed, values, better, strict=True):
            assert f"{name!r} is {value}, so the answer in {pair[index]!r} is used" in one.notes
            assert one.unread == ["id"]


@pytest.mark.parametrize("value", ["tie", "a tie", "both_bad", "neither", "C", 3, -1, "model_a model_b"])
def test_row_whose_choice_names_neither_answer_is_left_out(value):
    columns = {"chosen": "response_a", "rejected": "response_b", "choice": "winner"}
    row = {"prompt": "Why?", "response_a": "So.", "response_b": "No.", "winner": value}
    with pytest.raises(UnusableRow, match="chooses neither 'response_a' nor 'response_b'"):
        Reading(format="preference", columns=columns).parse(row)
    for row["winner"] in (None, "", "null"):
        with pytest.raises(UnusableRow, match="'winner' is empty"):
            Reading(format="preference", columns=columns).parse(row)


@pytest.mark.parametrize(
    "columns",
    [
        {"sentence1": PROSE, "sentence2": OTHERS, "label": [0, 1, 0, 1]},
        {"question1": QUESTIONS, "question2": PROSE, "is_duplicate": [0, 1, 0, 1]},
        {"answer_1": PROSE, "answer_2": OTHERS, "answer_3": QUESTIONS, "label": [1, 2, 1, 2]},
        {"answer_1": PROSE, "answer_2": OTHERS, "verified": [1, 0, 1, 0]},
        {"answer_1": PROSE, "answer_2": OTHERS, "language": ["en", "de", "en", "de"]},
        {"answer_1": PROSE, "answer_2": OTHERS, "label": ["good", "bad", "good", "bad"]},
    ],
)
def test_detect_offers_no_choice_between_texts_that_are_no_two_answers(columns):
    candidates = detect(rows_of(topic=QUESTIONS, **columns)).candidates
    assert all("choice" not in reading.columns for reading in candidates)


@pytest.mark.parametrize(
    ("name", "other", "marks"),
    [
        ("human_ref_A", "human_ref_B", ("a", "b")),
        ("answer1", "answer2", ("1", "2")),
        ("model_a_response", "model_b_response", ("a", "b")),
        ("answer", "answer_b", None),
        ("answer_a", "response_b", None),
        ("answer_de", "answer_en", None),
        ("a", "b", None),
        ("answer", "answer", None),
    ],
)
def test_marks_of_two_names_are_letters_or_numbers(name, other, marks):
    assert marks_of(name, other) == marks


def test_number_chooses_by_its_meaning_and_not_by_the_names():
    assert [chooses_first(value, "answer_2", "answer_1") for value in (1, 0, "2", True, "answer_1")] == [
        True, False, False, True, False,
    ]  # fmt: skip


SCORED = [1.0, -0.5, 0.0, 2.0]


@pytest.mark.parametrize(
    ("pair", "scores"),
    [(("answer_0", "answer_1"), ("score_0", "score_1")), (("response_A", "response_B"), ("rating_A", "rating_B"))],
)
@pytest.mark.parametrize("write", [lambda value: value, str])
def test_detect_offers_the_better_rated_of_two_answers(pair, scores, write):
    # WebGPT's comparisons, whose questions are objects.
    asked = [{"dataset": "eli5", "full_text": question} for question in QUESTIONS]
    rows = rows_of(**{"question": asked, pair[0]: PROSE, pair[1]: OTHERS, scores[0]: list(map(write, SCORED)),
                      scores[1]: [write(-one) for one in SCORED], "tokens_0": [{"prefix": [1]}] * 4})  # fmt: skip
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert f"{scores[0]!r} and {scores[1]!r} may rate" in found.evidence
    reading = found.candidates[0]
    answers = [PROSE[0], OTHERS[1], None, PROSE[3]]
    for row, question, answer in zip(rows, QUESTIONS, answers, strict=True):
        if answer is None:
            with pytest.raises(UnusableRow, match="rate neither answer higher"):
                reading.parse(row)
        else:
            assert [one["content"] for one in reading.parse(row)] == [question, answer]
    assert not any(one.columns.get("prompt") in pair for one in found.candidates)


def test_detect_offers_the_winner_of_two_conversations():
    # Chatbot Arena.
    def talk(question, answer):
        return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    first, second = (list(map(talk, QUESTIONS, texts)) for texts in (PROSE, OTHERS))
    rows = rows_of(model_a=["x"] * 4, model_b=["y"] * 4, winner=["model_a", "model_b", "tie", "model_a"],
                   conversation_a=first, conversation_b=second)  # fmt: skip
    found = detect(rows)
    assert found.reading.format == "undecided"
    reading = found.candidates[0]
    assert reading.parse(rows[0]) == first[0]
    assert reading.parse(rows[1]) == second[1]
    with pytest.raises(UnusableRow, match="chooses neither"):
        reading.parse(rows[2])
