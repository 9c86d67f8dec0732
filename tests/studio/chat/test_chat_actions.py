"""What a conversation goes through: ask, retry, go on, edit, undo, stop, leave; nothing that was said is lost."""

import threading
import time

import gradio as gr
import pytest

from core.chat import conversation
from core.chat.conversation import branch_key
from core.errors import StudioError
from studio.chat.chat_actions import BUSY, IDLE
from tests.helpers.chat_page import PAGE, send, writing


def said(do, chat_id, at=-1):
    """The text that each lane shows for a question."""
    kept = do.talking.find(chat_id)
    return [answer.text if (answer := kept.turns[at].shown(lane)) else None for lane in range(len(kept.lanes))]


def test_both_lanes_answer_and_it_is_kept(do, tuned, chat):
    run = tuned()
    chat_id = chat()
    first, *_, last = send(do, chat_id, reference="Red.")
    assert first[2] == "", "the prompt box is empty at once"
    assert first[4] == BUSY
    assert "Name a colour." in first[1]
    assert last[4] == IDLE
    base, other = said(do, chat_id)
    assert base
    assert other
    assert base != other
    kept = conversation.load(do.settings, chat_id)
    assert kept == do.talking.find(chat_id)
    assert [answer.run for answer in (kept.turns[0].shown(0), kept.turns[0].shown(1))] == ["", run.id]
    assert kept.turns[0].reference == "Red."
    assert kept.turns[0].shown(1).settings["max_new_tokens"] == 6


def test_each_lane_goes_on_from_its_own_words(do, tuned, chat, monkeypatch):
    tuned()
    chat_id = chat()
    send(do, chat_id)
    before, heard = said(do, chat_id), []
    ask = do.engine.ask
    monkeypatch.setattr(do.engine, "ask", lambda made: heard.append(made) or ask(made))
    send(do, chat_id, "And another?")
    (made,) = heard
    for lane, text in zip(made.lanes, before, strict=True):
        assert [m["content"] for m in lane.messages] == ["Name a colour.", text, "And another?"]


@pytest.mark.parametrize("prompt", ["", "  ", "\n\t"])
def test_an_empty_prompt_is_refused(do, chat, prompt):
    with pytest.raises(StudioError, match="prompt is empty"):
        send(do, chat(), prompt)


def test_a_question_that_cannot_be_answered_is_given_back_and_what_was_there_stays(do, tuned, chat):
    tuned()
    chat_id = chat()
    send(do, chat_id)
    before = do.talking.find(chat_id).model_dump()
    with do.talking.changing(chat_id) as kept:
        kept.settings["max_new_tokens"] = 2040
    seen = []
    with pytest.raises(StudioError, match="exceeds what the model can read"):
        seen.extend(do.talking.send(chat_id, "And " * 200, "", -1, [], PAGE))
    assert seen[-1][2] == "And " * 200
    assert seen[-1][4] == IDLE
    after = do.talking.find(chat_id).model_dump()
    assert after["turns"] == before["turns"]


def test_retry_answers_anew_with_the_next_seed_and_keeps_the_other_try(do, tuned, chat):
    tuned()
    chat_id = chat(temperature=1.5, max_new_tokens=12)
    send(do, chat_id)
    first = said(do, chat_id)
    list(do.talking.retry(chat_id, 1, [], PAGE))
    second = said(do, chat_id)
    assert second[0] == first[0]
    assert second[1] != first[1]
    kept = do.talking.find(chat_id)
    assert [answer.settings["seed"] for answer in kept.turns[0].answers[1]] == [0, 1]
    do.talking.other_try(chat_id, 1, [])
    assert said(do, chat_id) == first
    list(do.talking.retry(chat_id, None, [], PAGE))
    assert [len(answers) for answers in do.talking.find(chat_id).turns[0].answers[:2]] == [2, 3]


def test_going_on_gives_what_a_longer_answer_would_have_been(do, tuned, chat):
    tuned()
    short, long = chat(max_new_tokens=5), chat(max_new_tokens=10)
    send(do, short)
    send(do, long)
    list(do.talking.go_on(short, 1, [], PAGE))
    (answer,) = do.talking.find(short).turns[0].answers[1]
    whole = do.talking.find(long).turns[0].shown(1)
    assert (answer.text, answer.ids, answer.tokens) == (whole.text, whole.ids, 10)
    assert len(answer.logprobs) == len(answer.pieces) == 10


def test_an_edited_question_leaves_the_old_turns_behind_as_a_branch(do, tuned, chat):
    tuned()
    chat_id = chat()
    send(do, chat_id)
    send(do, chat_id, "Second?")
    values = do.talking.edit(chat_id, 0)
    assert (values[2], values[5]) == ("Name a colour.", 0)
    send(do, chat_id, "Name a fish.", editing=0)
    kept = do.talking.find(chat_id)
    assert [turn.prompt for turn in kept.turns] == ["Name a fish."]
    assert [[turn.prompt for turn in branch] for branch in kept.branches] == [["Name a colour.", "Second?"]]
    do.talking.switch(chat_id, branch_key(kept.branches[0]), [])
    assert [turn.prompt for turn in do.talking.find(chat_id).turns] == ["Name a colour.", "Second?"]


