"""Conversations that a browser opens, starts and lists."""

import json

import pytest

from core.chat import conversation


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
