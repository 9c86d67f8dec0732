"""Stored conversations: editing, undoing and switching branches never loses a question or an answer."""

import pytest
from hypothesis import settings as limits
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from core.chat import conversation
from core.chat.conversation import Conversation, LaneChoice, branch_key
from core.chat.types import Generation, GenerationResult
from core.errors import StudioError


def answer(text, **more):
    return GenerationResult(text=text, end="end", **more)


def test_conversation_lane_history_has_its_own_answers_only():
    kept = conversation.new_conversation()
    turn = kept.ask("One?")
    turn.answers[0].append(answer("base"))
    turn.answers[1] += [answer("first try"), answer("tuned")]
    kept.ask("Two?")
    assert kept.asked(0) == [
        {"role": "user", "content": "One?"}, {"role": "assistant", "content": "base"},
        {"role": "user", "content": "Two?"},
    ]  # fmt: skip
    assert kept.asked(1)[1]["content"] == "tuned", "the last try is the one that counts"
    assert kept.asked(1, 0) == [{"role": "user", "content": "One?"}]


def test_generation_result_keeps_model_and_settings():
    found = Generation(
        text="Hi.", tokens=2, end="end", seconds=2.0, ids=[4, 5], logprobs=[-0.1, -0.2], pieces=["H", "i."]
    )
    kept = GenerationResult.from_generation(found, ("r", "step 20"), {"seed": 3})
    assert (kept.text, kept.run, kept.adapter, kept.settings, kept.ids) == ("Hi.", "r", "step 20", {"seed": 3}, [4, 5])
    assert kept.tokens_per_second == 1.0
    assert GenerationResult.from_generation(found, LaneChoice().run_and_adapter, {}).adapter == "", "the base has none"


def test_conversation_missing_turn_or_branch_is_refused():
    kept = conversation.new_conversation()
    with pytest.raises(StudioError, match="no question to undo"):
        kept.undo()
    with pytest.raises(StudioError, match="no question 3; this conversation has 0"):
        kept.edit(2, "x")
    with pytest.raises(StudioError, match="no branch 'x'; this conversation has 0"):
        kept.switch("x")


def test_conversation_branch_chosen_twice_is_switched_once():
    """A list in the browser may report one click twice."""
    kept = conversation.new_conversation()
    for prompt in ("One?", "Two?", "Three?"):
        kept.ask(prompt)
        kept.undo()
    keys = [branch_key(turns) for turns in kept.branches]
    for _ in range(2):
        kept.switch(keys[0])
    assert [turn.prompt for turn in kept.turns] == ["One?"]
    assert [branch_key(turns) for turns in kept.branches] == keys[1:]


class ConversationMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.kept, self.everything, self.number = conversation.new_conversation(), set(), 0

    def words(self):
        self.number += 1
        self.everything.add(f"{self.number}")
        return f"{self.number}"

    @rule()
    def ask(self):
        turn = self.kept.ask(self.words())
        turn.answers[0].append(answer(self.words()))

    @precondition(lambda self: self.kept.turns)
    @rule(at=st.integers(0, 20))
    def edit(self, at):
        place = at % len(self.kept.turns)
        self.kept.edit(place, self.words())
        assert len(self.kept.turns) == place + 1

    @precondition(lambda self: self.kept.turns)
    @rule()
    def undo(self):
        self.kept.undo()

    @precondition(lambda self: self.kept.turns)
    @rule()
    def retry(self):
        self.kept.turns[-1].answers[1].append(answer(self.words()))

    @precondition(lambda self: self.kept.branches)
    @rule(at=st.integers(0, 20))
    def switch(self, at):
        self.kept.switch(branch_key(self.kept.branches[at % len(self.kept.branches)]))

    @invariant()
    def nothing_is_lost(self):
        turns = [*self.kept.turns, *(turn for branch in self.kept.branches for turn in branch)]
        there = {turn.prompt for turn in turns} | {a.text for turn in turns for lane in turn.answers for a in lane}
        assert self.everything <= there


def test_conversation_any_sequence_of_changes_loses_nothing():
    run_state_machine_as_test(ConversationMachine, settings=limits(max_examples=30, stateful_step_count=20))


def test_conversation_saved_file_loads_equal(settings):
    kept = Conversation(id="abc", base="tiny", settings={"seed": 4}, lanes=[LaneChoice(), LaneChoice(run="r")])
    kept.ask("Hi?", reference="Ho.").answers[1].append(answer("Ha.", ids=[1]))
    kept.edit(0, "Hey?")
    conversation.save(settings, kept)
    assert conversation.load(settings, "abc") == kept
    assert conversation.load(settings, "none") is None
    (settings.home / "chats" / "abc.json").write_text("{")
    assert conversation.load(settings, "abc") is None
    with pytest.raises(StudioError, match="cannot be used as a chat id"):
        conversation.load(settings, "../runs")


def test_new_conversation_ids_are_long_and_distinct():
    assert len({conversation.new_conversation().id for _ in range(100)}) == 100
    assert len(conversation.new_conversation().id) == 32
