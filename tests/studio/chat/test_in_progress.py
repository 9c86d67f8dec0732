"""Answers under way: kept before they have ended, followed from another page, and what is left when they fail."""

import gradio as gr
import pytest

from core.chat.conversation import LaneChoice
from core.chat.engine import Engine
from core.errors import StudioError
from studio.chat import chat_actions
from studio.chat.chat_actions import View
from studio.chat.model_picker import Choosing
from tests.helpers.chat_page import PAGE, send, writing


def test_what_is_written_is_on_disk_before_it_has_ended_and_goes_on_after_a_crash(do, tuned, chat, monkeypatch):
    tuned()
    monkeypatch.setattr(chat_actions, "_KEPT_EVERY", 0.0)
    chat_id = chat(max_new_tokens=300)
    stream = do.talking.send(chat_id, "Count.", "", -1, [], PAGE)
    writing(do, chat_id, stream)
    next(stream)
    killed = Choosing(Engine(do.settings))  # as a server that is started again finds it
    cut = [killed.talking.find(chat_id).turns[0].shown(lane) for lane in (0, 1)]
    assert [answer.end for answer in cut] == ["interrupted"] * 2
    assert all(answer.text and answer.ids for answer in cut)
    shown = killed.talking.drawn(chat_id, [])[1]
    assert shown.count("interrupted by a restart of the studio") == shown.count('data-event="go_on"') == 2
    list(stream)
    whole = [do.talking.find(chat_id).turns[0].shown(lane) for lane in (0, 1)]
    assert all(after.ids[: len(before.ids)] == before.ids for before, after in zip(cut, whole, strict=True))
    assert [len(tries) for tries in do.talking.find(chat_id).turns[0].answers[:2]] == [1, 1]
    assert "interrupted" not in [answer.end for answer in whole]


def test_another_page_follows_what_is_written_and_sees_what_was_said(do, tuned, chat):
    tuned()
    chat_id = chat(max_new_tokens=300)
    other, mine = gr.Request(session_hash="another"), do.talking.send(chat_id, "Count.", "", -1, [], PAGE)
    writing(do, chat_id, mine)
    assert list(do.talking.follow(chat_id, [], PAGE)) == [View().values()], "its own page draws it already"
    follows = do.talking.follow(chat_id, [], other)
    seen = next(follows)
    assert "Count." in seen[1]
    assert "answered on another page" in seen[3]
    assert not seen[6]["interactive"]
    do.talking.stop(chat_id)
    list(mine)
    *_, last = follows
    assert "stopped" in last[1]
    assert (last[3], last[6]["interactive"]) == ("", True)
    ((_, now, _, hint, *_),) = do.talking.follow(chat_id, [], other, "Train first.")
    assert "Count." in now
    assert hint == "Train first."


def test_what_went_wrong_stays_on_the_page_when_the_toast_is_gone(do, tuned, chat):
    tuned()
    chat_id = chat()
    send(do, chat_id)
    with do.talking.changing(chat_id) as kept:
        kept.base, kept.base_identity = "<b>none</b>", None
        kept.lanes = [LaneChoice(), LaneChoice()]
    for stream in (do.talking.retry(chat_id, None, [], PAGE), do.talking.send(chat_id, "And?", "", -1, [], PAGE)):
        seen = []
        with pytest.raises(StudioError, match="no base model"):
            seen.extend(stream)
        assert "There is no base model '&lt;b>none&lt;/b>' here." in seen[-1][3]
        assert seen[-1][6]["interactive"], "it can be asked again"
