"""Conversations that a browser opens, starts and lists."""

import json

import pytest

from core.access.roles import Caller, Role, acting
from core.chat import conversation
from core.chat.types import GenerationResult
from core.errors import StudioError


def test_open_chat_second_visit_finds_the_same_conversation(parts):
    opened = parts.chat_list.open_chat("")
    assert json.loads(opened["my_chats"]) == [opened["chat_id"]]
    assert parts.chat_list.open_chat(opened["my_chats"]) == opened


@pytest.mark.parametrize("my_chats", [
    None, "", "{", "7", "null", '{"a": 1}', "[7, null]", f'["{"0" * 32}"]', '["../runs"]', "[" * 5000,
])  # fmt: skip
def test_open_chat_invalid_storage_creates_a_new_conversation(parts, chat, my_chats):
    other = chat()
    opened = parts.chat_list.open_chat(my_chats)
    assert json.loads(opened["my_chats"])[0] == opened["chat_id"] != other


def test_new_chat_keeps_lanes_and_settings_and_lists_the_earlier_one(parts, tuned, chat):
    tuned()
    chat_id = chat(seed=4)
    mine = json.dumps([chat_id])
    unchanged = {"my_chats": mine, "chat_id": chat_id}
    assert parts.chat_list.new_chat(chat_id, mine) == unchanged, "an empty conversation is new already"
    with parts.conversations.change(chat_id) as earlier:
        earlier.ask("Hi?")
    opened = parts.chat_list.new_chat(chat_id, mine)
    new_id = opened["chat_id"]
    assert json.loads(opened["my_chats"]) == [new_id, chat_id]
    created = parts.conversations.find(new_id)
    assert (created.turns, created.settings["seed"], created.lanes) == ([], 4, earlier.lanes)
    listed = parts.chat_list.list_earlier(opened["my_chats"], new_id)["earlier"]
    assert listed["choices"] == [("New chat", new_id), ("Hi?", chat_id)]
    assert listed["visible"]
    reopened = parts.chat_list.open_earlier(chat_id, opened["my_chats"])
    assert reopened == {"my_chats": json.dumps([chat_id, new_id]), "chat_id": chat_id}


@pytest.mark.parametrize(
    "my_chats", ["x" * 8_000, '["a", ' + " " * 8_000 + '"b"]', json.dumps(["y" * 90] * 80), 7, None]
)
def test_chat_list_returns_no_storage_as_it_was_sent(parts, chat, my_chats):
    chat_id = chat()
    made = parts.chat_list.new_chat(chat_id, my_chats)
    assert made["chat_id"] == chat_id
    assert made["my_chats"] != my_chats
    assert len(made["my_chats"]) < 300
    listed = parts.chat_list.list_earlier(my_chats, "z" * 9_000)["earlier"]
    assert listed["value"] is None
    with pytest.raises(StudioError, match="the page stores at most"):
        parts.chat_list.new_chat(chat_id, "x" * 9_000)


def test_list_branches_names_each_by_its_last_question(parts, chat):
    chat_id = chat()
    assert not parts.chat_list.list_branches(chat_id)["branch"]["visible"]
    with parts.conversations.change(chat_id) as changed:
        changed.ask("First?")
        changed.ask("Second?")
        changed.undo()
    ((label, _),) = parts.chat_list.list_branches(chat_id)["branch"]["choices"]
    assert label == "1: Second? (2 questions)"


def test_load_wrong_id_finds_nothing(parts, chat):
    """Only its id opens a conversation, and ids are long and random."""
    chat_id = chat()
    wrong_id = chat_id[:-1] + ("0" if chat_id[-1] != "0" else "1")
    assert conversation.load(parts.conversations.settings, wrong_id) is None


VISITOR, OTHER = Caller(Role.VISITOR, "browser a"), Caller(Role.VISITOR, "browser b")


def stored(parts) -> list[str]:
    return [path.stem for path in (parts.conversations.settings.home / "chats").glob("*.json")]


