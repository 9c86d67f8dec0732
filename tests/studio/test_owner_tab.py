"""The Owner tab: publishing and removing files."""

import os

import pytest

from core.access import visibility
from core.access.quotas import Quotas, Tokens
from core.access.roles import Caller, Role, acting
from core.chat import conversation
from core.data import table
from core.errors import StudioError
from core.runs import cleanup
from studio import owner_tab
from studio.owner_tab import OwnerActions, items_html
from tests.helpers.datasets import open_dataset


@pytest.fixture
def do(runs, monkeypatch):
    titles = []
    monkeypatch.setattr(owner_tab, "info", lambda text, title: titles.append(title))
    limits = Quotas()
    made = OwnerActions(runs, limits, Tokens(runs.settings, limits))
    made.titles = titles
    return made


def test_fill_lists_finished_runs_and_chooses_the_published(do, a_run):
    done, _ = a_run(), a_run(status="failed")
    do.publish([done.id], [])
    filled = do.fill()
    assert [one for _, one in filled["runs"]["choices"]] == filled["runs"]["value"] == [done.id]
    assert filled["datasets"]["choices"] == [], "bundled data is not published, it is open to all"
    assert "Uploads" in filled["usage"]


def test_usage_counts_no_chat_that_an_opened_page_has_left_empty(do):
    empty, asked = conversation.new_conversation(), conversation.new_conversation()
    asked.ask("How deep is the sea?")
    for chat in (empty, asked):
        conversation.save(do.settings, chat)
    assert conversation.count_asked(do.settings) == 1
    assert "<td>1</td>" in do.usage_html()


def test_publish_replaces_what_was_published(do, a_run):
    first, second = a_run(), a_run()
    do.publish([first.id], None)
    do.publish([second.id], None)
    assert visibility.read(do.settings).runs == [second.id]
    with pytest.raises(StudioError, match="There is no run"):
        do.publish(["no-such-run"], None)
    with pytest.raises(StudioError, match="There is no open dataset"):
        do.publish([], [f"{table.opened_datasets(do.settings)[0].id}x"])
    assert visibility.read(do.settings).runs == [second.id]


@pytest.mark.parametrize("status", ["queued", "running", "failed", "unreadable"])
def test_publish_keeps_a_published_run_that_is_not_finished(do, a_run, status):
    resumed, done = a_run(), a_run()
    do.publish([resumed.id], [])
    if status == "unreadable":
        (resumed.folder / "state.json").write_text("{")
    else:
        resumed.save_state(resumed.saved_state().model_copy(update={"status": status}))
    filled = do.fill()
    assert {one for _, one in filled["runs"]["choices"]} == {resumed.id, done.id}
    do.publish([*filled["runs"]["value"], done.id], filled["datasets"]["value"])
    assert set(visibility.read(do.settings).runs) == {resumed.id, done.id}
    do.publish([done.id], [])
    assert visibility.read(do.settings).runs == [done.id]


def test_publish_keeps_a_published_dataset_that_is_not_listed(do, tmp_path):
    data = open_dataset(do.settings, tmp_path, [{"instruction": "Add", "output": "2"}])
    do.publish([], [data.id])
    (table.folder(do.settings, data.id) / "about.json").write_text("{")
    filled = do.fill()
    assert filled["datasets"]["choices"] == []
    do.publish([], filled["datasets"]["value"])
    assert visibility.read(do.settings).datasets == [data.id]


def test_fill_is_refused_for_a_visitor(do):
    with acting(Caller(Role.VISITOR, "x")), pytest.raises(StudioError, match="Only the owner can use this tab"):
        do.fill()


def test_remove_deletes_only_what_was_listed(do):
    for path in (do.settings.uploads_dir / "old", do.settings.uploads_dir / "other"):
        path.mkdir(parents=True)
        (path / "rows.jsonl").write_text("x" * 100)
        os.utime(path, (0, 0))
    listed = do.list_items(["uploads"], 30, 0)
    names = listed["seen"]
    assert sorted(names) == [f"{do.settings.uploads_dir.name}/old", f"{do.settings.uploads_dir.name}/other"]
    assert (listed["confirm"]["interactive"], "2 files or folders would be removed" in listed["found"]) == (True, True)
    left = do.remove(["uploads"], 30, 0, names[:1])
    assert [f"{path.parent.name}/{path.name}" for path in do.settings.uploads_dir.iterdir()] == names[1:]
    assert "Disk" in left["usage"]
    assert do.titles == ["1 removed"]
    with pytest.raises(StudioError, match=r"Older than .days. is empty"):
        do.list_items(["uploads"], None, 0)
    with pytest.raises(StudioError, match="Nothing is listed"):
        do.remove(["uploads"], 30, 0, [])


def test_items_html_hostile_name_stays_text(tmp_path):
    item = cleanup.Item("uploads", "<img src=x onerror=alert(1)>", tmp_path, 1, 1.0)
    assert "<img" not in items_html([item])
    assert "No files match" in items_html([])
    assert "The first 200 are shown" in items_html([item] * 201)
