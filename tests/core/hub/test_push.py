"""Folders pushed by the real client to a Hub on loopback, and refusals as sentences."""

import json
import os
import subprocess
import sys

import pytest
from huggingface_hub import DatasetCard

from core.data import subset
from tests.helpers.datasets import copy_bundled
from tests.helpers.fork_server import PROJECT, ForkServer
from tests.helpers.loopback_hub import LoopbackHub


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as server:
        server.add_token("hf_write", "me")
        server.add_token("hf_read", "me", role="read")
        server.add_repo("dataset", "someone/theirs", {"README.md": b"x"})
        server.add_repo("dataset", "me/there", {"README.md": b"old", "kept.txt": b"kept"})
        yield server


@pytest.fixture(scope="module")
def clients(world):
    """A process that has imported the client for this Hub: HF_ENDPOINT is read at import."""
    server = ForkServer(("core.cli", "core.hub.push", "huggingface_hub.hf_api", "datasets"), world.env())
    yield server
    server.close()


@pytest.fixture
def push(world, clients, tmp_path):
    """Push a folder by a fork; by a process of its own to another endpoint."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "README.md").write_text("# A dataset\n")
    (folder / "train.parquet").write_bytes(os.urandom(100_000))

    def run(repo, kind="dataset", private=True, token="hf_write", **environment):
        arguments = json.dumps([str(folder), repo, kind, private, token])
        if "HF_ENDPOINT" not in environment:
            code, out, err = clients.run("tests.helpers.push_client", arguments, **environment)
            assert code == 0, err
            return json.loads(out)
        done = subprocess.run(
            [sys.executable, "-m", "tests.helpers.push_client", arguments], env=world.env(**environment),
            capture_output=True, text=True, timeout=120, cwd=PROJECT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    run.folder = folder
    return run


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_push_uploads_folder_to_new_private_repository(world, push, kind):
    done = push(f"me/new-{kind}", kind)
    repo = world.repos[kind, f"me/new-{kind}"]
    assert repo.private
    assert {name: repo.files[name] for name in ("README.md", "train.parquet")} == {
        path.name: path.read_bytes() for path in push.folder.iterdir()
    }
    assert repo.head in done["url"]
    shares = [share for share, _ in done["reported"]]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert world.unknown == []


def test_push_to_existing_repository_adds_one_commit_and_keeps_its_visibility(world, push):
    before = len(world.repos["dataset", "me/there"].commits)
    push("me/there", private=True)
    repo = world.repos["dataset", "me/there"]
    assert not repo.private
    assert repo.files["kept.txt"] == b"kept"
    assert repo.files["README.md"] == b"# A dataset\n"
    assert len(repo.commits) == before + 1


def test_push_reads_token_from_environment(world, push):
    assert "url" in push("me/by-environment", token=None, HF_TOKEN="hf_write")


@pytest.mark.parametrize(
    ("repo", "how", "words"),
    [
        ("me/x", {"token": None}, "needs a token with write access"),
        ("me/x", {"token": "hf_wrong"}, "does not accept the token"),
        ("me/read-only", {"token": "hf_read"}, "the token may not do that"),
        ("someone/theirs", {}, "the token may not do that"),
        ("someone/new", {}, "the token may not do that"),
        ("nonsense", {}, "'nonsense' is not a Hub id"),
        ("../../etc/x", {}, "is not a Hub id"),
        ("me/x", {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
    ],
)
def test_failed_push_is_reported_and_changes_nothing(world, push, repo, how, words):
    before = {key: dict(found.files) for key, found in world.repos.items()}
    assert words in push(repo, **how)["error"]
    assert {key: dict(found.files) for key, found in world.repos.items()} == before


def test_pushed_subset_opens_again_unchanged(world, clients, settings):
    copy_bundled(settings)

    def core(*words: str) -> str:
        code, out, err = clients.run("core", *words, STUDIO_HOME=str(settings.home), HF_TOKEN="hf_write")
        assert code == 0, err
        return out

    core("data", "push", "keeper", "me/keeper")
    repo = world.repos["dataset", "me/keeper"]
    card = DatasetCard(repo.files["README.md"].decode())
    assert card.data.configs[0]["data_files"][0] == {"split": "train", "path": "train.parquet"}
    reported = core("data", "open", "me/keeper")
    core("data", "subset", reported.partition(":")[0], "again")
    original, reopened = (subset.load(settings, name) for name in ("keeper", "again"))
    for split in ("train", "held-out"):
        assert [m for _, m in original[split]] == [m for _, m in reopened[split]]
    for path in settings.home.rglob("*"):
        assert not path.is_file() or b"hf_write" not in path.read_bytes()