def answered(parts, chat_id: str) -> None:
    with parts.conversations.change(chat_id) as chat:
        chat.ask("Hi?").answers[0].append(GenerationResult(text="Ho.", end="end"))


def test_visitor_without_an_answer_stores_no_file(parts):
    with acting(VISITOR):
        first = parts.chat_list.open_chat("")
        assert parts.chat_list.open_chat(first["my_chats"]) == first, "the draft is found again"
        chat_id = first["chat_id"]
        with parts.conversations.change(chat_id) as chat:
            chat.settings = {"seed": 4}
            chat.ask("Hi?")
        assert stored(parts) == []
        with parts.conversations.change(chat_id) as chat:
            chat.restore([])
        answered(parts, chat_id)
        assert stored(parts) == [chat_id]
        assert parts.conversations.find(chat_id).settings == {"seed": 4}


def test_visitor_opening_many_chats_leaves_those_of_others(parts):
    with acting(OTHER):
        draft = parts.chat_list.open_chat("")["chat_id"]
        chat_id = parts.chat_list.open_chat("")["chat_id"]
        answered(parts, chat_id)
    with acting(VISITOR):
        for _ in range(40):
            parts.chat_list.open_chat("")
        for _ in range(conversation.MAX_CHATS_OF_A_VISITOR + 3):
            answered(parts, parts.chat_list.open_chat("")["chat_id"])
    assert parts.conversations.load(draft)
    assert parts.conversations.load(chat_id)
    assert len(stored(parts)) == conversation.MAX_CHATS_OF_A_VISITOR + 1


def test_new_chat_after_the_current_one_was_deleted_opens_another(parts):
    with acting(VISITOR):
        opened = parts.chat_list.new_chat("v" + "0" * 32, "[]")
        assert parts.conversations.load(opened["chat_id"])


def test_visitors_chat_that_is_full_refuses_a_question_and_keeps_what_it_has(parts):
    with acting(VISITOR):
        chat_id = parts.chat_list.open_chat("")["chat_id"]
        answered(parts, chat_id)
        with pytest.raises(StudioError, match="Press New chat"), parts.conversations.change(chat_id) as chat:
            chat.ask("x" * conversation.MAX_CHAT_BYTES)
        assert [turn.prompt for turn in parts.conversations.find(chat_id).turns] == ["Hi?"]
        chat.undo()
        full = parts.conversations.find(chat_id)
        full.turns[0].reference = "x" * conversation.MAX_CHAT_BYTES
        parts.conversations.save(full)
        with parts.conversations.change(chat_id) as chat:
            chat.turns[0].verdict, chat.turns[0].chosen = "left", "base"
        assert parts.conversations.find(chat_id).turns[0].verdict == "left", "a vote is marked at any size"
        with pytest.raises(StudioError, match="Press New chat"):
            parts.conversations.begin_answers(chat_id, [0], "page", {})
        large = parts.chat_list.open_chat("")["chat_id"]
        with pytest.raises(StudioError, match="Shorten the question"), parts.conversations.change(large) as chat:
            chat.ask("x" * 200_000)


def test_list_earlier_reads_each_file_once(parts, monkeypatch):
    """A list may name one chat thousands of times, and may be sent again and again."""
    read = []
    with acting(VISITOR):
        ids = [parts.chat_list.open_chat("")["chat_id"] for _ in range(3)]
        for chat_id in ids:
            answered(parts, chat_id)
        original = conversation.read_json
        monkeypatch.setattr(conversation, "read_json", lambda path: read.append(path.stem) or original(path))
        for _ in range(5):
            listed = parts.chat_list.list_earlier(json.dumps(ids * 40), ids[0])["earlier"]
        assert [chat_id for _, chat_id in listed["choices"]] == ids
        assert sorted(read) == sorted(ids)
        for call in (parts.chat_list.open_chat, lambda text: parts.chat_list.list_earlier(text, ids[0])):
            with pytest.raises(StudioError, match="Delete this site's data in the browser"):
                call(json.dumps(ids * 2000))
    assert sorted(read) == sorted(ids)
