"""The tab assembled: every handler gives every widget it is wired to a value, and the call without a page."""

import gradio as gr
import pytest

from core.errors import StudioError
from studio.chat.api import build_chat_call
from studio.chat.layout import build_beside, build_lanes, build_talk
from studio.chat.model_picker import NO_RUN
from studio.chat_tab import build_chat_tab
from tests.helpers.chat_page import PAGE


@pytest.fixture
def demo(do):
    with gr.Blocks() as made:
        build_chat_tab(do.engine, made, [gr.State("").change])
    return made


def test_every_handler_is_wired_once_to_every_part(demo):
    names = {fn.fn.__qualname__.rpartition(".")[2] for fn in demo.fns.values() if fn.fn}
    assert names >= {
        "opened", "new", "choose_earlier", "shown", "refreshed", "choose_base", "choose_count", "run_chosen",
        "step_chosen", "send", "retry", "retry_one", "stop", "undo", "drawn", "switch", "branches", "edit", "go_on",
        "other_try", "why", "vote", "unvote", "be_blind", "as_preferences", "row_opened", "picked", "questions",
        "read_by", "as_jsonl", "as_markdown", "unload", "leave", "chat",
        "suggested", "earlier",
    }  # fmt: skip


def test_what_is_shown_of_a_conversation_fills_every_widget(demo, do, chat):
    chat_id = chat()
    (shown,) = [fn for fn in demo.fns.values() if fn.fn and fn.fn.__qualname__.endswith("<locals>.shown")]
    assert len(shown.fn(chat_id, "", [])) == len(shown.outputs)
    refreshed, returned = [
        fn for fn in demo.fns.values() if fn.fn and fn.fn.__qualname__.endswith("<locals>.refreshed")
    ]
    assert len(refreshed.outputs) == len(returned.outputs)
    for known in (chat_id, ""):
        assert [len(values) for values in refreshed.fn(known, [], "", PAGE)] == [len(refreshed.outputs)]


def test_the_way_to_a_first_run_is_no_longer_said_once_there_is_one_and_other_words_stay(demo, do, tuned, chat):
    chat_id = chat()
    (refreshed, _) = [fn for fn in demo.fns.values() if fn.fn and fn.fn.__qualname__.endswith("<locals>.refreshed")]
    at = [getattr(part, "elem_id", None) for part in refreshed.outputs].index("chat-hint")
    hints = [[values[at] for values in refreshed.fn(chat_id, [], NO_RUN, PAGE)]]
    tuned()
    hints += [[values[at] for values in refreshed.fn(chat_id, [], said, PAGE)] for said in (NO_RUN, "An error.")]
    assert hints == [[NO_RUN], [""], [gr.skip()]]


def test_updates_have_a_value_for_each_widget(do, tuned, chat):
    tuned(steps=(5,))
    with gr.Blocks():
        lanes, talk, beside = build_lanes(), build_talk(), build_beside()
    chat_id = chat()
    view = talk.view("editing")
    assert len(do.refresh(chat_id)[0]) == len(lanes.drawn(beside.scope))
    for values in do.talking.send(chat_id, "Hi.", "", -1, [], PAGE):
        assert len(values) == len(view)


def test_the_chat_can_be_called_without_a_page(do, tuned):
    run = tuned(steps=(5,))
    call = build_chat_call(do.engine)
    settings = {"temperature": 0, "max_new_tokens": 5}
    found = call("Name a colour.", ["base", run.id, f"{run.id}/step 5"], settings)
    assert [one["model"] for one in found] == ["base", run.id, f"{run.id}/step 5"]
    assert len({one["text"] for one in found}) == 3
    assert {one["tokens"] for one in found} <= {1, 2, 3, 4, 5}
    assert call("Name a colour.", ["base"], settings)[0]["text"] == found[0]["text"], "the base of the newest run"


@pytest.mark.parametrize(("prompt", "lanes", "given", "words"), [
    ("Hi.", [], {}, "expected a list of one to 4"),
    ("Hi.", "base", {}, "expected a list of one to 4"),
    ("Hi.", ["base"] * 5, {}, "expected a list of one to 4"),
    (["Hi."], ["base"], {}, "The prompt is a text"),
    ("Hi.", ["base"], [1], "The prompt is a text"),
    (" ", ["base"], {}, "prompt is empty"),
    ("Hi.", ["none-such"], {}, "none-such"),
    ("Hi.", ["../x"], {}, r"\.\."),
    ("Hi.", ["base"], {"temperature": 9}, "Temperature"),
    ("Hi.", ["base"], {"heat": 1}, "heat"),
])  # fmt: skip
def test_a_call_that_cannot_be_answered_is_a_sentence(do, tuned, prompt, lanes, given, words):
    tuned()
    with pytest.raises(StudioError, match=words):
        build_chat_call(do.engine)(prompt, lanes, given)
