"""Visitors' conversations without an answer: bounded per visitor and for all; no visitor pushes out another's."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.access.roles import Caller, Role, acting
from core.chat.conversation import Conversation, new_conversation
from core.errors import StudioError
from studio.chat import drafts
from studio.chat.drafts import Drafts


def opened(name: str) -> Conversation:
    with acting(Caller(Role.VISITOR, f"browser {name}")):
        return new_conversation()


@given(st.lists(st.sampled_from("aaaab"), min_size=1, max_size=40), st.integers(4, 12))
def test_drafts_of_one_visitor_drop_none_of_another(names, limit):
    size = len(opened("a").model_dump_json())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drafts, "_MAX_BYTES_OF_ALL", limit * size)
        known, made = Drafts(), [(name, opened(name)) for name in names]
        for _, chat in made:
            known.save(chat)
        kept = Counter(name for name, chat in made if known.find(chat.id))
    assert kept.total() <= limit
    assert known.find(made[-1][1].id) == made[-1][1], "the newest is kept"
    assert all(count <= drafts._MAX_OF_A_VISITOR for count in kept.values())
    total = Counter(names)
    if kept["b"] < min(total["b"], drafts._MAX_OF_A_VISITOR):
        # A tenth is dropped at a time, and the last saves may all have been those of one visitor since.
        room = limit - 9 * (limit + 1) // 10
        assert kept["a"] <= kept["b"] + 1 + room


def test_draft_changed_after_saving_is_as_it_was_saved():
    known, chat = Drafts(), opened("a")
    known.save(chat)
    chat.ask("Hi?")
    assert known.find(chat.id).turns == []
    assert known.remove(chat.id)
    assert not known.remove(chat.id)
    assert known.find(chat.id) is None


@pytest.mark.parametrize("question", ["x" * 200_000, "\u4e2d" * 60_000, "\U0001f600" * 40_000])
def test_draft_too_large_is_refused(question):
    chat = opened("a")
    chat.ask(question)
    with pytest.raises(StudioError, match=r"takes 1.* KiB, settings included, .* may take 128\.0 KiB\. Shorten"):
        Drafts().save(chat)
