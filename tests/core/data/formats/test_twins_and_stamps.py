"""Plain texts are used in place of their HTML, and the date and the author before a comment are left out."""

import pytest

from core.data.formats import Reading
from core.data.formats.detect import detect
from core.data.formats.html_twins import plain_field
from core.data.formats.stamps import are_stamped, has_more_stamps, without_stamp
from tests.helpers.question_rows import PROSE, QUESTIONS, rows_of

HTML = [f"<div>{text.replace('&', '&amp;')}<br></div>" for text in PROSE]


@pytest.mark.parametrize(("html", "plain"), [("answer", "answer_text"), ("answer_html", "answer"), ("body", "text")])
def test_detect_reads_no_html_where_its_text_is_in_another_column(html, plain):
    found = detect(rows_of(question=QUESTIONS, **{html: HTML, plain: PROSE}))
    assert found.candidates
    assert all(html not in one.columns.values() for one in found.candidates)
    first = found.candidates[0].parse(rows_of(question=QUESTIONS, **{html: HTML, plain: PROSE})[0])
    assert first[-1]["content"] == PROSE[0]


def test_detect_reads_html_that_no_other_column_repeats():
    found = detect(rows_of(question=QUESTIONS, answer=HTML, note=[text[::-1] for text in PROSE]))
    assert (found.reading.format, found.reading.columns) == ("prompt_completion", {})


@pytest.mark.parametrize("beside", [{"body_text": "Yes & no."}, {"plain": "Yes & no. "}, {"content": "yes &\nno."}])
def test_plain_field_of_a_turn_is_used(beside):
    turn = {"body": "<p>Yes &amp; no.</p>", **beside}
    assert plain_field(turn, "body") == next(iter(beside))


@pytest.mark.parametrize(
    "turn",
    [
        {"body": "<p>Yes.</p>", "text": "No."},
        {"body": "Yes.", "text": "Yes."},
        {"body": "<p>Yes.</p>", "html": "<b>Yes.</b>"},
        {"body": "<p></p>", "text": ""},
    ],
)
def test_field_without_a_twin_is_used_itself(turn):
    assert plain_field(turn, "body") == "body"


STAMPS = {
    "Jira": "05/Mar/24 9:30 AM;lena.k;",
    "Jira in ISO": "2024-03-05 09:30;lena.k;",
    "ServiceNow": "2024-03-05 09:30:12 - Lena Kunde (Additional comments)\n",
    "a chat": "[2024-03-05 09:30] Lena: ",
}


@pytest.mark.parametrize("name", STAMPS)
def test_date_and_author_of_comments_are_left_out(name):
    rows = rows_of(question=QUESTIONS, answer=[STAMPS[name] + text for text in PROSE])
    reading = Reading(format="prompt_completion")
    marks = reading.find_marks(rows)
    parsed = [reading.read(row, marks) for row in rows]
    assert are_stamped([row["answer"] for row in rows])
    assert [one.messages[-1]["content"] for one in parsed] == PROSE
    assert all("the date and the author at the beginning of an answer are left out" in one.notes for one in parsed)


@pytest.mark.parametrize(
    "text", ["In 2024-03-05;a;b", "05/Mar/24 was a Tuesday; it rained; a lot.", "9:30 AM;lena;x", "[note] Lena: hello"]
)
def test_text_with_a_date_is_unchanged(text):
    assert without_stamp(text) == text


def test_several_comments_in_a_text_stay():
    text = f"{STAMPS['a chat']}Hello.\n{STAMPS['a chat']}Still there?"
    assert has_more_stamps(text)
    assert without_stamp(text) == text
