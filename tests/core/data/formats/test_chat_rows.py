"""Chat exports with one message per row are asked about; texts of authors are plain text."""

import pytest

from core.data.formats import Reading, UnusableRow
from core.data.formats.detect import detect

TEXTS = [
    "How do tides come about?", "The moon pulls the water.", "And at night?", "The same, it does not sleep.",
    "Who keeps the light then?", "The keeper does, alone.", "Is he paid well?", "In fish, mostly, I hear.",
]  # fmt: skip
PAIR = ["Ann", "Bob"] * 4
TIMES = [f"2024-01-01T00:0{minute}:00" for minute in range(8)]


def rows_of(**columns):
    return [{name: values[i] for name, values in columns.items()} for i in range(8)]


CHATS = {
    "Slack": rows_of(type=["message"] * 8, user=["U00", "U01"] * 4, text=TEXTS, ts=[f"1700{i}.1" for i in range(8)]),
    "Discord": rows_of(AuthorID=["11", "22"] * 4, Author=PAIR, Date=TIMES, Content=TEXTS, Attachments=[""] * 8),
    "author and timestamp": rows_of(author=PAIR, content=TEXTS, timestamp=TIMES),
    "WhatsApp": rows_of(date=TIMES, name=PAIR, message=TEXTS),
    "tweets of customers": rows_of(tweet_id=list(range(8)), author_id=["115712", "sprintcare"] * 4, text=TEXTS,
                                   created_at=TIMES, in_response_to_tweet_id=[None, *range(7)]),
    "Discord's JSON": rows_of(type=["Default"] * 7 + ["Reply"], timestamp=TIMES, content=TEXTS, isPinned=[False] * 8,
                              author=[{"id": name, "name": name, "isBot": name == "Bob"} for name in PAIR]),
    "SillyTavern": [{"user_name": "Ann", "chat_metadata": {}}, *rows_of(
        name=PAIR, is_user=[True, False] * 4, send_date=TIMES, mes=TEXTS, extra=[{}] * 8)],
    "Discord's replies": [
        {"type": "Reply", "timestamp": TIMES[i], "content": TEXTS[i], "author": {"id": PAIR[i]}}
        | ({"reference": {"messageId": "1"}} if i % 2 else {"isPinned": False}) for i in range(8)],
    "IRC": rows_of(time=TIMES, nick=["ann", "ann", "bob", "cleo", "bob", "ann", "cleo", "cleo"], msg=TEXTS),
    "Teams": rows_of(from_name=PAIR, body=TEXTS, reply_to_id=[None, *range(7)]),
    "lines of a recording": rows_of(start_time=TIMES, end_time=TIMES, speaker=["host", "guest"] * 4, text=TEXTS),
    "speakers without a time": rows_of(speaker=PAIR, text=TEXTS, scene=[1, 2] * 4),
    "a channel in which most write once": rows_of(Author=["Ann", "Bo", "Cy", "Ann", "Di", "Ed", "Fi", "Gus"],
                                                  Date=TIMES, Content=TEXTS, Attachments=[""] * 8),
    "speeches": rows_of(speaker=["Ms Berg", "Mr Lund"] * 4, party=["Left", "Right"] * 4, speech=TEXTS),
    "a room": rows_of(sender=PAIR, message=TEXTS, room=["general"] * 8),
}  # fmt: skip


@pytest.mark.parametrize("name", CHATS)
def test_detect_chat_export_is_asked_about(name):
    found = detect(CHATS[name])
    assert found.reading.format == "undecided", found.evidence
    assert "Each row is one message" in found.evidence
    assert all(one.format != "label" for one in found.candidates)


TEXTS_OF_AUTHORS = {
    "articles": rows_of(author=PAIR, date=TIMES, text=[text * 20 for text in TEXTS]),
    "reviews": rows_of(user_id=[f"u{i}x" for i in range(8)], timestamp=TIMES, text=TEXTS),
    "one diary": rows_of(author=["Ann"] * 8, date=TIMES, text=TEXTS),
    "no time": rows_of(author=PAIR, text=[f"{text} {text}" for text in TEXTS]),
    "sorted by author": rows_of(author=["Ann"] * 4 + ["Bob"] * 4, date=TIMES, text=[text * 2 for text in TEXTS]),
}


@pytest.mark.parametrize("name", TEXTS_OF_AUTHORS)
def test_detect_texts_of_authors_are_no_chat(name):
    assert "one message" not in detect(TEXTS_OF_AUTHORS[name]).evidence


MESSAGES = [{"from": name, "text": text} for name, text in zip(PAIR, TEXTS, strict=True)]


def test_detect_chat_of_people_asks_for_their_roles():
    found = detect([{"name": "Ann", "type": "personal_chat", "messages": MESSAGES}])
    assert found.reading.format == "undecided"
    assert "Ann = user, Bob = assistant" in found.evidence
    assert [reading.format for reading in found.candidates] == ["sharegpt"]


def test_read_text_with_marked_pieces_joins_them_as_they_stand():
    pieces = [
        "Is ",
        {"type": "bold", "text": "this"},
        {"type": "text_link", "text": " it", "href": "https://x.org"},
        "?",
    ]
    turns = [{"from": "Ann", "text": pieces}, {"from": "Bob", "text": "Yes."}]
    read = Reading(format="messages", roles={"ann": "user", "bob": "assistant"}).read({"messages": turns})
    assert [message["content"] for message in read.messages] == ["Is this it?", "Yes."]
    assert read.notes == ["the field 'href' of a part of a turn is not used"]


def test_read_refused_row_names_its_roles():
    row = {"messages": MESSAGES}
    with pytest.raises(UnusableRow, match="'Bob'") as refused:
        Reading(format="messages", roles={"ann": "user"}).read(row)
    assert refused.value.applied == {("roles", "ann")}


def test_messages_with_the_number_of_their_conversation_are_no_pairs():
    # EmpatheticDialogues: a row is one utterance, and prompt is the situation.
    rows = rows_of(conv_id=["a"] * 4 + ["b"] * 4, utterance_idx=[1, 2, 3, 4] * 2, prompt=["I saw the sea again."] * 8,
                   speaker_idx=[0, 1] * 4, utterance=TEXTS)  # fmt: skip
    found = detect(rows)
    assert "Each row is one message ('utterance') of the conversation in 'conv_id'" in found.evidence
    assert all(one.format == "text" for one in found.candidates)
