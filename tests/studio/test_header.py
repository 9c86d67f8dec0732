"""studio/header.py: what is said to whoever comes, and which controls a visitor cannot press."""

import gradio as gr
import pytest

from core.access.quotas import Quotas, Tokens
from core.access.roles import STUDIO, Access, Caller, Role, Way, acting
from core.settings import Settings
from studio import header
from studio.authorized_blocks import Guarded
from studio.handlers import event_handler

SPACE = Access(Way.SPACE, "<b>keeper</b>", oauth=True)


def notice(known, settings, role):
    return told_to(STUDIO if role is Role.OWNER else Caller(role, "x"), settings, known)


def told_to(caller, settings, known=SPACE):
    with acting(caller):
        return header.notice_html(known, settings, Tokens(settings, Quotas()))


def test_on_one_s_own_machine_nothing_is_said(settings):
    assert notice(Access(Way.OWN_MACHINE), settings, Role.OWNER) == ""


def test_a_visitor_reads_what_is_open_what_is_closed_and_why(settings):
    said = notice(SPACE, settings, Role.VISITOR)
    assert "&lt;b&gt;keeper&lt;/b&gt;'s studio" in said
    for words in ("Open:", "Closed,</b> because", "/login/huggingface", "Duplicate the Space"):
        assert words in said
    assert "hf_oauth or STUDIO_PASSWORD" in notice(Access(Way.SPACE, "keeper"), settings, Role.VISITOR)
    assert notice(SPACE, settings, Role.OWNER) == ""


def test_a_visitor_reads_what_is_left_of_a_day_s_tokens(settings):
    assert "20,000 tokens a day, prompts counted, 20,000 left" in notice(SPACE, settings, Role.VISITOR)
    Tokens(settings, Quotas()).reserve("x", 1500)
    said = notice(SPACE, settings, Role.VISITOR)
    assert "18,500 left when this page was opened; an answer has at most 256." in said


def test_who_is_signed_in_reads_as_whom_and_how_to_sign_out(settings):
    said = told_to(Caller(Role.VISITOR, "user <i>alice</i>"), settings)
    assert "You are a visitor" in said
    assert "/login/huggingface" not in said
    assert "Owners are &lt;b&gt;keeper&lt;/b&gt;" in said
    owners = told_to(Caller(Role.OWNER, "user <i>alice</i>"), settings)
    assert "You are a visitor" not in owners
    for words in (said, owners):
        assert "Signed in as &lt;i&gt;alice&lt;/i&gt;" in words
        assert 'href="./logout"' in words


@pytest.mark.parametrize("kept", [True, False])
def test_a_disk_that_forgets_is_told_of(tmp_path, monkeypatch, kept):
    monkeypatch.setenv("SPACE_ID", "keeper/studio")
    monkeypatch.setattr(header, "SPACE_DISK", tmp_path if kept else tmp_path / "none")
    home = Settings(home=tmp_path / "home")
    assert ("no persistent storage" in notice(SPACE, home, Role.OWNER)) is not kept
    assert "no persistent storage" not in notice(SPACE, home, Role.VISITOR), "it is not theirs to mend"


def test_controls_whose_every_press_is_the_owner_s_are_closed():
    with Guarded(Access(Way.SPACE, "keeper")) as demo:
        mine, both, open_one, filled = gr.Button("a"), gr.Button("b"), gr.Button("c"), gr.Textbox()
        mine.click(event_handler(lambda: 1), None, filled)
        both.click(event_handler(lambda: 1), None, filled)
        both.click(event_handler(lambda: 1, visitor=True), None, filled)
        open_one.click(event_handler(lambda: 1, visitor=True), None, filled)
        filled.change(event_handler(lambda: 1), None, None)
    assert header.closed_to_visitors(demo) == [mine]


def test_boxes_with_nothing_for_a_visitor_are_named_the_owner_s():
    with Guarded(Access(Way.SPACE, "keeper")) as demo:
        filled = gr.Textbox()
        with gr.Accordion("mine") as box, gr.Row():
            mine = gr.Button("a")
            gr.Textbox()
        with gr.Accordion("both"):
            yours = gr.Button("b")
            gr.Button("c").click(event_handler(lambda: 1), None, filled)
        with gr.Accordion("only read"):
            gr.HTML("words")
        mine.click(event_handler(lambda: 1), None, filled)
        yours.click(event_handler(lambda: 1, visitor=True), None, filled)
    assert header.boxes_of_the_owner(demo) == [box]
