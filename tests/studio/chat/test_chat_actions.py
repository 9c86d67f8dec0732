"""Actions on a conversation: ask, retry, continue, edit, undo, stop; no text is lost."""

import threading
import time

import pytest

from core.chat.conversation import branch_key, load
from core.errors import StudioError
from tests.helpers.chat_page import ANOTHER_PAGE, PAGE, read_until_all_lanes_write, send, start_sending


def answer_texts(parts, chat_id):
    """Return the text that each lane shows in the last turn."""
    conversation = parts.conversations.find(chat_id)
    shown = [conversation.turns[-1].shown(lane) for lane in range(len(conversation.lanes))]
    return [answer.text if answer else None for answer in shown]


def are_interactive(updates):
    """Return which of the buttons Send, Retry all and Undo can be pressed."""
    return [updates[name]["interactive"] for name in ("send_button", "retry_button", "undo_button")]


def test_send_two_lanes_both_answers_are_saved(parts, tuned, chat):
    run = tuned()
    chat_id = chat()
    first, *_, last = send(parts, chat_id, reference="Red.")
    assert first["prompt"] == "", "the prompt box is emptied at once"
    assert first["stop_button"]["interactive"]
    assert "Name a color." in first["now"]
    assert not last["stop_button"]["interactive"]
    base, other = answer_texts(parts, chat_id)
    assert base
    assert other
    assert base != other
    saved = load(parts.conversations.settings, chat_id)
    assert saved == parts.conversations.find(chat_id)
    assert [saved.turns[0].shown(lane).run for lane in (0, 1)] == ["", run.id]
    assert saved.turns[0].reference == "Red."
    assert saved.turns[0].shown(1).settings["max_new_tokens"] == 6


def test_send_second_question_each_lane_gets_its_own_history(parts, tuned, chat, monkeypatch):
    tuned()
    chat_id = chat()
    send(parts, chat_id)
    before, entries = answer_texts(parts, chat_id), []
    ask = parts.conversations.engine.ask
    monkeypatch.setattr(parts.conversations.engine, "ask", lambda entry: entries.append(entry) or ask(entry))
    send(parts, chat_id, "And another?")
    (entry,) = entries
    for lane, text in zip(entry.lanes, before, strict=True):
        assert [m["content"] for m in lane.messages] == ["Name a color.", text, "And another?"]


@pytest.mark.parametrize("prompt", ["", "  ", "\n\t"])
def test_send_empty_prompt_is_rejected(parts, chat, prompt):
    with pytest.raises(StudioError, match="prompt is empty"):
        send(parts, chat(), prompt)


def test_send_too_long_prompt_returns_to_the_box_and_turns_stay(parts, tuned, chat):
    tuned()
    chat_id = chat()
    send(parts, chat_id)
    before = parts.conversations.find(chat_id).model_dump()
    with parts.conversations.change(chat_id) as conversation:
        conversation.settings["max_new_tokens"] = 2040
    updates = []
    with pytest.raises(StudioError, match="exceeds what the model can read"):
        updates.extend(start_sending(parts, chat_id, "And " * 200))
    assert updates[-1]["prompt"] == "And " * 200
    assert not updates[-1]["stop_button"]["interactive"]
    after = parts.conversations.find(chat_id).model_dump()
    assert after["turns"] == before["turns"]


def test_retry_uses_the_next_seed_and_keeps_the_earlier_attempt(parts, tuned, chat):
    tuned()
    chat_id = chat(temperature=1.5, max_new_tokens=12)
    send(parts, chat_id)
    first = answer_texts(parts, chat_id)
    list(parts.actions.retry(chat_id, 1, [], PAGE))
    second = answer_texts(parts, chat_id)
    assert second[0] == first[0]
    assert second[1] != first[1]
    conversation = parts.conversations.find(chat_id)
    assert [answer.settings["seed"] for answer in conversation.turns[0].answers[1]] == [0, 1]
    parts.actions.show_earlier_attempt(chat_id, 1, [])
    assert answer_texts(parts, chat_id) == first
    list(parts.actions.retry(chat_id, None, [], PAGE))
    assert [len(answers) for answers in parts.conversations.find(chat_id).turns[0].answers[:2]] == [2, 3]


