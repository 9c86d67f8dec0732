"""Ratings beside the answers, drafts and discarded answers: the page asks, and only finished answers are trained on."""

import pytest

from core.data.formats import Reading, UnusableRow
from core.data.formats.detect import detect
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of


def rated(**columns):
    return rows_of(prompt=QUESTIONS, response=PROSE, **columns)


ASKED = {
    "HelpSteer2": rated(helpfulness=[0, 4, 1, 3], correctness=[1, 4, 0, 3], coherence=[4] * 4, verbosity=[1, 2, 1, 2]),
    "a score": rated(score=[1, 2, 3, 4]),
    "a share": rated(quality_score=[0.1, 0.9, 0.5, 0.7]),
    "a reward": rated(reward=[-12.5, 3.25, 0.5, 40.0]),
    "numbers in a CSV file": rated(rating=["1", "5", "2", "4"]),
    "a decimal comma": rated(score=["0,5", "1,0", "0,25", "0,75"]),
    "fields of an object": rated(ratings=[{"helpfulness": i, "note": "x"} for i in (1, 5, 2, 4)]),
    "beside a conversation": rows_of(
        messages=[[{"role": "user", "content": q}, {"role": "assistant", "content": a}]
                  for q, a in zip(QUESTIONS, PROSE, strict=True)],
        quality=[1, 5, 2, 3],
    ),
    "in another language": rows_of(Frage=QUESTIONS, Antwort=PROSE, Bewertung=["1", "5", "2", "3"]),
}  # fmt: skip
SURE = {
    "one value": rated(score=[5] * 4),
    "many votes": rated(score=[12, 340, 57, 8]),
    "words": rated(quality=["fine", "fine and good", "fine", "it is fine"]),
    "lengths": rated(verbosity=[1, 2, 3, 4], complexity=[1, 2, 3, 4]),
    "ids": rated(score_id=["a1", "b2", "c3", "d4"]),
    "few values": rated(score=[1, None, None, None]),
}  # fmt: skip


@pytest.mark.parametrize("rows", ASKED.values(), ids=ASKED)
def test_detect_rated_answers_ask_and_name_the_columns(rows):
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    assert "may rate the answers, from" in found.evidence
    assert found.candidates[0].format != "text"


@pytest.mark.parametrize("rows", SURE.values(), ids=SURE)
def test_detect_other_numbers_stay_sure(rows):
    assert detect(rows).is_sure


def response(*pairs):
    return [{"value": text, "status": status, "user_id": "7"} for text, status in pairs]


FINISHED = {
    "submitted": response(("Right.", "submitted")),
    "a draft before it": response(("No.", "draft"), ("Right.", "submitted")),
    "discarded before it": response(("No.", "discarded"), ("No.", "pending"), ("Right.", "Submitted")),
    "completed": response(("Right.", "completed")),
}
UNFINISHED = {
    "a draft": response(("No.", "draft")),
    "discarded": response(("No.", "discarded"), ("No.", "draft")),
    "one object": {"value": "No.", "status": "rejected"},
}


@pytest.mark.parametrize("value", FINISHED.values(), ids=FINISHED)
def test_read_argilla_learns_the_submitted_answer(value):
    parsed = Reading(format="prompt_completion").read({"prompt": "Why?", "response": value})
    assert parsed.messages[-1]["content"] == "Right."
    assert len(value) == 1 or any("drafts or discarded" in note for note in parsed.notes)


@pytest.mark.parametrize("value", UNFINISHED.values(), ids=UNFINISHED)
def test_row_without_a_submitted_answer_is_unusable(value):
    with pytest.raises(UnusableRow, match="cancelled, drafts or discarded"):
        Reading(format="prompt_completion").parse({"prompt": "Why?", "response": value})


def test_detect_status_column_offers_only_submitted_answers_first():
    rows = rated(**{"response.status": ["submitted", "draft", "discarded", "submitted"]})
    found = detect(rows)
    assert found.reading.format == "undecided"
    first = found.candidates[0]
    assert first.parse(rows[0])[-1]["content"] == PROSE[0]
    for row in rows[1:3]:
        with pytest.raises(UnusableRow, match="bad answer"):
            first.parse(row)


def test_detect_answers_come_before_suggestions():
    rows = rows_of(**{"prompt": QUESTIONS, "reply.suggestion": PROSE, "reply.text": [f"So {text}" for text in PROSE]})
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert found.candidates[0].parse(rows[0])[-1]["content"] == f"So {PROSE[0]}"


@pytest.mark.parametrize("values", [["0,5", "1,0", "0,0", "1,0"], ["0.5", "1.0", "0.0", "1.0"]])
def test_detect_weights_with_either_decimal_sign_ask(values):
    found = detect(rated(loss_weight=values))
    assert found.reading.format == "undecided"
    assert "'loss_weight' may say which answers are" in found.evidence
