"""Sessions, chats and files of other callers."""

import json

import httpx
import pytest

from core.chat import conversation
from tests.helpers.app_server import PageClient, QueueClient
from tests.helpers.space_server import AUTHOR, get, signed_in_headers, visitor_headers


@pytest.fixture
def page(on_space):
    """The page of a visitor, opened anew."""
    made = PageClient(on_space.url, visitor_headers("d" * 32))
    yield made
    made.http.close()


def download_curves(page: PageClient, run_id: str) -> dict:
    """Call the event that writes a run's curves to a file, and return its answer."""
    event = next(e for e in page.events if e["api_name"].startswith("write_csv"))
    return page.run(event, [run_id])


def test_visitor_sees_only_published_runs_and_data(on_space, page):
    lists = next(e for e in page.events if e["api_name"].startswith("refresh_list"))
    shown = page.run(lists, [None, True])["output"]["data"][0]
    assert [run_id for _, run_id in shown["choices"]] == ["shown-run"]
    assert "hidden" not in str(shown)
    opened = next(e for e in page.events if e["api_name"].startswith("on_load"))
    data = page.run(opened, [])["output"]["data"][0]
    assert [name.rpartition("-")[0] for _, name in data["choices"]] == ["keeper", "shown"]


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/gradio_api/openapi.json"])
def test_page_names_nothing_unpublished(on_space, path):
    answer = get(on_space, path, visitor_headers("d" * 32))
    assert answer.status_code == 200
    assert not [word for word in ("hidden-", "hidden.jsonl", str(on_space.settings.home)) if word in answer.text]


def test_unpublished_run_gives_the_error_of_a_missing_one(on_space, page):
    hidden, missing = download_curves(page, "hidden-run"), download_curves(page, "missing-run")
    assert hidden["output"]["error"].replace("hidden", "missing") == missing["output"]["error"]


def test_unpublished_dataset_cannot_be_chosen(on_space, page):
    hidden = next(path.name for path in on_space.settings.datasets_dir.glob("hidden-*"))
    error = page.call("choose_dataset", hidden, None)["error"]
    assert "There is no open dataset" in error
    assert hidden not in error.partition("Opened so far")[2]


def test_file_of_a_visitor_is_refused_to_another(on_space, page):
    made = download_curves(page, "shown-run")
    path = made["output"]["data"][0]["path"]
    assert get(on_space, f"/gradio_api/file={path}", visitor_headers("d" * 32)).status_code == 200
    assert get(on_space, f"/gradio_api/file={path}", visitor_headers("e" * 32)).status_code == 403
    assert get(on_space, f"/gradio_api/file={path}").status_code == 403
    assert get(on_space, f"/gradio_api/file={path}", signed_in_headers(AUTHOR)).status_code == 200


def test_session_is_refused_to_another_browser(on_space, page):
    other = QueueClient(on_space.url, visitor_headers("e" * 32))
    other.session = page.session
    answer = other.http.post("/queue/join", json={"fn_index": 0, "data": [], "session_hash": page.session})
    streamed = other.http.get("/queue/data", params={"session_hash": page.session})
    assert streamed.status_code == 403, (answer.status_code, streamed.text)
    assert other.http.get(f"/heartbeat/{page.session}").status_code == 403
    own = {"session_hash": "the-other-s-own"}
    assert other.http.get(f"/heartbeat/{page.session}", params=own).status_code == 403
    other.http.close()


def test_visitor_opens_chats_by_id_and_never_the_owners(on_space, page):
    event = next(e for e in page.events if e["api_name"] == "open_chat")
    new = page.run(event, [""])["output"]["data"][0]
    assert json.loads(new)[0].startswith("v")
    owners = conversation.new_conversation()
    conversation.save(on_space.settings, owners)
    tried = page.run(event, [f'["{owners.id}"]'])["output"]["data"][0]
    assert conversation.load(on_space.settings, owners.id) is not None
    # The opened conversation comes first in the list of the browser's ids.
    assert json.loads(tried)[0].startswith("v"), "a new conversation of the visitor was opened"


def test_state_sent_by_the_caller_is_ignored(on_space, page):
    """The server keeps the state of a page; a value sent in its place changes nothing."""
    hidden = next(path.name for path in on_space.settings.datasets_dir.glob("hidden-*"))
    event = next(e for e in page.events if e["api_name"] == "search_rows")
    page.run(event, [{"dataset": hidden}, "owner"])
    row = next(e for e in page.events if e["api_name"].startswith("show_row"))
    shown = page.run(row, [{"dataset": hidden}, 1, "Raw"])
    assert "nobody else" not in str(shown)


def test_run_log_is_owner_only(on_space, page):
    event = next(e for e in page.events if e["api_name"] == "read_log")
    assert "Only the owner can do this" in page.run(event, ["shown-run"])["output"]["error"]


def test_cancel_of_an_unknown_event_is_no_server_error(on_space, page):
    answer = httpx.post(
        f"{on_space.url}/gradio_api/cancel", json={"session_hash": "x", "fn_index": 0, "event_id": "y"}, verify=False
    )
    assert answer.status_code < 500
