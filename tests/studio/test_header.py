"""The notice of the page's header, and the controls that a visitor sees disabled."""

import gradio as gr
import pytest

from core.access.quotas import Quotas, Tokens
from core.access.roles import STUDIO, Access, Caller, Role, Way, acting
from core.settings import Settings
from studio import header
from studio.authorized_blocks import AuthorizedBlocks
from studio.handlers import event_handler, shows_visitors_nothing

SPACE = Access(Way.SPACE, "<b>keeper</b>", oauth=True)


def notice(access, settings, role):
    return notice_for(STUDIO if role is Role.OWNER else Caller(role, "x"), settings, access)


def notice_for(caller, settings, access=SPACE):
    with acting(caller):
        return header.notice_html(access, settings, Tokens(settings, Quotas()))


def test_notice_on_ones_own_machine_is_empty(settings):
    assert notice(Access(Way.OWN_MACHINE), settings, Role.OWNER) == ""


def test_notice_lists_what_is_open_and_closed_to_a_visitor(settings):
    shown = notice(SPACE, settings, Role.VISITOR)
    assert "&lt;b&gt;keeper&lt;/b&gt;'s studio" in shown
    for words in ("Open:", "Not open to visitors,</b> because", "/login/huggingface", "Duplicate the Space"):
        assert words in shown
    assert "hf_oauth or STUDIO_PASSWORD" in notice(Access(Way.SPACE, "keeper"), settings, Role.VISITOR)
    assert notice(SPACE, settings, Role.OWNER) == ""


def test_notice_shows_the_tokens_left_today(settings):
    assert "20,000 tokens per day, prompts included, 20,000 left" in notice(SPACE, settings, Role.VISITOR)
    Tokens(settings, Quotas()).reserve("x", 1500)
    shown = notice(SPACE, settings, Role.VISITOR)
    assert "18,500 left when this page was opened; an answer has at most 256." in shown


def test_notice_names_the_account_and_how_to_sign_out(settings):
    shown = notice_for(Caller(Role.VISITOR, "user <i>alice</i>"), settings)
    assert "You are a visitor" in shown
    assert "/login/huggingface" not in shown
    assert "Owners are &lt;b&gt;keeper&lt;/b&gt;" in shown
    owners = notice_for(Caller(Role.OWNER, "user <i>alice</i>"), settings)
    assert "You are a visitor" not in owners
    for words in (shown, owners):
        assert "Signed in as &lt;i&gt;alice&lt;/i&gt;" in words
        assert 'href="./logout"' in words


@pytest.mark.parametrize("has_storage", [True, False])
def test_notice_warns_the_owner_of_a_space_without_storage(tmp_path, monkeypatch, has_storage):
    monkeypatch.setenv("SPACE_ID", "keeper/studio")
    monkeypatch.setattr(header, "SPACE_DISK", tmp_path if has_storage else tmp_path / "none")
    home = Settings(home=tmp_path / "home")
    assert ("no persistent storage" in notice(SPACE, home, Role.OWNER)) is not has_storage
    assert "no persistent storage" not in notice(SPACE, home, Role.VISITOR), "a visitor cannot change it"


def test_owner_controls_are_those_without_an_event_for_visitors():
    with AuthorizedBlocks(Access(Way.SPACE, "keeper")) as demo:
        mine, both, open_one, filled = gr.Button("a"), gr.Button("b"), gr.Button("c"), gr.Textbox()
        mine.click(event_handler(lambda: 1), None, filled)
        both.click(event_handler(lambda: 1), None, filled)
        both.click(event_handler(lambda: 1, visitor=True), None, filled)
        open_one.click(event_handler(lambda: 1, visitor=True), None, filled)
        filled.change(event_handler(lambda: 1), None, None)
    assert header.owner_controls(demo) == [mine]


def test_owner_accordions_hold_nothing_for_a_visitor():
    with AuthorizedBlocks(Access(Way.SPACE, "keeper")) as demo:
        filled = gr.Textbox()
        with gr.Accordion("mine") as box, gr.Row():
            mine = gr.Button("a")
            gr.Textbox()
        with gr.Accordion("both"):
            yours = gr.Button("b")
            gr.Button("c").click(event_handler(lambda: 1), None, filled)
        with gr.Accordion("only read"):
            gr.HTML("words")
        with gr.Accordion("progress of the owner's jobs") as jobs:
            own = gr.Button("d")
            progress = gr.HTML()
        own.click(event_handler(lambda: ""), None, progress)
        demo.load(event_handler(shows_visitors_nothing(lambda: ""), visitor=True), None, progress)
        mine.click(event_handler(lambda: 1), None, filled)
        yours.click(event_handler(lambda: 1, visitor=True), None, filled)
    assert header.owner_accordions(demo) == [box, jobs]
