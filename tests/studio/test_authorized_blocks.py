"""Authorization of events, sessions and files."""

import asyncio
import contextlib
import shutil
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.data_classes import _StaticFiles
from gradio.processing_utils import async_move_files_to_cache
from gradio.state_holder import SessionState
from starlette.requests import Request

from core.access.roles import Access, Caller, Role, Way
from core.errors import StudioError
from studio.authorized_blocks import AuthorizedBlocks, BoundedDict, check_event_data, check_no_urls
from studio.handlers import event_handler

OWNER, VISITOR = Caller(Role.OWNER, "user keeper"), Caller(Role.VISITOR, "browser a")
OTHER, SIGNED_OUT = Caller(Role.VISITOR, "browser b"), Caller(Role.SIGNED_OUT, "")


@pytest.fixture
def blocks():
    return AuthorizedBlocks(Access(Way.SPACE, "keeper"))


def function(fn, event="click"):
    return SimpleNamespace(fn=fn, targets=[(1, event)])


def handler():
    return 1


def test_function_without_event_handler_is_closed_to_everyone(blocks):
    for caller in (OWNER, VISITOR, SIGNED_OUT):
        with pytest.raises(StudioError, match="not available"):
            blocks.authorize(function(handler), caller, None)


def test_owner_only_handler_rejects_visitor(blocks):
    blocks.authorize(function(event_handler(handler)), OWNER, "s")
    blocks.authorize(function(event_handler(handler, visitor=True)), VISITOR, "t")
    with pytest.raises(StudioError, match="Only the owner can do this"):
        blocks.authorize(function(event_handler(handler)), VISITOR, "t")
    with pytest.raises(StudioError, match="not available"):
        blocks.authorize(function(event_handler(handler, visitor=True)), SIGNED_OUT, "t")


def test_session_belongs_to_its_first_caller(blocks):
    assert blocks.owns_session("s", VISITOR)
    assert blocks.owns_session("s", VISITOR)
    assert not blocks.owns_session("s", OTHER)
    assert blocks.owns_session(None, OTHER)
    for name in ("a" * 101, "a b", "a\0", "é"):
        assert not blocks.owns_session(name, VISITOR), "not a session name, and not stored"
    assert list(blocks.session_owners) == ["s"]
    with pytest.raises(StudioError, match="another browser's"):
        blocks.authorize(function(event_handler(handler, visitor=True)), OTHER, "s")


def test_sign_in_takes_over_sessions_and_files_of_the_browser(blocks, tmp_path):
    blocks._note_files([{"path": str(tmp_path / "a.csv")}], VISITOR)
    for session, role in (("s", Role.OWNER), ("t", Role.VISITOR)):
        who = Caller(role, f"user {role}", "browser a")
        assert blocks.owns_session(session, VISITOR)
        assert not blocks.owns_session(session, Caller(who.role, who.name, "browser b"))
        assert blocks.owns_session(session, who)
        assert not blocks.owns_session(session, VISITOR), "signing out gives no session back"
        for event, caller, may in (("unload", VISITOR, True), ("unload", OTHER, False), ("click", VISITOR, False)):
            with contextlib.nullcontext() if may else pytest.raises(StudioError, match="another browser's"):
                blocks.authorize(function(event_handler(handler, visitor=True), event), caller, session)
        assert blocks.may_fetch(str(tmp_path / "a.csv"), who)
    assert not blocks.may_fetch(str(tmp_path / "a.csv"), Caller(Role.VISITOR, "user x", "browser b"))


def test_sign_in_takes_nothing_from_a_nameless_browser(blocks, tmp_path):
    nameless = Caller(Role.VISITOR, "")
    blocks._note_files([{"path": str(tmp_path / "a.csv")}], nameless)
    assert blocks.owns_session("s", nameless)
    assert not blocks.owns_session("s", Caller(Role.VISITOR, "user x"))
    assert not blocks.may_fetch(str(tmp_path / "a.csv"), Caller(Role.VISITOR, "user x"))


def test_file_may_be_fetched_by_its_caller_and_the_owner(blocks, tmp_path):
    path = tmp_path / "a.csv"
    blocks._note_files([{"value": {"path": str(path)}}, [{"path": "https://elsewhere/x"}]], VISITOR)
    assert list(blocks.file_owners) == [str(path)]
    assert blocks.may_fetch(str(path), VISITOR)
    assert not blocks.may_fetch(f"{tmp_path}/x/../a.csv", VISITOR), "no page spells a path in this way"
    assert blocks.may_fetch(str(path), OWNER)
    assert not blocks.may_fetch(str(path), OTHER)


@pytest.mark.parametrize("path", ["http://e/x", "HTTPS://e/x", "ftp://e/x", "file:///etc/passwd"])
def test_check_no_urls_refuses_an_address_as_a_file(path):
    with pytest.raises(StudioError, match="nothing is fetched from elsewhere"):
        check_no_urls([1, {"deep": [{"path": path}]}])
    check_no_urls([path, {"path": "/home/file"}, {"path": None}])


