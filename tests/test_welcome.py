"""studio/welcome.py: what is said to whoever comes, and which controls a visitor cannot press."""

import gradio as gr
import pytest

from core.access import STUDIO, Access, Caller, Role, Way, acting
from core.settings import Settings
from studio import welcome
from studio.guarded import Guarded
from studio.told import told

SPACE = Access(Way.SPACE, "<b>keeper</b>", oauth=True)


def notice(known, settings, role):
    with acting(STUDIO if role is Role.OWNER else Caller(role, "x")):
        return welcome.notice_html(known, settings)


def test_on_one_s_own_machine_nothing_is_said(settings):
    assert notice(Access(Way.OWN_MACHINE), settings, Role.OWNER) == ""


def test_a_visitor_reads_what_is_open_what_is_closed_and_why(settings):
    said = notice(SPACE, settings, Role.VISITOR)
    assert "&lt;b&gt;keeper&lt;/b&gt;'s studio" in said
    for words in ("Open:", "Closed, because", "/login/huggingface", "Duplicate the Space"):
        assert words in said
    assert "hf_oauth or STUDIO_PASSWORD" in notice(Access(Way.SPACE, "keeper"), settings, Role.VISITOR)
    assert notice(SPACE, settings, Role.OWNER) == ""


@pytest.mark.parametrize("kept", [True, False])
def test_a_disk_that_forgets_is_told_of(tmp_path, monkeypatch, kept):
    monkeypatch.setenv("SPACE_ID", "keeper/studio")
    monkeypatch.setattr(welcome, "SPACE_DISK", tmp_path if kept else tmp_path / "none")
    said = notice(SPACE, Settings(home=tmp_path / "home"), Role.OWNER)
    assert ("no persistent storage" in said) is not kept


def test_controls_whose_every_press_is_the_owner_s_are_closed():
    with Guarded(Access(Way.SPACE, "keeper")) as demo:
        mine, both, open_one, filled = gr.Button("a"), gr.Button("b"), gr.Button("c"), gr.Textbox()
        mine.click(told(lambda: 1), None, filled)
        both.click(told(lambda: 1), None, filled)
        both.click(told(lambda: 1, visitor=True), None, filled)
        open_one.click(told(lambda: 1, visitor=True), None, filled)
        filled.change(told(lambda: 1), None, None)
    assert welcome.closed_to_visitors(demo) == [mine]
