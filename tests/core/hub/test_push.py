"""Folders pushed by the real client to a Hub on loopback, and refusals as sentences."""

import itertools
import json
import os
import subprocess
import sys
import threading
from hashlib import sha256

import pytest
from huggingface_hub import DatasetCard
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from core.data import subset
from core.system.sizes import format_size
from tests.helpers.datasets import copy_bundled
from tests.helpers.fork_server import PROJECT, ForkServer
from tests.helpers.loopback_hub import Gate, LoopbackHub

TOKEN = "hf_" + "w" * 34


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as server:
        server.add_token(TOKEN, "me")
        server.add_token("hf_read", "me", role="read")
        server.add_token("hf_fine", "me", role="fineGrained", scoped=("me",))
        server.add_token("hf_fine_elsewhere", "me", role="fineGrained")
        server.add_repo("dataset", "someone/theirs", {"README.md": b"x"})
        server.add_repo("dataset", "someone/hidden", {"README.md": b"x"}, private=True)
        server.add_repo("dataset", "me/there", {"README.md": b"old", "kept.txt": b"kept"})
        yield server


@pytest.fixture(scope="module")
def clients(world):
    """A process that has imported the client for this Hub: HF_ENDPOINT is read at import."""
    server = ForkServer(
        ("core.cli", "core.hub.push", "core.hub.upload", "huggingface_hub.hf_api", "datasets"), world.env()
    )
    yield server
    server.close()


