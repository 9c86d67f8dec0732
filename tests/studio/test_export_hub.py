"""Pushes from the Export tab: what is offered, the job and its result, accounts, and tokens that appear nowhere."""

import time

import pytest

from core.access import roles
from core.access.roles import Access, Caller, Role, Way
from core.errors import StudioError
from core.export.adapter import write_adapter
from core.runs.store import RunStore
from core.system import secret_masking
from core.system.jobs import Jobs
from studio import hub_tokens
from studio.export_hub import HubActions
from studio.hub_push import read_target, show_account
from tests.helpers.exports import write_tiny_run
from tests.helpers.hub_endpoint import TOKEN, use_hub
from tests.helpers.loopback_hub import Gate, LoopbackHub

OAUTH = "hf_oauth_" + "o" * 40


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(secret_masking, "_given", {})
    monkeypatch.setattr(hub_tokens, "_tokens", {})
    with LoopbackHub(tmp_path / "hub") as made:
        made.add_token(TOKEN, "me")
        made.add_token(OAUTH, "keeper")
        made.add_token("hf_read_only", "me", role="read")
        use_hub(made, monkeypatch)
        yield made


@pytest.fixture
def do(settings, small_tokenizer):
    run = write_tiny_run(settings, small_tokenizer)
    actions = HubActions(RunStore(settings), Jobs())
    actions.run = run
    return actions


def values(repo="me/model", **options):
    return {"repo": repo, "private": True, "branch": "", "pull_request": False, "token": TOKEN} | options


def test_finished_exports_and_the_run_are_offered(do, settings):
    assert [value for _, value in do.list_files(do.run.id)["what"]["choices"]] == ["run"]
    written = write_adapter(settings, do.run)
    written.path.with_name(written.path.name.replace("final-adapter", "report")).touch()
    offered = do.list_files(do.run.id, "run")["what"]
    assert [value for _, value in offered["choices"]] == [written.path.name, "run"]
    assert offered["value"] == written.path.name
    none = do.list_files(None)["what"]
    assert (none["choices"], "no run has an adapter yet" in none["info"]) == ([], True)
    with roles.acting(Caller(Role.VISITOR, "x")):
        assert do.list_files(do.run.id)["what"]["choices"] == []


def test_push_shows_the_repository_and_the_account_and_the_token_is_nowhere(do, settings, hub, capfd, tmp_path):
    name = write_adapter(settings, do.run).path.name
    updates = list(do.push(do.run.id, name, **values()))
    result = updates[-1]["account"]
    assert "Pushed to me/model, which is private." in result
    assert "Account: me. Token" in result
    assert "adapter_model.safetensors" in hub.repos["model", "me/model"].files
    for broken, words in (("/dev/null", "no export"), (name, "the token may not do that")):
        with pytest.raises(StudioError, match=words):
            list(do.push(do.run.id, broken, **values("someone/else")))
    secret_masking.log_event("pushed", token=TOKEN)
    shown = repr([updates, [(job.title, job.stage, job.error) for job in do.jobs._jobs.values()]])
    logged = "".join(capfd.readouterr())
    assert TOKEN not in shown + logged
    for path in [*settings.home.rglob("*"), *(tmp_path / "hub").rglob("*")]:
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    assert all(TOKEN.encode() not in data for repo in hub.repos.values() for data in repo.files.values())
    assert secret_masking.masked(f"x {TOKEN} y") == f"x {secret_masking.MASK} y"


def test_cancelled_push_leaves_nothing_and_the_next_one_succeeds(do, settings, hub):
    name = write_adapter(settings, do.run).path.name
    gate = hub.upload_gate = Gate(10)
    first = do.push(do.run.id, name, **values())
    job = next(updates["job"] for updates in first if updates.get("job"))
    assert gate.reached.wait(30)
    do.cancel(job)
    gate.opened.set()
    assert do.jobs.find(job).status == "cancelled"
    assert [path.name for path in settings.exports_dir.iterdir()] == [name]
    assert list(hub.repos["model", "me/model"].files) == [".gitattributes"]
    assert "which is private" in list(do.push(do.run.id, name, **values()))[-1]["account"]


def test_given_token_of_any_form_is_masked(hub):
    read_target(**values(token="of-another-form"))
    assert secret_masking.masked("it is of-another-form") == f"it is {secret_masking.MASK}"


def test_account_names_who_it_is_and_what_the_token_may_do(hub):
    assert "Account: me. Token" in show_account(TOKEN)["account"]
    assert "It may read, and not write." in show_account(" hf_read_only ")["account"]
    with pytest.raises(StudioError, match="does not accept the token"):
        show_account("hf_wrong")
    with pytest.raises(StudioError, match="A token with write access is needed"):
        show_account("")


def sign_in(scope, name="keeper", expires=3600):
    access = Access(Way.SPACE, "keeper", oauth=True)
    person = {"preferred_username": name, "orgs": []}
    info = {"userinfo": person, "access_token": OAUTH, "scope": scope, "expires_at": time.time() + expires}
    hub_tokens.keep(access, info)
    return Caller(Role.OWNER, f"user {name}")


def test_sign_in_of_an_owner_with_the_right_to_repositories_pushes(hub):
    with roles.acting(sign_in("openid profile contribute-repos")):
        target, source = read_target(**values(token=""))
        assert target.secret == OAUTH
        assert source == "your sign-in with Hugging Face"
        assert "Account: keeper. Token" in show_account(None)["account"]
        assert read_target(**values())[0].secret == TOKEN, "a typed token comes first"
    assert read_target(**values(token=""))[0].secret is None, "another caller has no such token"
    assert secret_masking.masked(OAUTH) == secret_masking.MASK


@pytest.mark.parametrize(
    ("scope", "name", "expires"),
    [("openid profile", "keeper", 3600), ("write-repos", "visitor", 3600), ("write-repos", "keeper", -1)],
)
def test_sign_in_without_that_right_keeps_no_token(hub, scope, name, expires):
    with roles.acting(sign_in(scope, name, expires)):
        assert hub_tokens.find() is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"repo": "model"}, "Repository"),
        ({"repo": None}, "Repository"),
        ({"branch": "refs/pr/1"}, "Branch"),
        ({"branch": "a", "pull_request": True}, "opened against main"),
    ],
)
def test_value_that_cannot_be_used_is_refused_by_its_title(given, words):
    with pytest.raises(StudioError, match=words):
        read_target(**values(**given))
