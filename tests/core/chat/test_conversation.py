"""Stored conversations: editing, undoing and switching branches never loses a question or an answer."""

import contextlib
import os

import pytest
from hypothesis import settings as limits
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from core.access.roles import Caller, Role, acting
from core.chat import conversation
from core.chat.conversation import MAX_BRANCHES, Conversation, LaneChoice, branch_key
from core.chat.types import Generation, GenerationResult
from core.errors import StudioError
from core.system.files import write_json


def answer(text, **more):
    return GenerationResult(text=text, end="end", **more)


def test_conversation_lane_history_has_its_own_answers_only():
    chat = conversation.new_conversation()
    turn = chat.ask("One?")
    turn.answers[0].append(answer("base"))
    turn.answers[1] += [answer("first try"), answer("tuned")]
    chat.ask("Two?")
    assert chat.asked(0) == [
        {"role": "user", "content": "One?"}, {"role": "assistant", "content": "base"},
        {"role": "user", "content": "Two?"},
    ]  # fmt: skip
    assert chat.asked(1)[1]["content"] == "tuned", "the last attempt is the one that counts"
    assert chat.asked(1, 0) == [{"role": "user", "content": "One?"}]


def test_generation_result_keeps_model_and_settings():
    found = Generation(
        text="Hi.", tokens=2, end="end", seconds=2.0, ids=[4, 5], logprobs=[-0.1, -0.2], pieces=["H", "i."]
    )
    result = GenerationResult.from_generation(found, ("r", "step 20"), {"seed": 3})
    assert (result.text, result.run, result.adapter, result.settings, result.ids) == (
        "Hi.",
        "r",
        "step 20",
        {"seed": 3},
        [4, 5],
    )
    assert result.tokens_per_second == 1.0
    assert GenerationResult.from_generation(found, LaneChoice().run_and_adapter, {}).adapter == "", "the base has none"


def test_conversation_missing_turn_or_branch_is_refused():
    chat = conversation.new_conversation()
    with pytest.raises(StudioError, match="no question to undo"):
        chat.undo()
    with pytest.raises(StudioError, match="no question 3; this conversation has 0"):
        chat.edit(2, "x")
    with pytest.raises(StudioError, match="no branch 'x'; this conversation has 0"):
        chat.switch("x")


def test_conversation_branch_chosen_twice_is_switched_once():
    """A list in the browser may report one click twice."""
    chat = conversation.new_conversation()
    for prompt in ("One?", "Two?", "Three?"):
        chat.ask(prompt)
        chat.undo()
    keys = [branch_key(turns) for turns in chat.branches]
    for _ in range(2):
        chat.switch(keys[0])
    assert [turn.prompt for turn in chat.turns] == ["One?"]
    assert [branch_key(turns) for turns in chat.branches] == keys[1:]


class ConversationMachine(RuleBasedStateMachine):
    """Random changes of a conversation; its invariant makes the assertion."""

    def __init__(self):
        super().__init__()
        self.chat, self.texts, self.number = conversation.new_conversation(), set(), 0

    def new_text(self):
        """Return a text that was not used before, and note that it must not be lost."""
        self.number += 1
        self.texts.add(f"{self.number}")
        return f"{self.number}"

    @rule()
    def ask(self):
        turn = self.chat.ask(self.new_text())
        turn.answers[0].append(answer(self.new_text()))

    @precondition(lambda self: self.chat.turns)
    @rule(at=st.integers(0, 20))
    def edit(self, at):
        index = at % len(self.chat.turns)
        self.chat.edit(index, self.new_text())
        assert len(self.chat.turns) == index + 1

    @precondition(lambda self: self.chat.turns)
    @rule()
    def undo(self):
        self.chat.undo()

    @precondition(lambda self: self.chat.turns)
    @rule()
    def retry(self):
        self.chat.turns[-1].answers[1].append(answer(self.new_text()))

    @precondition(lambda self: self.chat.branches)
    @rule(at=st.integers(0, 20))
    def switch(self, at):
        self.chat.switch(branch_key(self.chat.branches[at % len(self.chat.branches)]))

    @invariant()
    def nothing_is_lost(self):
        turns = [*self.chat.turns, *(turn for branch in self.chat.branches for turn in branch)]
        there = {turn.prompt for turn in turns} | {a.text for turn in turns for lane in turn.answers for a in lane}
        assert self.texts <= there


def test_conversation_any_sequence_of_changes_loses_nothing():
    run_state_machine_as_test(ConversationMachine, settings=limits(max_examples=30, stateful_step_count=20))


def test_conversation_saved_file_loads_equal(settings):
    chat = Conversation(id="abc", base="tiny", settings={"seed": 4}, lanes=[LaneChoice(), LaneChoice(run="r")])
    chat.ask("Hi?", reference="Ho.").answers[1].append(answer("Ha.", ids=[1]))
    chat.edit(0, "Hey?")
    conversation.save(settings, chat)
    assert conversation.load(settings, "abc") == chat
    assert conversation.load(settings, "none") is None
    (settings.home / "chats" / "abc.json").write_text("{")
    assert conversation.load(settings, "abc") is None
    with pytest.raises(StudioError, match="cannot be used as a chat id"):
        conversation.load(settings, "../runs")


