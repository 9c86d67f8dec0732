"""The commands `python -m core push` and `export --push` against a loopback Hub."""

import pytest

from tests.helpers.exports import write_tiny_run
from tests.helpers.hub_endpoint import TOKEN, use_hub
from tests.helpers.loopback_hub import Gate, LoopbackHub
from tests.helpers.scored_evaluation import scored_evaluation


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with LoopbackHub(tmp_path / "hub") as made:
        made.add_token(TOKEN, "me")
        use_hub(made, monkeypatch)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield made


@pytest.fixture
def run(home, small_tokenizer):
    return write_tiny_run(home, small_tokenizer)


def test_export_with_push_prints_repository_and_account(ok, hub, run):
    *_, pushed, account = ok("export", run.id, "--push", "me/model", "--branch", "trial", "--public").splitlines()
    assert pushed.endswith("The repository is public: everybody can read it.")
    assert account.startswith("Account: me. Token 'test' from this machine (HF_TOKEN or a login).")
    assert "adapter_config.json" in hub.repos["model", "me/model"].at("trial")[1]
    assert ok("push", "account").strip() == account


def test_push_of_run_evaluation_and_subset(ok, hub, home, run, tmp_path):
    _, evaluation = scored_evaluation(home, tmp_path)
    for words, kind in (
        (("push", "run", run.id), "model"),
        (("push", "evaluation", evaluation.id), "dataset"),
        (("data", "push", "keeper"), "dataset"),
    ):
        ok(*words, f"me/{words[1]}")
        assert hub.repos[kind, f"me/{words[1]}"].private
    ok("data", "push", "keeper", "me/open", "--no-private")
    assert not hub.repos["dataset", "me/open"].private


def test_failed_push_says_how_to_push_the_finished_export(run_command, ok, hub, run):
    hub.upload_gate = Gate(10, breaks=True, times=1_000)
    hub.tokens.clear()
    code, out, err = run_command("export", run.id, "--push", "me/model")
    assert code == 2
    assert "does not accept the token" in err
    assert out.splitlines()[0].endswith("an adapter for tiny")
    command = err.splitlines()[-1].partition("python -m core ")[2]
    assert command.startswith("push export ")
    assert command.endswith("-final-adapter.zip me/model")
    hub.upload_gate = None
    hub.add_token(TOKEN, "me")
    ok(*command.split())
    assert TOKEN not in out + err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--branch", "x"], "Nothing is pushed without --push, so --branch would have no effect"),
        (["--push", "nonsense"], "is not a Hub id"),
        (["--push", "me/x", "--branch", "a", "--pull-request"], "opened against main"),
    ],
)
def test_option_that_cannot_be_used_is_refused_before_the_export(run_command, home, run, words, reason):
    code, out, err = run_command("export", run.id, *words)
    assert (code, out) == (2, "")
    assert reason in err
    assert list(home.exports_dir.glob("*.zip")) == []
