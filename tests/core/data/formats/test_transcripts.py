"""Transcripts in one cell are offered as turns, with the likely roles of their speakers."""

import pytest

from core.data.formats import UnusableRow
from core.data.formats.detect import detect
from core.data.formats.transcripts import is_transcript, parse_transcript

TURNS = ["My line is down.", "Is the lamp red?", "It is.", "Then hold the button."]
MEANT = list(zip(["user", "assistant"] * 2, TURNS, strict=True))
MARKS = {
    "times in brackets": ("[00:00:07] {}: ", "Customer", "Agent"),
    "times before them": ("00:07.120 {}: ", "Caller", "Operator"),
    "times behind them": ("{} (0:07): ", "Patient", "Doctor"),
    "a range of times": ("[00:00:01.200 --> 00:00:04.900] {}: ", "Client", "Therapist"),
    "dates": ("2026-03-01 10:07:11 - {}: ", "Visitor", "Support"),
    "times at the end of the line": ("{}  00:00:07\n", "Student", "Teacher"),
    "no times": ("{}: ", "CUSTOMER", "AGENT"),
    "bold": ("**{}:** ", "Interviewer", "Candidate"),
    "names in brackets": ("{} (Mia K.): ", "Customer", "Agent"),
    "letters of a card": ("{}: ", "Q", "A"),
    "numbers": ("[0:07] {}: ", "SPEAKER_00", "SPEAKER_01"),
}


def transcript(mark, *sides):
    return "\n".join(mark.format(sides[index % 2]) + turn for index, turn in enumerate(TURNS))


def rows_of(*text, count=6):
    return [
        {"call_id": f"C{i}", "agent": ["Mia", "Tom"][i % 2], "transcript": transcript(*text) + i * "!"}
        for i in range(count)
    ]


@pytest.mark.parametrize("name", MARKS)
def test_transcript_is_offered_as_turns_first(name):
    rows = rows_of(*MARKS[name])
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert "as in a transcript; the roles may be" in found.evidence
    assert [(m["role"], m["content"]) for m in found.candidates[0].parse(rows[0])] == MEANT


def test_transcript_that_begins_with_the_agent_leaves_the_greeting_out_with_a_note():
    notes = []
    text = (
        f"[0:01] Agent: Hello.\n[0:02] Agent: I am Mia.\n{transcript(*MARKS['times in brackets'])}\n[0:9] Agent: Bye."
    )
    roles = {"agent": "assistant", "customer": "user"}
    messages = parse_transcript(text, notes.append, roles.get)
    assert [(m["role"], m["content"]) for m in messages] == [
        *MEANT[:-1],
        ("assistant", f"{TURNS[-1]}\n[0:9] Agent: Bye."),
    ]
    assert any("greeting, is left out" in note for note in notes)


def test_turns_of_one_side_that_follow_each_other_are_one():
    text = "Customer: It is red.\nCustomer: Since noon.\nAgent 1: I see.\nAgent 2: Hold the button."
    roles = {"agent 1": "assistant", "agent 2": "assistant", "customer": "user"}
    messages = parse_transcript(text, print, roles.get)
    assert [m["content"] for m in messages] == ["It is red.\nSince noon.", "I see.\nHold the button."]


def test_speaker_without_a_role_is_named():
    with pytest.raises(UnusableRow, match="'customer'; name it under Roles"):
        parse_transcript("Customer: Hi\nAgent: Hello", print)


@pytest.mark.parametrize(
    "text",
    [
        "Contact: info@example.org\nSupport: 9 to 5",
        "Customer: Acme\nOrder: 12\nTotal: 9",
        "The customer: he is right.",
        "USER: q ASSISTANT: a",
        "Agent: one\nAgent: two",
    ],
)
def test_other_lines_are_no_transcript(text):
    assert not is_transcript(text)


@pytest.mark.parametrize("piece", ["\n", " ", "[", "00:00 ", "Agent ", "Agent (", "\nAgent 00:0", "* [", "9" * 10])
def test_long_text_is_split_in_linear_time(piece):
    assert not is_transcript(piece * 200_000)