def test_new_conversation_ids_are_long_and_distinct():
    assert len({conversation.new_conversation().id for _ in range(100)}) == 100
    assert len(conversation.new_conversation().id) == 32


def visitors_chat(name="browser a"):
    with acting(Caller(Role.VISITOR, name)):
        return conversation.new_conversation()


class BranchMachine(RuleBasedStateMachine):
    """Undo, switch, other attempts and votes: none takes a token, so none may let a conversation grow for ever."""

    def __init__(self):
        super().__init__()
        self.chat = visitors_chat()
        for number in range(3):
            self.chat.ask(f"{number}?").answers[0] += [answer("first"), answer("second")]

    @precondition(lambda self: self.chat.turns)
    @rule()
    def undo(self):
        with contextlib.suppress(StudioError):
            self.chat.undo()

    @precondition(lambda self: self.chat.branches)
    @rule(at=st.integers(0, 50))
    def switch(self, at):
        with contextlib.suppress(StudioError):
            self.chat.switch(branch_key(self.chat.branches[at % len(self.chat.branches)]))

    @precondition(lambda self: self.chat.turns)
    @rule()
    def other_attempt(self):
        self.chat.turns[-1].show_other_attempt(0)

    @precondition(lambda self: self.chat.turns)
    @rule(verdict=st.sampled_from(["", "left", "tie"]))
    def vote(self, verdict):
        self.chat.turns[-1].verdict = verdict

    @invariant()
    def no_branch_is_contained_in_another(self):
        branches = self.chat.branches
        assert len(branches) <= MAX_BRANCHES
        for at, kept in enumerate(branches):
            assert not any(other[: len(kept)] == kept for other in branches[:at] + branches[at + 1 :])


def test_conversation_changes_without_tokens_keep_distinct_branches():
    run_state_machine_as_test(BranchMachine, settings=limits(max_examples=20, stateful_step_count=40))


def test_conversation_undo_and_switch_in_turn_keep_its_size():
    chat = visitors_chat()
    for prompt in ("One?", "Two?", "Three?"):
        chat.ask(prompt)
    size = conversation.byte_count(chat)
    for _ in range(50):
        for _ in range(3):
            chat.undo()
        chat.switch(branch_key(max(chat.branches, key=len)))
    assert conversation.byte_count(chat) == size


def test_visitors_conversation_with_all_branches_refuses_another():
    chat, owners = visitors_chat(), conversation.new_conversation()
    for one in (chat, owners):
        for number in range(MAX_BRANCHES):
            one.ask(f"{number}?")
            one.undo()
        one.ask("Another?")
    with pytest.raises(StudioError, match=r"50 branches, and a visitor's may have 50\. Press New chat"):
        chat.undo()
    assert [turn.prompt for turn in chat.turns] == ["Another?"]
    owners.undo()
    assert len(owners.branches) == MAX_BRANCHES + 1


def test_check_size_refuses_a_large_conversation_of_a_visitor():
    chat, owners = visitors_chat(), conversation.new_conversation()
    for one in (chat, owners):
        conversation.check_size(one)
        one.ask("x" * conversation.MAX_CHAT_BYTES)
    with pytest.raises(StudioError, match=r"takes 1\.0 MiB, and a visitor's may take 1\.0 MiB\. Press New chat"):
        conversation.check_size(chat)
    conversation.check_size(owners)


def test_title_of_is_read_again_after_a_change(settings):
    chat = visitors_chat()
    assert conversation.title_of(settings, chat.id) is None
    chat.ask("First?")
    conversation.save(settings, chat)
    assert conversation.title_of(settings, chat.id) == "First?"
    chat.edit(0, "Second?")
    conversation.save(settings, chat)
    assert conversation.title_of(settings, chat.id) == "Second?"
    conversation.delete(settings, chat.id)
    assert conversation.title_of(settings, chat.id) is None
    owners = conversation.new_conversation()
    owners.ask("Secret?")
    conversation.save(settings, owners)
    with acting(Caller(Role.VISITOR, "browser a")):
        assert conversation.title_of(settings, owners.id) is None


def test_visitors_conversations_beyond_the_limit_are_those_of_who_has_most(settings):
    """Files of earlier versions, whose ids name no visitor, stay too."""
    old = Conversation(id=f"v{'0' * 32}")
    mine = [old, visitors_chat("browser b"), *(visitors_chat() for _ in range(6))]
    for number, chat in enumerate(mine):
        conversation.save(settings, chat)
        os.utime(settings.home / "chats" / f"{chat.id}.json", (number, number))
    conversation.delete_oldest_visitor_chats(settings, 5)
    kept = [conversation.load(settings, chat.id) is not None for chat in mine]
    assert kept == [True, True, False, False, False, True, True, True]


def test_visitors_conversation_of_an_earlier_version_opens_as_before(settings):
    """Its id names no visitor, its file is indented, and it may have any branches."""
    old = Conversation(id=f"v{'0' * 32}")
    old.ask("First?").answers[0].append(answer("Yes."))
    old.branches = [list(old.turns)] * (MAX_BRANCHES + 10)
    write_json(settings.home / "chats" / f"{old.id}.json", old.model_dump())
    with acting(Caller(Role.VISITOR, "browser a")):
        assert conversation.load(settings, old.id) == old
        assert conversation.title_of(settings, old.id) == "First?"
