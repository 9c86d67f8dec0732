"""Lists of messages under other names: read as turns, offered with roles, or asked about; raw JSON is never first."""

import json

import pytest

from core.data.formats import Reading
from core.data.formats.detect import detect
from core.data.formats.values import nested

ASKED = [f"My printer number {i} does not print. What can I do?" for i in range(6)]
GIVEN = [f"Please restart the printer number {i}." for i in range(6)]


def tickets(name, make, **more):
    """Return rows whose column `name` holds two messages, a question and its answer, made by `make(text, asks)`."""
    return [{"id": i, **more, name: [make(ASKED[i], True), make(GIVEN[i], False)]} for i in range(6)]


OFFERED = {
    "Zendesk": tickets("comments", lambda text, asks: {
        "author": {"role": "end-user" if asks else "agent", "name": "Al"}, "body": text, "public": True}),
    "Zendesk beside its subject": tickets("comments", lambda text, asks: {
        "author": {"role": "end-user" if asks else "agent"}, "body": text}, subject="A", description="It is broken."),
    "a nested type": tickets("conversation_parts", lambda text, asks: {
        "body": text, "author": {"type": "user" if asks else "admin", "id": "7"}}),
    "a sender": tickets("thread", lambda text, asks: {"sender": "customer" if asks else "agent", "body": text}),
    "a type of sender": tickets("messages", lambda text, asks: {
        "sender": "Al" if asks else "Bo", "sender_type": "visitor" if asks else "operator", "msg": text}),
    "a participant": tickets("transcript", lambda text, asks: {
        "participant": "Customer" if asks else "Agent", "text": text, "ts": 1.5}),
    "a usual role beside another": tickets("log", lambda text, asks: {
        "who": "user" if asks else "support", "message": text}),
}  # fmt: skip
SURE = {
    "flags": tickets("conversations", lambda text, asks: {"incoming": asks, "body_text": text}),
    "usual roles in an object": tickets("posts", lambda text, asks: {
        "author": {"role": "user" if asks else "assistant"}, "body": text}),
    "a usual role beside a name": tickets("posts", lambda text, asks: {
        "sender": "Al", "role": "user" if asks else "assistant", "body": text}),
}  # fmt: skip


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("rows", OFFERED.values(), ids=OFFERED)
def test_detect_helpdesk_offers_the_conversation_with_its_roles(rows, as_text):
    if as_text:
        rows = [{key: json.dumps(v) if isinstance(v, list) else v for key, v in row.items()} for row in rows]
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert "the roles are" in found.evidence
    messages = found.candidates[0].parse(rows[0])
    assert [(m["role"], m["content"]) for m in messages] == [("user", ASKED[0]), ("assistant", GIVEN[0])]


@pytest.mark.parametrize("rows", SURE.values(), ids=SURE)
def test_detect_messages_under_other_names_are_turns(rows):
    found = detect(rows)
    assert found.is_sure, found.evidence
    messages = found.reading.parse(rows[0])
    assert [(m["role"], m["content"]) for m in messages] == [("user", ASKED[0]), ("assistant", GIVEN[0])]


UNKNOWN = {
    "only ids of authors": tickets("comments", lambda text, asks: {"author_id": 7, "body": text}, subject="A b c"),
    "no author": tickets("comments", lambda text, asks: {"body": text, "score": None}, description="It is all broken."),
    "names of people": tickets("posts", lambda text, asks: {"author": "Al" if asks else "Bo", "body": text}),
}  # fmt: skip


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("rows", UNKNOWN.values(), ids=UNKNOWN)
def test_detect_messages_without_roles_ask_and_never_offer_json_first(rows, as_text):
    if as_text:
        rows = [{key: json.dumps(v) if isinstance(v, list) else v for key, v in row.items()} for row in rows]
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    assert "who asks" in found.evidence or "no usual roles" in found.evidence
    for reading in found.candidates[:1]:
        texts = [row[reading.columns.get("text", "")] for row in rows if reading.format == "text" and reading.columns]
        assert all(isinstance(nested(text), str) for text in texts)


@pytest.mark.parametrize("flag", [{"public": False}, {"private": True}, {"is_internal": True}])
def test_read_internal_notes_are_left_out_and_reported(flag):
    turns = [{"role": "user", "body": "Why?"}, {"role": "assistant", "body": "A secret.", **flag}]
    parsed = Reading(format="messages").read({"messages": [*turns, {"role": "assistant", "body": "So."}]})
    assert [m["content"] for m in parsed.messages] == ["Why?", "So."]
    assert any("internal notes" in note for note in parsed.notes)


DELETED = {"body": "[deleted]", "score": 9, "replies": []}
FORUMS = {
    "a tree": lambda best: {"comments": [DELETED, {"body": best, "score": 5, "replies": [{"body": "Thanks!"}]},
                                         {"body": "No idea.", "score": 1, "replies": []}]},
    "an emptied comment": lambda best: {"comments": [{"body": "", "score": 9}, {"body": best, "score": 5}]},
    "a flat row": lambda best: {"best_answer": best, "score": 5},
    "a top comment": lambda best: {"top_comment": best, "score": 5},
}  # fmt: skip


@pytest.mark.parametrize("make", FORUMS.values(), ids=FORUMS)
def test_detect_forum_offers_the_best_answer(make):
    posts = [f"Why does the tide number {i} turn so early?" for i in range(6)]
    rows = [{"title": post, "selftext": f"I have wondered: {post}", **make(f"Since {post}")} for post in posts]
    found = detect(rows)
    assert found.reading.format == "undecided", found.evidence
    messages = [m for reading in found.candidates[:4] for m in reading.parse(rows[0])]
    assert f"Since {posts[0]}" in [m["content"] for m in messages if m["role"] == "assistant"]
    assert not any(m["content"].startswith(("[", "{")) for m in messages)