def test_continue_answer_equals_one_longer_answer(parts, tuned, chat):
    tuned()
    short, long = chat(max_new_tokens=5), chat(max_new_tokens=10)
    send(parts, short)
    send(parts, long)
    list(parts.actions.continue_answer(short, 1, [], PAGE))
    (answer,) = parts.conversations.find(short).turns[0].answers[1]
    whole = parts.conversations.find(long).turns[0].shown(1)
    assert (answer.text, answer.ids, answer.tokens) == (whole.text, whole.ids, 10)
    assert len(answer.logprobs) == len(answer.pieces) == 10


def test_send_editing_turn_keeps_the_old_turns_as_branch(parts, tuned, chat):
    tuned()
    chat_id = chat()
    send(parts, chat_id)
    send(parts, chat_id, "Second?")
    updates = parts.actions.edit(chat_id, 0)
    assert (updates["prompt"], updates["editing"]) == ("Name a color.", 0)
    send(parts, chat_id, "Name a fish.", editing=0)
    conversation = parts.conversations.find(chat_id)
    assert [turn.prompt for turn in conversation.turns] == ["Name a fish."]
    assert [[turn.prompt for turn in branch] for branch in conversation.branches] == [["Name a color.", "Second?"]]
    parts.actions.switch_branch(chat_id, branch_key(conversation.branches[0]), [])
    assert [turn.prompt for turn in parts.conversations.find(chat_id).turns] == ["Name a color.", "Second?"]


def test_undo_returns_the_question_to_the_prompt_box(parts, tuned, chat):
    tuned()
    chat_id = chat()
    send(parts, chat_id)
    assert parts.actions.undo(chat_id, [])["prompt"] == "Name a color."
    assert parts.conversations.find(chat_id).turns == []
    with pytest.raises(StudioError, match="no question to undo"):
        parts.actions.undo(chat_id, [])


def test_stop_one_lane_other_lane_continues(parts, tuned, chat):
    tuned()
    chat_id = chat(max_new_tokens=300)
    stream = start_sending(parts, chat_id, "Count.")
    read_until_all_lanes_write(parts, chat_id, stream)
    parts.conversations.stop(chat_id, 0)
    list(stream)
    stopped, other = (parts.conversations.find(chat_id).turns[0].shown(lane) for lane in (0, 1))
    assert stopped.end == "stopped"
    assert other.end in ("end", "length")
    assert other.tokens > stopped.tokens


def test_leave_closed_page_stops_its_lanes_and_saves_the_text(parts, tuned, chat):
    tuned()
    chat_id = chat(max_new_tokens=1500)
    stream = start_sending(parts, chat_id, "Count.")
    read_until_all_lanes_write(parts, chat_id, stream)
    parts.conversations.leave(ANOTHER_PAGE)
    assert not parts.conversations.in_progress(chat_id).entry.stopped_lanes
    parts.conversations.leave(PAGE)
    stream.close()
    deadline = time.monotonic() + 1
    while parts.conversations.engine._active:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert all(answer_texts(parts, chat_id))
    assert parts.conversations.find(chat_id).turns[0].shown(0).end == "stopped"


