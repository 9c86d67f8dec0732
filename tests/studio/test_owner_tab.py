"""studio/owner_tab.py: what is published, what is used, what goes."""

import os

import pytest

from core.access import visibility
from core.access.quotas import Quotas, Tokens
from core.access.roles import Caller, Role, acting
from core.data import table
from core.errors import StudioError
from core.runs import cleanup
from studio import owner_tab
from studio.owner_tab import Owner, items_html


@pytest.fixture
def do(runs, monkeypatch):
    said = []
    monkeypatch.setattr(owner_tab, "info", lambda text, title: said.append(title))
    limits = Quotas()
    made = Owner(runs, limits, Tokens(runs.settings, limits))
    made.said = said
    return made


def test_finished_runs_are_offered_and_those_published_are_chosen(do, a_run):
    done, _ = a_run(), a_run(status="failed")
    do.publish([done.id], [])
    runs, datasets, use = do.listed()
    assert [one for _, one in runs["choices"]] == runs["value"] == [done.id]
    assert datasets["choices"] == [], "what is bundled needs no leave"
    assert "Uploads" in use


def test_these_and_no_others_are_published(do, a_run):
    first, second = a_run(), a_run()
    do.publish([first.id], None)
    do.publish([second.id], None)
    assert visibility.read(do.settings).runs == [second.id]
    with pytest.raises(StudioError, match="There is no run"):
        do.publish(["no-such-run"], None)
    with pytest.raises(StudioError):
        do.publish([], [f"{table.opened_datasets(do.settings)[0].id}x"])
    assert visibility.read(do.settings).runs == [second.id]


def test_the_page_is_the_owner_s(do):
    with acting(Caller(Role.VISITOR, "x")), pytest.raises(StudioError, match="the owner's"):
        do.listed()


def test_only_what_was_listed_goes(do):
    for path in (do.settings.uploads_dir / "old", do.settings.uploads_dir / "other"):
        path.mkdir(parents=True)
        (path / "rows.jsonl").write_text("x" * 100)
        os.utime(path, (0, 0))
    html, names, sure = do.look(["uploads"], 30, 0)
    assert sorted(names) == [f"{do.settings.uploads_dir.name}/old", f"{do.settings.uploads_dir.name}/other"]
    assert (sure["interactive"], "2 would go" in html) == (True, True)
    *_, use = do.remove(["uploads"], 30, 0, names[:1])
    assert [f"{path.parent.name}/{path.name}" for path in do.settings.uploads_dir.iterdir()] == names[1:]
    assert "Disk" in use
    assert do.said == ["1 removed"]
    with pytest.raises(StudioError, match=r"Older than .days. is empty"):
        do.look(["uploads"], None, 0)
    with pytest.raises(StudioError, match="Nothing is listed"):
        do.remove(["uploads"], 30, 0, [])


def test_a_name_in_the_list_is_text(tmp_path):
    item = cleanup.Item("uploads", "<img src=x onerror=alert(1)>", tmp_path, 1, 1.0)
    assert "<img" not in items_html([item])
    assert "Nothing is like that" in items_html([])
    assert "The first 200 are shown" in items_html([item] * 201)
