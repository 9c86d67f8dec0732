"""studio/authorized_blocks.py: whether a call is let in, whose sessions and files are whose."""

import contextlib
from types import SimpleNamespace

import gradio as gr
import pytest

from core.access.roles import Access, Caller, Role, Way
from core.errors import StudioError
from studio.authorized_blocks import AuthorizedBlocks, Remembered, refuse_half_an_event, refuse_urls
from studio.handlers import event_handler

OWNER, VISITOR = Caller(Role.OWNER, "user keeper"), Caller(Role.VISITOR, "browser a")
OTHER, NOBODY = Caller(Role.VISITOR, "browser b"), Caller(Role.NOBODY, "")


@pytest.fixture
def blocks():
    return AuthorizedBlocks(Access(Way.SPACE, "keeper"))


def function(fn, event="click"):
    return SimpleNamespace(fn=fn, targets=[(1, event)])


def handler():
    return 1


def test_a_function_that_nobody_decided_about_is_closed_to_everybody(blocks):
    for caller in (OWNER, VISITOR, NOBODY):
        with pytest.raises(StudioError, match="closed"):
            blocks.permit(function(handler), caller, None)


def test_the_owner_s_is_the_owner_s_and_what_is_open_is_open(blocks):
    blocks.permit(function(event_handler(handler)), OWNER, "s")
    blocks.permit(function(event_handler(handler, visitor=True)), VISITOR, "t")
    with pytest.raises(StudioError, match="That is the owner's"):
        blocks.permit(function(event_handler(handler)), VISITOR, "t")
    with pytest.raises(StudioError, match="closed"):
        blocks.permit(function(event_handler(handler, visitor=True)), NOBODY, "t")


def test_a_session_is_its_first_caller_s(blocks):
    assert blocks.owns("s", VISITOR)
    assert blocks.owns("s", VISITOR)
    assert not blocks.owns("s", OTHER)
    assert blocks.owns(None, OTHER)
    for name in ("a" * 101, "a b", "a\0", "é"):
        assert not blocks.owns(name, VISITOR), "no name of a session, and not remembered"
    assert list(blocks.sessions) == ["s"]
    with pytest.raises(StudioError, match="another browser's"):
        blocks.permit(function(event_handler(handler, visitor=True)), OTHER, "s")


def test_a_browser_takes_its_sessions_and_files_along_when_somebody_signs_in_there(blocks, tmp_path):
    blocks._remember_files([{"path": str(tmp_path / "a.csv")}], VISITOR)
    for session, role in (("s", Role.OWNER), ("t", Role.VISITOR)):
        who = Caller(role, f"user {role}", "browser a")
        assert blocks.owns(session, VISITOR)
        assert not blocks.owns(session, Caller(who.role, who.name, "browser b"))
        assert blocks.owns(session, who)
        assert not blocks.owns(session, VISITOR), "who signs out leaves it behind"
        for event, caller, may in (("unload", VISITOR, True), ("unload", OTHER, False), ("click", VISITOR, False)):
            with contextlib.nullcontext() if may else pytest.raises(StudioError, match="another browser's"):
                blocks.permit(function(event_handler(handler, visitor=True), event), caller, session)
        assert blocks.may_fetch(str(tmp_path / "a.csv"), who)
    assert not blocks.may_fetch(str(tmp_path / "a.csv"), Caller(Role.VISITOR, "user x", "browser b"))


def test_a_nameless_browser_s_are_nobody_s_to_take_along(blocks, tmp_path):
    nameless = Caller(Role.VISITOR, "")
    blocks._remember_files([{"path": str(tmp_path / "a.csv")}], nameless)
    assert blocks.owns("s", nameless)
    assert not blocks.owns("s", Caller(Role.VISITOR, "user x"))
    assert not blocks.may_fetch(str(tmp_path / "a.csv"), Caller(Role.VISITOR, "user x"))


def test_a_file_is_its_caller_s_and_the_owner_s(blocks, tmp_path):
    path = tmp_path / "a.csv"
    blocks._remember_files([{"value": {"path": str(path)}}, [{"path": "https://elsewhere/x"}]], VISITOR)
    assert list(blocks.files) == [str(path)]
    assert blocks.may_fetch(f"{tmp_path}/x/../a.csv", VISITOR)
    assert blocks.may_fetch(str(path), OWNER)
    assert not blocks.may_fetch(str(path), OTHER)


@pytest.mark.parametrize("path", ["http://e/x", "HTTPS://e/x", "ftp://e/x", "file:///etc/passwd"])
def test_no_address_is_taken_for_a_file(path):
    with pytest.raises(StudioError, match="never fetched"):
        refuse_urls([1, {"deep": [{"path": path}]}])
    refuse_urls([path, {"path": "/home/file"}, {"path": None}])


def chosen(event: gr.SelectData):
    return event.index


@pytest.mark.parametrize("data", [None, {}, [], "x", 3, {"value": 1}])
def test_an_event_that_says_half_is_refused(data):
    event = gr.EventData(None, data)
    with pytest.raises(StudioError, match="does not say what a SelectData says"):
        refuse_half_an_event(function(event_handler(chosen)), event)
    refuse_half_an_event(function(event_handler(handler)), event)


def test_a_whole_event_or_none_is_let_through():
    refuse_half_an_event(function(event_handler(chosen)), None)
    refuse_half_an_event(function(event_handler(chosen)), gr.EventData(None, {"index": 1, "value": "a"}))


def test_only_the_newest_are_remembered(monkeypatch):
    monkeypatch.setattr("studio.authorized_blocks._REMEMBERED", 2)
    kept = Remembered()
    for name in "abac":
        kept[name] = name
    assert list(kept) == ["a", "c"]


def test_there_is_signing_in_only_where_it_is_configured(blocks):
    assert not blocks.expects_oauth
    blocks.access = Access(Way.SPACE, "keeper", oauth=True)
    assert blocks.expects_oauth
