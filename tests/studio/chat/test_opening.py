"""Conversations that another tab opens with a run."""

import pytest

from core.errors import StudioError
from core.runs.config import QLoRAConfig


def test_a_run_gets_a_new_chat_if_this_one_has_answers_of_other_models(parts, tuned, chat, toasts):
    first, second = tuned(created=1.0), tuned(created=2.0)
    chat_id = chat()
    shown = {"chat_id": chat_id, "my_chats": "", "show": []}
    assert "chat_id" not in parts.opening.compare_with_base(first.id, **shown), "without a question it is used as it is"
    with parts.conversations.change(chat_id) as conversation:
        conversation.ask("How deep is the sea?")
    assert "chat_id" not in parts.opening.compare_with_base(first.id, **shown), "the run answers here already"
    opened = parts.opening.compare_with_base(second.id, **shown)
    assert opened["chat_id"] != chat_id
    assert [lane.run for lane in parts.conversations.find(opened["chat_id"]).lanes] == ["", second.id]
    assert "How deep" not in opened["past"] + opened["now"]
    assert opened["suggested_for"] == second.id
    assert [lane.run for lane in parts.conversations.find(chat_id).lanes] == ["", first.id], "the old chat is kept"


def test_a_run_without_an_adapter_opens_no_chat(parts, store, chat):
    run, chat_id = store.create(QLoRAConfig()), chat()
    with pytest.raises(StudioError, match="has no adapter"):
        parts.opening.compare_with_base(run.id, chat_id, "", [])
