"""Opening datasets and models of the Hub through the studio, with the real clients, against a Hub on loopback."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data import subset, table
from core.hub import client
from core.models import embedded
from core.runs.store import RunStore
from tests.helpers.fork_server import TRAINING, ForkServer
from tests.helpers.loopback_hub import LoopbackHub
from tests.helpers.tiny_model import tiny_llama

ROW = b'{"text": "### Human: What is a tide?### Assistant: The sea, breathing."}\n'


@pytest.fixture(scope="module")
def world(tmp_path_factory, small_tokenizer):
    folder = tmp_path_factory.mktemp("hub")
    model = folder / "model"
    tiny_llama(vocab_size=len(small_tokenizer)).save_pretrained(model)
    small_tokenizer.save_pretrained(model)
    with LoopbackHub(folder) as server:
        server.add_repo("dataset", "someone/guanaco", {"data/train.jsonl": ROW * 30, "data/test.jsonl": ROW * 4})
        server.add_repo("dataset", "someone/private", {"train.jsonl": ROW}, private=True)
        server.add_repo("dataset", "someone/odd", {"train.jsonl": b'{"weight": 3}\n'})
        server.add_repo("dataset", "meta/gated", {"train.jsonl": ROW}, gated=True)
        server.add_repo("model", "meta/gated-llama", {"config.json": b"{}"}, gated=True)
        server.add_repo("model", "someone/tiny", model)
        server.add_repo("model", "someone/empty", {"README.md": b"nothing"})
        server.add_token("hf_good", "tester", may_read={"someone/private"})
        yield server


@pytest.fixture(scope="module")
def commands(world):
    """A process that has imported the command line for this Hub: HF_ENDPOINT is read at import."""
    modules = ("core.cli", "core.chat.lanes", "huggingface_hub.hf_api", "huggingface_hub.file_download", "datasets")
    server = ForkServer(modules + TRAINING, world.env())
    yield server
    server.close()


@pytest.fixture
def shell(commands, settings):
    """Run a command as a fork, and return its exit code and output."""

    def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
        code, out, err = commands.run("core", *arguments, STUDIO_HOME=str(settings.home), **environment)
        assert "Traceback" not in err
        return code, out, err

    return run


def test_hub_dataset_is_pinned_and_its_test_split_held_out(world, shell, settings):
    code, out, err = shell("data", "open", "someone/guanaco")
    assert code == 0, err
    (data,) = table.opened_datasets(settings)
    assert data.splits == {"train": 30, "held-out": 4}
    assert data.source.revision == world.repos["dataset", "someone/guanaco"].head
    assert out.startswith(f"{data.id}: 34 rows, 34 usable")
    asked = len(world.requests)
    # It was opened before, so only its commit and the access are asked for.
    assert shell("data", "open", "someone/guanaco")[0] == 0
    assert len(world.requests) == asked + 2
    assert shell("data", "open", "someone/guanaco", "--split", "test")[0] == 0
    assert {d.rows for d in table.opened_datasets(settings)} == {34, 4}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["someone/none"], "was not found on the Hub. Check the spelling"),
        (["someone/private"], "If it is private"),
        (["meta/gated"], "is gated, and no token is set"),
        (["someone/guanaco", "--revision", "no-such"], "has no such revision"),
        (["someone/guanaco", "--split", "dev"], "dev"),
        (["someone/guanaco", "--config", "german"], "german"),
        (["someone/odd"], "No text in 'someone/odd' (columns: weight)"),
        (["../etc/passwd"], "is not a Hub id"),
    ],
)
def test_failed_open_is_reported_and_leaves_nothing(shell, settings, arguments, words):
    code, _, err = shell("data", "open", *arguments)
    assert code == 2
    assert words in err
    assert list(settings.datasets_dir.glob("[!.]*")) == list(settings.datasets_dir.glob(".ingest-*")) == []


def test_token_opens_private_repository(shell, settings):
    assert shell("data", "open", "someone/private", HF_TOKEN="hf_good")[0] == 0
    code, _, err = shell("data", "open", "meta/gated", HF_TOKEN="hf_good")
    assert code == 2
    assert "the token has no access" in err
    code, _, err = shell("data", "open", "someone/guanaco", HF_TOKEN="hf_bad")
    assert code == 2
    assert "does not accept the token" in err
    for path in settings.home.rglob("*"):
        if path.is_file():
            assert b"hf_good" not in path.read_bytes()


def test_missing_network_is_reported(world, settings):
    environment = world.env(STUDIO_HOME=str(settings.home), HF_ENDPOINT="http://127.0.0.1:9")
    command = [sys.executable, "-m", "core", "data", "open", "someone/guanaco"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("someone/none", "was not found on the Hub"),
        ("meta/gated-llama", "is gated, and no token is set"),
        ("someone/empty", "lacks a file that is needed"),
        ("../../etc", "There is no model"),
    ],
)
def test_unavailable_model_leaves_no_run(shell, settings, model, words):
    code, _, err = shell("train", "--model", model)
    assert code == 2
    assert words in err
    assert RunStore(settings).runs() == []


@pytest.mark.slow
def test_hub_model_trains_and_answers(shell, settings):
    arguments = ["--model", "someone/tiny", "--max-steps", "2", "--batch-size", "2", "--eval-rows", "2"]
    code, out, err = shell("train", *arguments)
    assert code == 0, err
    (run,) = RunStore(settings).runs()
    assert run.state().status == "finished"
    code, out, err = shell("chat", run.id, "Hello?", "--max-new-tokens", "4")
    assert code == 0, err
    assert "[base: " in out
    assert "[tuned: " in out


@given(st.text())
def test_is_hub_id_accepts_owner_and_name_only(text):
    if client.is_hub_id(text):
        owner, _, name = text.partition("/")
        assert owner
        assert name
        assert "/" not in name
        assert ".." not in text
        assert os.path.normpath(text) == text


def test_bundled_data_and_embedded_model_need_no_hub(world, shell, settings):
    asked = len(world.requests)
    assert shell("data", "list")[0] == 0
    assert shell("models", "list")[0] == 0
    assert len(world.requests) == asked
    assert subset.find(settings, "keeper").rows > 0
    assert not embedded.is_prepared(settings)