def test_check_own_files_refuses_visitors_the_files_of_others(blocks, tmp_path):
    made = str(tmp_path / "made.csv")
    blocks.file_owners[made] = VISITOR.name
    blocks.check_own_files([{"path": made}, [{"path": made}], "text", None], VISITOR)
    for path in (made, "/etc/passwd", "a\0b", ""):
        with pytest.raises(StudioError, match="not made for you"):
            blocks.check_own_files([[{"path": path}]], OTHER)
        blocks.check_own_files([{"path": path}], OWNER)


def test_files_for_download_are_not_copied_to_the_uploads(tmp_path, monkeypatch):
    """A file in the folder of uploads counts as an upload; Gradio copies every other file there."""
    monkeypatch.setattr(_StaticFiles, "all_paths", [])
    exported, other = tmp_path / "exports" / "a.zip", tmp_path / "other" / "a.zip"
    for path in (exported, other):
        path.parent.mkdir()
        path.write_bytes(b"zip")
    with gr.Blocks():
        button = gr.DownloadButton()
    button.GRADIO_CACHE = str(tmp_path / "uploads")

    def served(path: Path) -> Path:
        output = asyncio.run(
            async_move_files_to_cache({"path": str(path), "meta": {"_type": "gradio.FileData"}}, button, True)
        )
        return Path(output["path"])

    monkeypatch.chdir(tmp_path)
    assert served(exported).parent.parent == tmp_path / "uploads", "what Gradio does by default"
    shutil.rmtree(tmp_path / "uploads")
    gr.set_static_paths([exported.parent])
    assert served(exported) == exported
    assert not (tmp_path / "uploads").exists()


def test_errors_of_gradio_are_escaped(blocks):
    with blocks:
        choice = gr.Radio(["a"])
        choice.change(event_handler(lambda value: value, visitor=True), choice, choice)
    (function,) = blocks.fns.values()
    with pytest.raises(gr.Error) as refused:
        asyncio.run(blocks.preprocess_data(function, ["<img src=x onerror=alert(1)>"], SessionState(blocks)))
    assert "<img" not in refused.value.message
    assert "&lt;img src=x" in refused.value.message


@pytest.mark.parametrize(("typed", "refused"), [(1, False), (2.0, False), (1.5, True), (float("inf"), True)])
def test_field_of_whole_numbers_refuses_a_fraction_instead_of_rounding_it(blocks, typed, refused):
    with blocks:
        rows, share = gr.Number(precision=0, label="Rows"), gr.Number(label="Share")
        rows.change(event_handler(lambda rows, share: rows, visitor=True), [rows, share], rows)
    (function,) = blocks.fns.values()
    problem = pytest.raises(gr.Error, match="Rows must be a whole number") if refused else contextlib.nullcontext()
    with problem:
        found = asyncio.run(blocks.preprocess_data(function, [typed, 1.5], SessionState(blocks)))
        assert found == [int(typed), 1.5]


def on_select(event: gr.SelectData):
    return event.index


@pytest.mark.parametrize("data", [None, {}, [], "x", 3, {"value": 1}])
def test_check_event_data_refuses_an_incomplete_event(data):
    event = gr.EventData(None, data)
    with pytest.raises(StudioError, match="is not a complete SelectData"):
        check_event_data(function(event_handler(on_select)), event)
    check_event_data(function(event_handler(handler)), event)


def test_check_event_data_accepts_a_complete_event_or_none():
    assert check_event_data(function(event_handler(on_select)), None) is None
    assert check_event_data(function(event_handler(on_select)), gr.EventData(None, {"index": 1, "value": "a"})) is None


def test_bounded_dict_keeps_the_newest_entries(monkeypatch):
    monkeypatch.setattr("studio.open_pages._MAX_ENTRIES", 2)
    entries = BoundedDict()
    for name in "abac":
        entries[name] = name
    assert list(entries) == ["a", "c"]


def test_expects_oauth_only_if_it_is_configured(blocks):
    assert not blocks.expects_oauth
    blocks.access = Access(Way.SPACE, "keeper", oauth=True)
    assert blocks.expects_oauth


@pytest.mark.parametrize(
    ("path", "is_quiet"), [("/gradio_api/heartbeat/page", True), ("/gradio_api/queue/join", False)]
)
def test_refused_call_at_the_end_of_a_heartbeat_raises_nothing(blocks, path, is_quiet):
    """Gradio makes it in the background after a page has gone, and would print a traceback."""
    scope = {"type": "http", "path": path, "headers": []}
    request = SimpleNamespace(request=Request(scope), username=None)
    closed = SimpleNamespace(fn=handler, targets=[(1, "unload")], api_name="leave")
    with contextlib.nullcontext() if is_quiet else pytest.raises(gr.Error, match="not available"):
        output = asyncio.run(blocks.process_api(closed, [], None, request, session_hash="page"))
        assert output["data"] == []