@pytest.fixture
def push(world, clients, tmp_path):
    """Push a folder by a fork; by a process of its own to another endpoint."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "README.md").write_text("# A dataset\n")
    (folder / "train.parquet").write_bytes(os.urandom(100_000))

    def run(repo, kind="dataset", token=TOKEN, environment=None, **target):
        environment = environment or {}
        arguments = json.dumps([str(folder), kind, {"repo": repo, "token": token, **target}])
        if "HF_ENDPOINT" not in environment:
            code, out, err = clients.run("tests.helpers.push_client", arguments, **environment)
            assert code == 0, err
        else:
            done = subprocess.run(
                [sys.executable, "-m", "tests.helpers.push_client", arguments], env=world.env(**environment),
                capture_output=True, text=True, timeout=120, cwd=PROJECT,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            out, err = done.stdout, done.stderr
            assert err == ""
        assert TOKEN not in out + err
        return json.loads(out)

    run.folder = folder
    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_push_uploads_folder_to_new_private_repository(world, push, kind):
    done = push(f"me/new-{kind}", kind)
    repo = world.repos[kind, f"me/new-{kind}"]
    assert repo.private
    assert {name: repo.files[name] for name in ("README.md", "train.parquet")} == contents(push.folder)
    assert repo.head in done["url"]
    assert done["description"].endswith("The repository is private.")
    shares = [share for share, _ in done["reported"]]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert world.unknown == []


def test_push_to_existing_repository_adds_one_commit_and_keeps_its_visibility(world, push):
    before = len(world.repos["dataset", "me/there"].commits)
    done = push("me/there", private=True)
    repo = world.repos["dataset", "me/there"]
    assert not repo.private
    assert "public: everybody can read it" in done["description"]
    assert repo.files["kept.txt"] == b"kept"
    assert repo.files["README.md"] == b"# A dataset\n"
    assert len(repo.commits) == before + 1


def test_push_to_branch_creates_it_and_leaves_main(world, push):
    push("me/branched", private=False)
    repo = world.repos["dataset", "me/branched"]
    assert not repo.private
    main = dict(repo.files)
    (push.folder / "more.txt").write_text("more")
    for _ in range(2):
        push("me/branched", branch="trial/2")
    assert repo.files == main
    assert repo.at("trial/2")[1]["more.txt"] == b"more"


def test_pull_request_proposes_files_to_a_repository_of_others(world, push):
    before = dict(world.repos["dataset", "someone/theirs"].files)
    done = push("someone/theirs", pull_request=True)
    repo = world.repos["dataset", "someone/theirs"]
    assert done["url"].endswith("/datasets/someone/theirs/discussions/1")
    assert repo.files == before
    assert repo.at("refs/pr/1")[1]["train.parquet"] == contents(push.folder)["train.parquet"]


def test_progress_counts_bytes_of_every_file(world, push):
    for number in range(3):
        (push.folder / f"{number}.safetensors").write_bytes(os.urandom(3_000_000))
    stages = [text for _, text in push("me/counted")["reported"] if text.startswith("Uploading")]
    assert len(stages) > 1
    total = format_size(sum(path.stat().st_size for path in push.folder.iterdir()))
    assert all(text.startswith("Uploading 5 files, ") and text.endswith(f" of {total}") for text in stages)


def test_push_by_xet_counts_bytes_and_shows_no_bars(world, push, tmp_path):
    world.xet_folder = tmp_path / "xet"
    world.xet_folder.mkdir()
    done = push("me/xet", environment={"HF_ENDPOINT": world.endpoint, "HF_HUB_DISABLE_XET": "0"})
    world.xet_folder = None
    stored = world.repos["dataset", "me/xet"].files["train.parquet"].decode()
    assert stored == sha256(contents(push.folder)["train.parquet"]).hexdigest()
    assert any(text.startswith("Uploading 2 files, 97.") for _, text in done["reported"])
    assert (tmp_path / "xet" / "xet").is_dir()


def test_connection_that_breaks_once_is_taken_up_again(world, push):
    world.upload_gate = Gate(50_000, breaks=True)
    push("me/broken-once")
    assert world.upload_gate is None
    assert world.repos["dataset", "me/broken-once"].files["train.parquet"] == contents(push.folder)["train.parquet"]


def test_push_that_broke_off_changes_nothing_and_resumes_without_sending_files_again(world, push):
    for name in ("a", "z"):
        (push.folder / f"{name}.safetensors").write_bytes(os.urandom(200_000))
    # The first file passes, as it is smaller; all attempts at the second break.
    (push.folder / "a.safetensors").write_bytes(os.urandom(50_000))
    world.upload_gate = Gate(80_000, breaks=True, times=1_000)
    message = push("me/resumed")["error"]
    assert "The push to me/resumed broke off after" in message
    assert "Push again" in message
    repo = world.repos["dataset", "me/resumed"]
    assert list(repo.files) == [".gitattributes"]
    world.upload_gate, sent = None, len(world.requests)
    push("me/resumed")
    assert contents(push.folder).items() <= repo.files.items()
    stored = [path for verb, path in world.requests[sent:] if verb == "PUT"]
    assert len(stored) == 2
    assert sha256(contents(push.folder)["a.safetensors"]).hexdigest() not in " ".join(stored)


def start_and_kill(world, clients, folder, repo, log, at, is_answered):
    """Start a push, and kill it at one of its requests, while it waits for the answer or after it."""
    arguments = json.dumps([str(folder), "dataset", {"repo": repo, "token": TOKEN}])
    begun, moments = threading.Event(), itertools.count(1)

    def watch(answered):
        if answered is is_answered and next(moments) == at:
            assert begun.wait(30)
            process.kill()

    world.watch = watch
    process = clients.start("tests.helpers.push_client", arguments, log=log, environment={})
    begun.set()
    code = process.wait(timeout=60)
    world.watch = lambda answered: None
    assert TOKEN not in log.read_text()
    return code


@limits(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.sampled_from(range(1, 15)), is_answered=st.booleans(), is_new=st.booleans())
def test_push_killed_at_any_request_changes_nothing_and_the_next_one_goes_on(
    world, clients, push, tmp_path, at, is_answered, is_new
):
    name = f"me/killed-{len(world.repos)}"
    if not is_new:
        world.add_repo("dataset", name, {"README.md": b"old", "kept.txt": b"kept"})
    before = {".gitattributes": b"# LFS\n"} if is_new else dict(world.repos["dataset", name].files)
    # New bytes, which the Hub has of no example before.
    for file in ("a.safetensors", "train.parquet"):
        (push.folder / file).write_bytes(os.urandom(60_000))
    code = start_and_kill(world, clients, push.folder, name, tmp_path / "log", at, is_answered)
    pushed = before | contents(push.folder)
    if ("dataset", name) in world.repos:
        # The commit may have arrived before the death.
        assert world.repos["dataset", name].files in (before, pushed)
    assert code == -9 or world.repos["dataset", name].files == pushed
    arrived, asked = set(world.storage), len(world.requests)
    push(name)
    assert world.repos["dataset", name].files == pushed
    sent = {path.rpartition("/")[2] for verb, path in world.requests[asked:] if verb == "PUT"}
    assert not sent & arrived


def test_push_killed_in_the_middle_of_a_file_sends_it_again(world, clients, push, tmp_path):
    gate = world.upload_gate = Gate(50_000)
    arguments = json.dumps([str(push.folder), "dataset", {"repo": "me/killed", "token": TOKEN}])
    process = clients.start("tests.helpers.push_client", arguments, log=tmp_path / "log", environment={})
    assert gate.reached.wait(30)
    process.kill()
    gate.opened.set()
    repo = world.repos["dataset", "me/killed"]
    assert list(repo.files) == [".gitattributes"]
    push("me/killed")
    assert contents(push.folder).items() <= repo.files.items()


def test_push_reads_token_from_environment(world, push):
    assert "url" in push("me/by-environment", token=None, environment={"HF_TOKEN": TOKEN})


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (TOKEN, "Account: me. Token 'test' from the form. It may write to the repositories of that account"),
        ("hf_fine", "Its access is fine-grained: it may write to me."),
    ],
)
def test_push_names_the_account_and_what_the_token_may_do(push, token, words):
    assert words in push("me/named", token=token)["account"]


@pytest.mark.parametrize(
    ("repo", "how", "words"),
    [
        ("me/x", {"token": None}, "A token with write access is needed"),
        ("me/x", {"token": "hf_wrong"}, "does not accept the token"),
        ("me/read-only", {"token": "hf_read"}, "It may read, and not write."),
        ("me/read-only", {"token": "hf_read", "pull_request": True}, "It may read, and not write."),
        ("me/fine", {"token": "hf_fine_elsewhere"}, "it may write nowhere"),
        ("someone/theirs", {}, "the token may not do that"),
        ("someone/theirs", {"token": "hf_fine"}, "the token may not do that"),
        ("someone/hidden", {}, "the token may not do that"),
        ("someone/new", {}, "the token may not do that"),
        ("someone/new", {"pull_request": True}, "was not found on the Hub"),
        ("nonsense", {}, "'nonsense' is not a Hub id"),
        ("../../etc/x", {}, "is not a Hub id"),
        ("me/x", {"branch": "refs/pr/1"}, "is not the name of a branch"),
        ("me/x", {"branch": "a", "pull_request": True}, "opened against main"),
        ("me/x", {"environment": {"HF_ENDPOINT": "http://127.0.0.1:9"}}, "the Hub cannot be reached"),
    ],
)
def test_failed_push_is_reported_and_changes_nothing(world, push, repo, how, words):
    before = {key: dict(found.files) for key, found in world.repos.items()}
    assert words in push(repo, **how)["error"]
    assert {key: dict(found.files) for key, found in world.repos.items()} == before


def test_pushed_subset_opens_again_unchanged(world, clients, settings):
    copy_bundled(settings)

    def core(*words: str) -> str:
        code, out, err = clients.run("core", *words, STUDIO_HOME=str(settings.home), HF_TOKEN=TOKEN)
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
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()
