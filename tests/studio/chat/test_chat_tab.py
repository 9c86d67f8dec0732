"""The assembled Chat tab: its events, and its handlers called with the names of their widgets."""

import gradio as gr
import pytest

from studio.chat.layout import build_chat_widgets
from studio.chat.model_picker import NO_RUN
from studio.chat_tab import build_chat_tab
from tests.helpers.chat_page import PAGE, send


@pytest.fixture
def demo(parts):
    with gr.Blocks() as made:
        build_chat_tab(parts.conversations.engine, made, [gr.State("").change])
    return made


def functions_of(demo, name):
    return [function for function in demo.fns.values() if function.fn and function.name == name]


def values_by_elem_id(function, values):
    return {getattr(part, "elem_id", None): value for part, value in zip(function.outputs, values, strict=True)}


def test_build_chat_tab_connects_every_handler(demo):
    names = {function.name for function in demo.fns.values() if function.fn}
    assert names >= {
        "open_chat", "new_chat", "open_earlier", "refresh", "choose_base", "choose_lane_count",
        "choose_run", "choose_checkpoint", "send", "send_suggestion", "retry", "retry_one", "stop_all", "stop_lane",
        "undo", "render_view", "switch_branch", "list_branches", "list_earlier", "edit", "continue_answer",
        "earlier_attempt", "why", "vote", "undo_vote", "set_blind", "export_preferences", "open_row", "use_suggestion",
        "suggest", "show_prompts", "as_jsonl", "as_markdown", "unload", "leave", "chat", "switch_scope",
    }  # fmt: skip


def test_page_before_its_chat_is_open_says_nothing_about_it():
    with gr.Blocks():
        widgets = build_chat_widgets()
    assert "qs-skeleton" in widgets.conversation.invitation.value
    assert not widgets.conversation.hint.value
    assert not widgets.conversation.send.interactive
    for choice in (widgets.lanes.base, *widgets.lanes.runs):
        assert choice.choices == [("Loading …", "")]


def test_open_chat_gives_every_output_a_value(demo):
    (open_chat,) = functions_of(demo, "open_chat")
    values = open_chat.fn(my_chats="")
    kept = [part for part, value in zip(open_chat.outputs, values, strict=True) if value == gr.skip()]
    # The prompt box is the only part of the page that another conversation leaves as it is.
    assert [part.elem_id for part in kept] == ["prompt"]


def test_refresh_before_a_chat_is_open_changes_nothing(demo):
    for refresh in functions_of(demo, "refresh"):
        (values,) = refresh.fn(chat_id="", show=[], hint="", request=PAGE)
        assert all(value == gr.skip() for value in values)


def test_refresh_trained_run_ends_the_hint_to_train_and_keeps_others(demo, tuned, chat):
    chat_id = chat()
    refresh, _ = functions_of(demo, "refresh")

    def hint_after(hint):
        (values,) = refresh.fn(chat_id=chat_id, show=[], hint=hint, request=PAGE)
        return values_by_elem_id(refresh, values)["chat-hint"]

    assert hint_after(NO_RUN) == NO_RUN
    tuned()
    assert hint_after(NO_RUN) == ""
    assert hint_after("An error.") == gr.skip()


def test_updates_have_names_of_their_outputs(parts, tuned, chat):
    tuned(steps=(5,))
    with gr.Blocks():
        widgets = build_chat_widgets()
    chat_id = chat()
    assert set(parts.picker.refresh(chat_id)) == {*widgets.lane_outputs, "hint"}
    assert set(parts.suggestions.suggest(chat_id)) == set(widgets.suggestion_outputs)
    for updates in send(parts, chat_id, "Hi."):
        assert set(updates) <= set(widgets.view_outputs)


@pytest.mark.parametrize("name", ["why", "show_prompts", "as_jsonl", "as_markdown"])
def test_calls_that_read_a_chat_or_a_subset_run_two_at_a_time(demo, name):
    found = functions_of(demo, name)
    assert found
    assert {(one.concurrency_id, one.concurrency_limit) for one in found} == {("heavy", 2)}
