"""Answers in progress: saved before they end, followed from another page, and their errors."""

from collections import Counter

import pytest

from core.chat.conversation import Conversation, LaneChoice
from core.chat.engine import Engine
from core.chat.queue_entry import QueueEntry
from core.chat.sampler import TokenSampler
from core.chat.types import ResolvedLanes
from core.errors import StudioError
from studio.chat import chat_actions
from studio.chat.in_progress import AnswersInProgress
from studio.chat.parts import ChatParts
from tests.helpers.chat_page import ANOTHER_PAGE, PAGE, read_until_all_lanes_write, send, start_sending


def test_send_unfinished_answer_is_on_disk_and_can_be_continued(parts, tuned, chat, monkeypatch):
    tuned()
    monkeypatch.setattr(chat_actions, "_SAVE_EVERY_SECONDS", 0.0)
    chat_id, saved, save = chat(max_new_tokens=300), [], parts.conversations.save

    def save_and_copy(conversation):
        save(conversation)
        saved.append(conversation.model_copy(deep=True))

    monkeypatch.setattr(parts.conversations, "save", save_and_copy)
    list(start_sending(parts, chat_id, "Count."))
    whole = [parts.conversations.find(chat_id).turns[0].shown(lane) for lane in (0, 1)]
    # The chat that a server finds if it is started after this one was killed in the middle of the answers.
    unfinished = [one for one in saved if all(one.turns[0].shown(lane) for lane in (0, 1))][:-1]
    save(unfinished[0])
    restarted = ChatParts.create(Engine(parts.conversations.settings))
    cut = [restarted.conversations.find(chat_id).turns[0].shown(lane) for lane in (0, 1)]
    assert [answer.end for answer in cut] == ["interrupted"] * 2
    assert all(answer.text and answer.ids for answer in cut)
    shown = restarted.actions.render_view(chat_id, [])["now"]
    assert shown.count('data-event="continue_answer"') == 2
    save(saved[-1])
    assert all(after.ids[: len(before.ids)] == before.ids for before, after in zip(cut, whole, strict=True))
    assert [len(attempts) for attempts in parts.conversations.find(chat_id).turns[0].answers[:2]] == [1, 1]
    assert "interrupted" not in [answer.end for answer in whole]


def test_follow_from_another_page_shows_answers_until_they_end(parts, tuned, chat):
    tuned()
    chat_id = chat(max_new_tokens=300)
    stream = start_sending(parts, chat_id, "Count.")
    read_until_all_lanes_write(parts, chat_id, stream)
    assert list(parts.actions.follow(chat_id, [], PAGE)) == [{}], "the page that asked is streamed to already"
    followed = parts.actions.follow(chat_id, [], ANOTHER_PAGE)
    first = next(followed)
    assert "Count." in first["now"]
    assert "answered on another page" in first["hint"]
    assert not first["send_button"]["interactive"]
    parts.conversations.stop(chat_id)
    list(stream)
    *_, last = followed
    assert "stopped" in last["now"]
    assert (last["hint"], last["send_button"]["interactive"]) == ("", True)
    (updates,) = parts.actions.follow(chat_id, [], ANOTHER_PAGE, "Train first.")
    assert "Count." in updates["now"]
    assert updates["hint"] == "Train first."


@pytest.mark.parametrize("failing", [{0}, {1}, {0, 1}], ids=["base", "tuned", "both"])
@pytest.mark.parametrize("tokens", [0, 2])
def test_send_error_of_one_lane_keeps_the_other_lane_s_answer(parts, tuned, chat, monkeypatch, failing, tokens):
    tuned()
    chat_id, sample = chat(), TokenSampler.sample
    with parts.conversations.change(chat_id) as conversation:
        for lane in failing:
            conversation.lanes[lane].own = {"seed": 13}
    counts = Counter()

    def broken(self, logits):
        counts[self] += self.sampling.seed == 13
        if counts[self] > tokens:
            raise StudioError("No token.")
        return sample(self, logits)

    monkeypatch.setattr(TokenSampler, "sample", broken)
    updates = []
    with pytest.raises(StudioError, match="No token"):
        updates.extend(start_sending(parts, chat_id, "Name a color."))
    turns = parts.conversations.find(chat_id).turns
    assert "No token." in updates[-1]["hint"]
    assert updates[-1]["send_button"]["interactive"]
    if len(failing) == 2:
        assert (turns, updates[-1]["prompt"]) == ([], "Name a color.")
        return
    (turn,), (lane,) = turns, failing
    assert turn.shown(1 - lane).text
    assert turn.shown(1 - lane).end in ("end", "length")
    assert (turn.shown(lane).end if turn.shown(lane) else None) == ("failed" if tokens else None)
    monkeypatch.undo()
    list(parts.actions.retry(chat_id, lane, [], PAGE))
    assert parts.conversations.find(chat_id).turns[0].shown(lane).end in ("end", "length")


def test_finish_answers_that_cannot_be_saved_releases_the_conversation(parts, tuned, chat, monkeypatch):
    tuned()
    chat_id = chat()
    send(parts, chat_id)
    answers = parts.conversations.begin_answers(chat_id, [0], "a-page", {})

    def full(conversation):
        raise OSError("No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(parts.conversations, "save", full)
        with pytest.raises(OSError, match="No space"):
            parts.conversations.finish_answers(chat_id, answers)
    assert answers.released.is_set()
    assert parts.conversations.in_progress(chat_id) is None


def test_send_and_retry_errors_stay_on_the_page_as_hint(parts, tuned, chat):
    tuned()
    chat_id = chat()
    send(parts, chat_id)
    with parts.conversations.change(chat_id) as conversation:
        conversation.base, conversation.base_identity = "<b>none</b>", None
        conversation.lanes = [LaneChoice(), LaneChoice()]
    for stream in (parts.actions.retry(chat_id, None, [], PAGE), start_sending(parts, chat_id, "And?")):
        updates = []
        with pytest.raises(StudioError, match="no base model"):
            updates.extend(stream)
        assert "There is no base model '&lt;b>none&lt;/b>' here." in updates[-1]["hint"]
        assert updates[-1]["send_button"]["interactive"], "the question can be sent again"


def test_stage_says_what_a_lane_waits_for_and_since_when():
    answers = AnswersInProgress(Conversation(id="a"), [0, 1], "page", queue_position=lambda entry: 1)
    answers.began -= 3
    assert answers.stage(0) == "Looking up the models · 3 s"
    answers.enter_queue(QueueEntry(ResolvedLanes(None, [])))
    assert answers.stage(0) == "Waiting for other answers, position 2 · 3 s"
    answers.entry.stage = "Converting tiny to 16-bit weights, once: about half a minute."
    assert answers.stage(0) == "Converting tiny to 16-bit weights, once: about half a minute · 3 s"
    answers.entry.stage = ""
    answers.stopped.add(1)
    assert [answers.stage(lane) for lane in (0, 1)] == ["Reading the question · 3 s", "Stopping · 3 s"]
    assert not answers.is_stopping
    answers.stopped.add(0)
    assert answers.is_stopping
