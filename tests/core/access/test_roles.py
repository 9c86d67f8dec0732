"""The role of each caller, and the runs and datasets that it may see."""

import pytest

from core.access import roles, visibility
from core.access.roles import Access, Caller, Role, Way, acting
from core.data import sources, subset, table
from core.errors import StudioError
from core.runs.store import RunStore
from core.settings import Settings
from tests.helpers.datasets import copy_bundled

SPACE = Access(Way.SPACE, "keeper", oauth=True)
VISITOR = Caller(Role.VISITOR, "browser x")


def person(name, *orgs, **more):
    """Return the session of a signed-in account with its organizations."""
    return {"oauth_info": {"userinfo": {"preferred_username": name, "orgs": list(orgs)}, **more}}


def test_own_machine_caller_is_owner(settings):
    known = Access.of(settings, {})
    assert known.way is Way.OWN_MACHINE
    assert known.who(None, None, "").is_owner


def test_password_holder_is_owner_others_are_signed_out(tmp_path):
    known = Access.of(Settings(home=tmp_path, password="open sesame"), {})
    assert known.who(None, "studio", "").is_owner
    assert known.who(person("keeper"), None, "x").role is Role.SIGNED_OUT


@pytest.mark.parametrize(
    ("session", "role"),
    [
        (person("keeper"), Role.OWNER),
        (person("x", {"preferred_username": "keeper", "roleInOrg": "write"}), Role.OWNER),
        (person("x", {"preferred_username": "keeper", "roleInOrg": "admin"}), Role.OWNER),
        (person("x", {"preferred_username": "keeper", "roleInOrg": "read"}), Role.VISITOR),
        (person("x", {"preferred_username": "keeper", "roleInOrg": "contributor"}), Role.VISITOR),
        (person("x", {"preferred_username": "keeper", "roleInOrg": None}), Role.VISITOR),
        (person("x", {"preferred_username": "keeper"}), Role.VISITOR),
        (person("x", {"name": "keeper", "roleInOrg": "admin"}), Role.VISITOR),
        (person("x", {"preferred_username": "other"}), Role.VISITOR),
        (person("keeper", expires_at=1), Role.VISITOR),
        (person(None), Role.VISITOR),
        ({"oauth_info": {"userinfo": None}}, Role.VISITOR),
        ({"oauth_info": "keeper"}, Role.VISITOR),
        ({}, Role.VISITOR),
        (None, Role.VISITOR),
    ],
)
def test_space_author_is_owner_others_are_visitors(session, role):
    assert SPACE.who(session, "keeper", "keeper").role is role


@pytest.mark.parametrize(
    "session",
    [
        person("keeper", expires_at=4e9, access_token="hf_oauth_x", id_token="x.y.z"),
        person("x", {"preferred_username": "keeper", "roleInOrg": "admin", "picture": "https://x"}, expires_at=4e9),
        person("x", {"preferred_username": "other", "roleInOrg": "admin"}, expires_at=4e9),
        person("keeper", expires_at=1, access_token="hf_oauth_x"),
        {"oauth_info": {"access_token": "hf_oauth_x"}},
    ],
)
def test_kept_sign_in_identifies_same_caller_with_less_data(session):
    stored = SPACE.session_part(session["oauth_info"])
    assert SPACE.who({"oauth_info": stored}, None, "c") == SPACE.who(session, None, "c")
    assert SPACE.session_part(stored) == stored
    assert not [word for word in ("token", "hf_oauth", "other", "https") if word in str(stored)]


def test_space_without_author_has_no_owner():
    assert Access(Way.SPACE, "", oauth=True).who(person(""), None, "").role is Role.VISITOR


def test_visitors_are_identified_by_cookie():
    names = {SPACE.who(None, None, cookie).name for cookie in ("a", "b", "")}
    assert len(names) == 3


def test_visitor_sees_finished_published_runs_only(a_run, runs):
    running, hidden, shown = (a_run(status=status) for status in ("running", "finished", "finished"))
    for run in (running, shown):
        visibility.publish(runs.settings, "runs", run.id, True)
    assert len(runs.runs()) == 3
    with acting(VISITOR):
        assert [run.id for run in RunStore(runs.settings).runs()] == [shown.id]
        assert runs.run(shown.id).id == shown.id
        for run in (running, hidden):
            with pytest.raises(StudioError, match="There is no run"):
                runs.run(run.id)
        with pytest.raises(StudioError, match="Only the owner can publish"):
            visibility.publish(runs.settings, "runs", hidden.id, True)
    visibility.publish(runs.settings, "runs", shown.id, False)
    with acting(VISITOR):
        assert runs.runs() == []


def test_visitor_sees_bundled_and_published_data_only(settings, tmp_path):
    copy_bundled(settings)
    (tmp_path / "own.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    own = sources.open_file(settings, tmp_path / "own.jsonl")
    with acting(VISITOR):
        assert [d.source.kind for d in table.opened_datasets(settings)] == ["bundled"]
        assert [s.source.kind for s in subset.subsets(settings)] == ["bundled"]
        with pytest.raises(StudioError, match="There is no open dataset") as refused:
            table.find(settings, own.id)
        assert own.id not in str(refused.value).partition("Opened so far")[2]
    visibility.publish(settings, "datasets", own.id, True)
    with acting(VISITOR):
        assert table.find(settings, own.id).rows == 1


def test_damaged_published_file_is_an_error_and_is_kept(settings):
    (settings.home / "published.json").write_text("{")
    with pytest.raises(StudioError, match="cannot be read"):
        visibility.publish(settings, "runs", "x", True)
    with acting(VISITOR), pytest.raises(StudioError, match="cannot be read"):
        visibility.can_see_run(settings, "x", "finished")


def test_visitor_export_folder_has_random_name(settings, monkeypatch):
    assert roles.exports(settings) == settings.exports_dir
    monkeypatch.setattr(roles, "_MAX_VISITOR_EXPORTS", 3)
    with acting(VISITOR):
        made = [roles.exports(settings) for _ in range(5)]
    assert len({path.name for path in made}) == 5
    assert len(list((settings.exports_dir / "visitors").iterdir())) == 3