def test_undo_puts_the_question_back_into_the_box(do, tuned, chat):
    tuned()
    chat_id = chat()
    send(do, chat_id)
    assert do.talking.undo(chat_id, [])[2] == "Name a colour."
    assert do.talking.find(chat_id).turns == []
    with pytest.raises(StudioError, match="nothing to take back"):
        do.talking.undo(chat_id, [])


def test_one_lane_is_stopped_and_the_other_goes_on(do, tuned, chat):
    tuned()
    chat_id = chat(max_new_tokens=300)
    stream = do.talking.send(chat_id, "Count.", "", -1, [], PAGE)
    writing(do, chat_id, stream)
    do.talking.stop(chat_id, 0)
    list(stream)
    stopped, other = (do.talking.find(chat_id).turns[0].shown(lane) for lane in (0, 1))
    assert stopped.end == "stopped"
    assert other.end in ("end", "length")
    assert other.tokens > stopped.tokens


def test_a_closed_page_frees_its_lanes_and_what_was_said_is_kept(do, tuned, chat):
    tuned()
    chat_id = chat(max_new_tokens=1500)
    stream = do.talking.send(chat_id, "Count.", "", -1, [], PAGE)
    writing(do, chat_id, stream)
    do.talking.leave(gr.Request(session_hash="another"))
    assert not do.talking._live[chat_id].ticket.stopping
    do.talking.leave(PAGE)
    stream.close()
    deadline = time.monotonic() + 1
    while do.engine._active:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert all(said(do, chat_id)), "the words that were there"
    assert do.talking.find(chat_id).turns[0].shown(0).end == "stopped"


def test_while_an_answer_is_written_the_conversation_cannot_be_changed(do, tuned, chat):
    tuned()
    chat_id = chat(max_new_tokens=300)
    stream = do.talking.send(chat_id, "Count.", "", -1, [], PAGE)
    writing(do, chat_id, stream)
    for change in (
        lambda: do.talking.undo(chat_id, []),
        lambda: send(do, chat_id, "And?"),
        lambda: do.talking.edit(chat_id, 0),
    ):
        with pytest.raises(StudioError, match="still being written"):
            change()
    assert [part["interactive"] for part in do.talking.drawn(chat_id, [])[6:]] == [False] * 3
    assert do.talking.drawn(chat_id, [])[6]["value"] == "Answering…"
    do.talking.stop(chat_id)
    *_, last = stream
    assert [part["interactive"] for part in last[6:]] == [True] * 3
    assert last[6]["value"] == "Send"
    assert [turn.prompt for turn in do.talking.find(chat_id).turns] == ["Count."]


def test_a_question_stopped_in_the_queue_goes_back_into_the_box(do, tuned, chat):
    tuned()
    do.engine._most_rows = 2
    holding, waiting = chat(max_new_tokens=1500), chat()
    held = do.talking.send(holding, "Count.", "", -1, [], PAGE)
    writing(do, holding, held)
    hints, ends = [], []

    def ask():
        for values in do.talking.send(waiting, "Me too?", "", -1, [], PAGE):
            hints.append(values[3])
            ends.append(values)

    thread = threading.Thread(target=ask)
    thread.start()
    while not any("yours is next" in str(hint) for hint in hints):
        time.sleep(0.01)
    do.talking.stop(waiting)
    thread.join(60)
    assert ends[-1][2] == "Me too?"
    assert do.talking.find(waiting).turns == []
    do.talking.stop(holding)
    list(held)


def test_another_checkpoint_answers_the_same_question_once(do, tuned, chat):
    tuned(steps=(5, 10))
    chat_id = chat()
    send(do, chat_id)
    final = said(do, chat_id)
    do.choose_step(chat_id, 1, 1)
    list(do.talking.move(chat_id, 1, [], PAGE))
    step_5 = said(do, chat_id)
    assert step_5[0] == final[0]
    assert step_5[1] != final[1]
    assert do.talking.find(chat_id).turns[0].shown(1).adapter == "step 5"
    do.choose_step(chat_id, 1, 0)
    list(do.talking.move(chat_id, 1, [], PAGE))
    assert said(do, chat_id) == [final[0], final[0]], "the base of the slider is the base"
    do.choose_step(chat_id, 1, 3)
    list(do.talking.move(chat_id, 1, [], PAGE))
    assert said(do, chat_id) == final
    assert len(do.talking.find(chat_id).turns[0].answers[1]) == 3, "what was there was shown, not written again"


@pytest.mark.parametrize("call", [
    lambda do, chat_id: do.talking.edit(chat_id, 3),
    lambda do, chat_id: list(do.talking.retry(chat_id, 0, [], PAGE)),
    lambda do, chat_id: list(do.talking.go_on(chat_id, 0, [], PAGE)),
    lambda do, chat_id: do.talking.other_try(chat_id, 0, []),
    lambda do, chat_id: do.talking.switch(chat_id, "none", []),
    lambda do, chat_id: do.talking.find("0" * 32),
    lambda do, chat_id: do.talking.find("../runs"),
])  # fmt: skip
def test_what_is_not_there_is_refused(do, chat, call):
    with pytest.raises(StudioError):
        call(do, chat())


def test_stop_without_an_answer_under_way_is_nothing(do, chat):
    do.talking.stop(chat())
