"""Speakers without roles are named by their order, and a first message in a column of its own opens a conversation."""

import pytest

from core.data.formats import Reading
from core.data.formats.detect import detect

ASKED = [f"My printer number {i} does not print. What can I do?" for i in range(6)]
GIVEN = [f"Please restart the printer number {i}." for i in range(6)]
SPEAKERS = {"(first speaker)": "user", "(other speakers)": "assistant"}


def rows_of(make):
    return [make(i, ASKED[i], GIVEN[i]) for i in range(6)]


def user(name, kind="user"):
    return {"type": kind, "id": name, "name": name.title()}


OFFERED = {
    "Zendesk": rows_of(lambda i, q, a: {
        "id": i, "subject": "A", "description": q, "requester_id": 70 + i, "comments": [
            {"author_id": 70 + i, "body": q, "public": True}, {"author_id": 5, "body": a, "public": True}]}),
    "a ticket that the agent opened": rows_of(lambda i, q, a: {
        "requester_id": 70 + i, "comments": [{"author_id": 70 + i, "body": q}, {"author_id": 5, "body": a}]}),
    "GitHub": rows_of(lambda i, q, a: {
        "number": i, "title": "A", "body": q, "user": {"login": f"al{i}"}, "comments": [
            {"user": {"login": "bo"}, "body": a, "author_association": "OWNER"}]}),
    "Intercom": rows_of(lambda i, q, a: {
        "type": "conversation", "id": str(i), "source": {"body": q, "author": user("al")}, "conversation_parts": {
            "type": "conversation_part.list", "total_count": 2, "conversation_parts": [
                {"part_type": "assignment", "body": None, "author": user("bo", "admin")},
                {"part_type": "comment", "body": a, "author": user("bo", "admin")}]}}),
    "MultiWOZ 2.1": rows_of(lambda i, q, a: {
        "id": f"SNG{i}.json", "goal": {"taxi": {}}, "log": [{"text": q, "metadata": {}}, {"text": a, "metadata": {}}]}),
    "MultiWOZ 2.2": rows_of(lambda i, q, a: {
        "dialogue_id": f"PMUL{i}.json", "turns": [{"turn_id": "0", "speaker": "USER", "utterance": q},
                                                  {"turn_id": "1", "speaker": "SYSTEM", "utterance": a}]}),
    "names of people": rows_of(lambda i, q, a: {
        "posts": [{"author": f"Al {i}", "body": q}, {"author": "Bo", "body": a}]}),
    "a text before its comments": rows_of(lambda i, q, a: {"post": q, "comments": [{"body": a}]}),
}  # fmt: skip


@pytest.mark.parametrize("rows", OFFERED.values(), ids=OFFERED)
def test_conversation_without_roles_asks_and_offers_the_turns_first(rows):
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    for row, question, answer in zip(rows, ASKED, GIVEN, strict=True):
        messages = found.candidates[0].parse(row)
        assert [(one["role"], one["content"]) for one in messages] == [("user", question), ("assistant", answer)]


def read(turns, roles=SPEAKERS, **columns):
    row = {"messages": turns, **columns}
    reading = Reading(format="messages", columns={name: name for name in columns}, roles=roles)
    return [(one["role"], one["content"]) for one in reading.parse(row)]


def said(*pairs):
    return [{"author_id": who, "body": text} for who, text in pairs]


def test_first_speaker_is_the_same_author_in_all_turns():
    turns = said((7, "Why?"), (5, "So."), (6, "Also so."), (7, "Thanks."))
    assert [role for role, _ in read(turns)] == ["user", "assistant", "assistant", "user"]


def test_asker_counts_as_the_first_speaker():
    assert [role for role, _ in read(said((5, "Hello."), (7, "Why?")), asker=7)] == ["assistant", "user"]
    assert [role for role, _ in read(said((5, "Hello."), (7, "Why?")), asker={"id": 7})] == ["assistant", "user"]


@pytest.mark.parametrize(
    ("opening", "expected"),
    [
        ("Before.", [("user", "Before."), ("assistant", "Why?"), ("assistant", "So.")]),
        (" Why? ", [("user", "Why?"), ("assistant", "So.")]),
        (None, [("user", "Why?"), ("assistant", "So.")]),
        ({"author_id": 7, "body": "Before."}, [("user", "Before."), ("user", "Why?"), ("assistant", "So.")]),
        ({"body": "Before."}, [("user", "Before."), ("user", "Why?"), ("assistant", "So.")]),
    ],
)
def test_opening_comes_before_the_turns_once(opening, expected):
    assert read(said((7, "Why?"), (5, "So.")), opening=opening) == expected


def test_usual_role_is_kept_beside_speakers_by_order():
    turns = [{"author": "Al", "text": "Why?"}, {"author": "bot", "text": "Wait."}, {"author": "Bo", "text": "So."}]
    assert [role for role, _ in read(turns)] == ["user", "assistant", "assistant"]


def test_turns_alternate_where_roles_are_named_by_position():
    turns = [{"text": "Why?"}, {"text": "So."}, {"text": "Really?"}]
    roles = {"(odd turns)": "assistant", "(even turns)": "user"}
    assert [role for role, _ in read(turns, roles)] == ["assistant", "user", "assistant"]


def test_lists_of_answers_are_no_conversation():
    answers = [{"user": "al", "body": "So.", "score": 3}, {"user": "bo", "body": "No.", "score": 1}]
    rows = [{"question": question, "answers": answers} for question in ASKED]
    assert all(one.format != "messages" for one in detect(rows).candidates)


def test_system_prompt_before_a_question_is_no_answer():
    rows = [{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": q}]} for q in ASKED]
    assert all("system" not in one.roles for one in detect(rows).candidates)


def test_bot_is_an_author_by_its_number():
    turns = [{"user": "U1", "text": "Why?"}, {"bot_id": "B1", "text": "So."}]
    assert [role for role, _ in read(turns)] == ["user", "assistant"]
