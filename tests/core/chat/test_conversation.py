"""Conversations as they are kept: nothing that was said is lost, whatever is edited, taken back or switched."""

import pytest
from hypothesis import settings as limits
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from core.chat import conversation
from core.chat.conversation import Answer, Conversation, LaneChoice, branch_key
from core.chat.types import LaneAnswer
from core.errors import StudioError


def said(text, **more):
    return Answer(text=text, end="end", **more)


def test_each_lane_hears_its_own_answers_only():
    kept = conversation.new_conversation()
    turn = kept.ask("One?")
    turn.answers[0].append(said("base"))
    turn.answers[1] += [said("first try"), said("tuned")]
    kept.ask("Two?")
    assert kept.asked(0) == [
        {"role": "user", "content": "One?"}, {"role": "assistant", "content": "base"},
        {"role": "user", "content": "Two?"},
    ]  # fmt: skip
    assert kept.asked(1)[1]["content"] == "tuned", "the last try is the one that counts"
    assert kept.asked(1, 0) == [{"role": "user", "content": "One?"}]


def test_an_answer_is_kept_with_who_gave_it_and_how():
    found = LaneAnswer(
        text="Hi.", tokens=2, end="end", seconds=2.0, ids=[4, 5], logprobs=[-0.1, -0.2], pieces=["H", "i."]
    )
    kept = Answer.of(found, LaneChoice(run="r", adapter="step 20"), {"seed": 3})
    assert (kept.text, kept.run, kept.adapter, kept.settings, kept.ids) == ("Hi.", "r", "step 20", {"seed": 3}, [4, 5])
    assert kept.tokens_per_second == 1.0
    assert Answer.of(found, LaneChoice(), {}).adapter == "", "the base has none"


def test_what_is_not_there_is_refused_with_the_numbers():
    kept = conversation.new_conversation()
    with pytest.raises(StudioError, match="nothing to take back"):
        kept.undo()
    with pytest.raises(StudioError, match="no question 3; this conversation has 0"):
        kept.edit(2, "x")
    with pytest.raises(StudioError, match="no branch 'x'; this conversation has 0"):
        kept.switch("x")


def test_a_branch_chosen_twice_is_switched_to_once():
    """A list may tell of one click twice."""
    kept = conversation.new_conversation()
    for prompt in ("One?", "Two?", "Three?"):
        kept.ask(prompt)
        kept.undo()
    keys = [branch_key(turns) for turns in kept.branches]
    for _ in range(2):
        kept.switch(keys[0])
    assert [turn.prompt for turn in kept.turns] == ["One?"]
    assert [branch_key(turns) for turns in kept.branches] == keys[1:]


class Talking(RuleBasedStateMachine):
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
        turn.answers[0].append(said(self.words()))

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
        self.kept.turns[-1].answers[1].append(said(self.words()))

    @precondition(lambda self: self.kept.branches)
    @rule(at=st.integers(0, 20))
    def switch(self, at):
        self.kept.switch(branch_key(self.kept.branches[at % len(self.kept.branches)]))

    @invariant()
    def nothing_is_lost(self):
        turns = [*self.kept.turns, *(turn for branch in self.kept.branches for turn in branch)]
        there = {turn.prompt for turn in turns} | {a.text for turn in turns for lane in turn.answers for a in lane}
        assert self.everything <= there


def test_nothing_that_was_said_is_lost():
    run_state_machine_as_test(Talking, settings=limits(max_examples=30, stateful_step_count=20))


def test_a_conversation_comes_back_from_its_file(settings):
    kept = Conversation(id="abc", base="tiny", settings={"seed": 4}, lanes=[LaneChoice(), LaneChoice(run="r")])
    kept.ask("Hi?", reference="Ho.").answers[1].append(said("Ha.", ids=[1]))
    kept.edit(0, "Hey?")
    conversation.save(settings, kept)
    assert conversation.load(settings, "abc") == kept
    assert conversation.load(settings, "none") is None
    (settings.home / "chats" / "abc.json").write_text("{")
    assert conversation.load(settings, "abc") is None
    with pytest.raises(StudioError, match="cannot be used as a chat id"):
        conversation.load(settings, "../runs")


def test_nobody_guesses_anothers_conversation():
    assert len({conversation.new_conversation().id for _ in range(100)}) == 100
    assert len(conversation.new_conversation().id) == 32