def test_change_while_answering_is_rejected(parts, tuned, chat):
    tuned()
    chat_id = chat(max_new_tokens=300)
    stream = start_sending(parts, chat_id, "Count.")
    read_until_all_lanes_write(parts, chat_id, stream)
    for change in (
        lambda: parts.actions.undo(chat_id, []),
        lambda: send(parts, chat_id, "And?"),
        lambda: parts.actions.edit(chat_id, 0),
    ):
        with pytest.raises(StudioError, match="still being written"):
            change()
    view = parts.actions.render_view(chat_id, [])
    assert are_interactive(view) == [False] * 3
    assert (view["send_button"]["visible"], view["stop_button"]["visible"]) == (False, True)
    parts.conversations.stop(chat_id)
    *_, last = stream
    assert are_interactive(last) == [True] * 3
    assert (last["send_button"]["visible"], last["stop_button"]["visible"]) == (True, False)
    assert [turn.prompt for turn in parts.conversations.find(chat_id).turns] == ["Count."]


def test_stop_in_queue_returns_the_question_to_the_prompt_box(parts, tuned, chat):
    tuned()
    parts.conversations.engine._max_sequences = 2
    holding, waiting = chat(max_new_tokens=1500), chat()
    holding_stream = start_sending(parts, holding, "Count.")
    read_until_all_lanes_write(parts, holding, holding_stream)
    updates = []

    def ask():
        updates.extend(start_sending(parts, waiting, "Me too?"))

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + 60
    while not any("Waiting for other answers, position 1" in str(update.get("now")) for update in updates):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    parts.conversations.stop(waiting)
    thread.join(60)
    assert updates[-1]["prompt"] == "Me too?"
    assert parts.conversations.find(waiting).turns == []
    parts.conversations.stop(holding)
    list(holding_stream)


def test_answer_checkpoint_each_checkpoint_generates_once(parts, tuned, chat):
    tuned(steps=(5, 10))
    chat_id = chat()
    send(parts, chat_id)
    final = answer_texts(parts, chat_id)
    parts.picker.choose_checkpoint(chat_id, 1, 1)
    list(parts.actions.answer_checkpoint(chat_id, 1, [], PAGE))
    step_5 = answer_texts(parts, chat_id)
    assert step_5[0] == final[0]
    assert step_5[1] != final[1]
    assert parts.conversations.find(chat_id).turns[0].shown(1).adapter == "step 5"
    parts.picker.choose_checkpoint(chat_id, 1, 0)
    list(parts.actions.answer_checkpoint(chat_id, 1, [], PAGE))
    assert answer_texts(parts, chat_id) == [final[0], final[0]], "position 0 of the slider is the base"
    parts.picker.choose_checkpoint(chat_id, 1, 3)
    list(parts.actions.answer_checkpoint(chat_id, 1, [], PAGE))
    assert answer_texts(parts, chat_id) == final
    assert len(parts.conversations.find(chat_id).turns[0].answers[1]) == 3, (
        "an answer that exists is shown, not generated again"
    )


@pytest.mark.parametrize(("call", "message"), [
    (lambda parts, chat_id: parts.actions.edit(chat_id, 3), "There is no question 4"),
    (lambda parts, chat_id: list(parts.actions.retry(chat_id, 0, [], PAGE)), "Nothing was asked yet"),
    (lambda parts, chat_id: list(parts.actions.continue_answer(chat_id, 0, [], PAGE)), "Nothing was asked yet"),
    (lambda parts, chat_id: parts.actions.show_earlier_attempt(chat_id, 0, []), "Nothing was asked yet"),
    (lambda parts, chat_id: parts.actions.switch_branch(chat_id, "none", []), "There is no branch 'none'"),
    (lambda parts, chat_id: parts.conversations.find("0" * 32), "no longer stored here"),
    (lambda parts, chat_id: parts.conversations.find("../runs"), "no longer stored here"),
])  # fmt: skip
def test_action_on_missing_turn_branch_or_chat_is_rejected(parts, chat, call, message):
    with pytest.raises(StudioError, match=message):
        call(parts, chat())


def test_stop_without_answer_in_progress_changes_nothing(parts, chat):
    chat_id = chat()
    before = parts.conversations.find(chat_id)
    parts.conversations.stop(chat_id)
    assert parts.conversations.find(chat_id) == before
