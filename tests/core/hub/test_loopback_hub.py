"""The real clients against the loopback Hub.

HF_ENDPOINT is read when huggingface_hub is imported, so the clients run in child processes: each function whose name
starts with client_ runs in one, once for all tests that look at what it reports.
"""

import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.helpers.loopback_hub import LoopbackHub

ROWS = [{"text": f"row {number}", "label": number % 3} for number in range(20)]
KINDS = ("model", "dataset")
OLDER = [{"text": "an older row", "label": 0}]


def jsonl(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def tiny_model(folder: Path) -> Path:
    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<unk>", "<s>", "</s>", "hello", "hub"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    LlamaConfig(vocab_size=len(words), hidden_size=8, num_attention_heads=2, num_hidden_layers=1).save_pretrained(
        folder
    )
    save_file({"embedding": np.arange(40, dtype=np.float32).reshape(5, 8)}, folder / "model.safetensors")
    (folder / "notes").mkdir()
    (folder / "notes" / "read me.txt").write_text("a name with a space")
    return folder


def parquet(folder: Path) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), folder / "rows.parquet")
    return (folder / "rows.parquet").read_bytes()


class World:
    """A hub with something of every kind in it."""

    def __init__(self, hub: LoopbackHub, folder: Path):
        self.hub, self.folder = hub, folder
        self.model = tiny_model(folder / "model")
        rows = {"train.jsonl": jsonl(ROWS)}
        self.older = hub.add_repo("dataset", "someone/guanaco", {"train.jsonl": jsonl(OLDER)})
        self.newer = hub.add_repo("dataset", "someone/guanaco", rows | {"README.md": b"# Guanaco\n"})
        hub.add_repo("dataset", "someone/table", {"data/train-00000-of-00001.parquet": parquet(folder)})
        for name in ("tiny/llama", "someone/guanaco"):
            hub.add_repo("model", name, self.model)
        for kind, files in (("dataset", rows), ("model", self.model)):
            hub.add_repo(kind, "someone/private", files, private=True)
            hub.add_repo(kind, "meta/gated", files, gated=True)
        hub.add_token("hf_owner", user="someone")
        hub.add_token("hf_granted", user="tester", may_read={"meta/gated"})
        hub.add_token("hf_stranger", user="stranger")
        hub.add_token("hf_reader", user="tester", role="read")

    def client(self, function, *arguments: object) -> dict:
        """What a client_ function reports from a child process of its own."""
        call = f"clients.{function.__name__}(*{arguments!r})"
        code = f"import json; from tests.core.hub import test_loopback_hub as clients; print(json.dumps({call}))"
        # A home for each: what another client has put in the cache is served even to a bad token.
        here = {
            "cwd": Path(__file__).resolve().parents[3],
            "env": self.hub.env(HF_HOME=str(self.folder / function.__name__)),
        }
        done = subprocess.run([sys.executable, "-c", code], **here, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    with LoopbackHub(folder) as hub:
        yield World(hub, folder)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_bytes().hex() for path in folder.rglob("*") if path.is_file()}


def client_reading(older: str) -> dict:
    from datasets import load_dataset
    from huggingface_hub import snapshot_download
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("tiny/llama")
    return {
        "pinned": load_dataset("someone/guanaco", revision=older, split="train").to_list(),
        "newest": load_dataset("someone/guanaco", split="train").to_list(),
        "parquet": load_dataset("someone/table", split="train").to_list(),
        "streamed": list(load_dataset("someone/table", split="train", streaming=True)),
        "hidden_size": AutoConfig.from_pretrained("tiny/llama").hidden_size,
        "ids": tokenizer("hello hub").input_ids,
        "snapshot": contents(Path(snapshot_download("tiny/llama"))),
    }


@pytest.fixture(scope="module")
def reading(world):
    return world.client(client_reading, world.older)


def test_datasets_load_at_main_and_at_a_pinned_revision(reading):
    assert reading["pinned"] == OLDER
    assert reading["newest"] == ROWS


def test_parquet_loads_whole_and_streamed(reading):
    assert reading["parquet"] == reading["streamed"] == ROWS


def test_tokenizer_and_config_come_from_the_hub(reading):
    assert reading["hidden_size"] == 8
    assert reading["ids"] == [3, 4]


def test_a_snapshot_equals_the_folder(world, reading):
    assert reading["snapshot"] == {
        path: data.hex() for path, data in world.hub.repos["model", "tiny/llama"].files.items()
    }
    assert reading["snapshot"]["notes/read me.txt"] == (world.model / "notes" / "read me.txt").read_bytes().hex()


def test_large_files_come_from_storage(world, reading):
    assert any(verb == "GET" and path.startswith("/lfs/") for verb, path in world.hub.requests)


def test_reading_asks_for_nothing_unknown(world, reading):
    assert world.hub.unknown == []


# What a person meets: repo, revision, token; then what huggingface_hub and load_dataset raise for it.
CASES = {
    "bad token": ("someone/guanaco", None, "hf_bad"),
    "private, no token": ("someone/private", None, False),
    "private, stranger": ("someone/private", None, "hf_stranger"),
    "private, owner": ("someone/private", None, "hf_owner"),
    "gated, no token": ("meta/gated", None, False),
    "gated, stranger": ("meta/gated", None, "hf_stranger"),
    "gated, granted": ("meta/gated", None, "hf_granted"),
    "absent": ("someone/absent", None, False),
    "absent revision": ("someone/guanaco", "0" * 40, False),
}
REFUSALS = {
    "bad token": ("HfHubHTTPError", 401, "HfHubHTTPError", "Invalid credentials"),
    "private, no token": (
        "RepositoryNotFoundError",
        401,
        "DatasetNotFoundError",
        "doesn't exist on the Hub or cannot be",
    ),
    "private, stranger": (
        "RepositoryNotFoundError",
        404,
        "DatasetNotFoundError",
        "doesn't exist on the Hub or cannot be",
    ),
    "gated, no token": (
        "GatedRepoError",
        401,
        "DatasetNotFoundError",
        "is a gated dataset on the Hub. You must be auth",
    ),
    "gated, stranger": ("GatedRepoError", 403, "DatasetNotFoundError", "is a gated dataset on the Hub. Visit"),
    "absent": ("RepositoryNotFoundError", 404, "DatasetNotFoundError", "doesn't exist on the Hub or cannot be"),
    "absent revision": ("RevisionNotFoundError", 404, "DatasetNotFoundError", "Revision '000"),
}


def outcome(action, *arguments, **options) -> dict:
    """The exception that comes of it, if any, and the status of the answer that it or its cause holds."""
    try:
        action(*arguments, **options)
    except Exception as error:
        answers = [getattr(link, "response", None) for link in (error, error.__cause__)]
        status = next((answer.status_code for answer in answers if answer is not None), None)
        return {"error": type(error).__name__, "status": status, "message": str(error)}
    return {"error": None}


def client_refused() -> dict:
    from datasets import load_dataset
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download
    from transformers import AutoConfig

    report = {}
    for case, (repo, revision, token) in CASES.items():
        what = {"repo_id": repo, "repo_type": "dataset", "revision": revision, "token": token}
        report[case] = {
            "file": outcome(hf_hub_download, filename="train.jsonl", **what),
            "snapshot": outcome(snapshot_download, **what),
            "info": outcome(HfApi().repo_info, **what),
            "auth_check": outcome(HfApi().auth_check, repo, repo_type="dataset", token=token),
            "load_dataset": outcome(load_dataset, repo, revision=revision, token=token),
            "from_pretrained": outcome(AutoConfig.from_pretrained, repo, revision=revision, token=token),
        }
    report["absent file"] = outcome(hf_hub_download, "someone/guanaco", "absent.jsonl", repo_type="dataset")
    return report


@pytest.fixture(scope="module")
def refused(world):
    return world.client(client_refused)


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_reach_huggingface_hub(refused, case):
    error, status, *_ = REFUSALS[case]
    asked = ("file", "snapshot") if case.startswith("gated") else ("file", "snapshot", "info")
    assert {(refused[case][how]["error"], refused[case][how].get("status")) for how in asked} == {(error, status)}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_reach_load_dataset(refused, case):
    *_, error, message = REFUSALS[case]
    assert refused[case]["load_dataset"]["error"] == error
    assert message in refused[case]["load_dataset"]["message"]


@pytest.mark.parametrize("case", REFUSALS)
def test_from_pretrained_raises_oserror_with_the_status_in_its_cause(refused, case):
    _, status, *_ = REFUSALS[case]
    assert refused[case]["from_pretrained"].items() >= {"error": "OSError", "status": status}.items()


@pytest.mark.parametrize("case", ["private, owner", "gated, granted"])
def test_those_who_may_read_do(refused, case):
    assert {how: answer["error"] for how, answer in refused[case].items()} == dict.fromkeys(refused[case])


def test_what_a_gated_repo_lists_is_public_but_auth_check_refuses(refused):
    assert refused["gated, no token"]["info"]["error"] is None
    assert refused["gated, no token"]["auth_check"]["error"] == "GatedRepoError"


def test_an_absent_file(refused):
    assert refused["absent file"].items() >= {"error": "RemoteEntryNotFoundError", "status": 404}.items()


def client_uploading(folder: str) -> dict:
    from huggingface_hub import HfApi, snapshot_download

    api, reader = HfApi(token="hf_owner"), HfApi(token="hf_reader")
    report = {"user": api.whoami()["name"], "url": api.create_repo("someone/copy"), "commits": []}
    for repo_type in KINDS:
        api.create_repo("someone/copy", repo_type=repo_type, exist_ok=True, private=True)
        for _ in range(2):  # the second finds nothing to do
            commit = api.upload_folder(repo_id="someone/copy", repo_type=repo_type, folder_path=folder)
            report["commits"].append(commit.oid)
        there = snapshot_download("someone/copy", repo_type=repo_type, token="hf_owner")
        report[repo_type] = contents(Path(there))
    report["exists"] = outcome(api.create_repo, "someone/copy")
    report["read role"] = outcome(reader.create_repo, "tester/copy")
    report["other's name"] = outcome(api.create_repo, "tester/copy")
    report["no token"] = outcome(HfApi(token=False).create_repo, "someone/copy")
    what = {"repo_id": "someone/guanaco", "folder_path": folder}
    report["other's repo"] = outcome(reader.upload_folder, **what)
    report["bad token"] = outcome(HfApi(token="hf_bad").whoami)
    return report


@pytest.fixture(scope="module")
def uploading(world):
    (world.model / "README.md").write_text("---\nlicense: mit\n---\n# A copy\n")
    (world.model / "empty.bin").write_bytes(b"")
    # Storage holds none of it yet, so it has to be sent.
    (world.model / "adapter.safetensors").write_bytes((world.model / "model.safetensors").read_bytes()[::-1])
    return world.client(client_uploading, str(world.model))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_uploaded_reads_back_equal(world, uploading, kind):
    sent = contents(world.model)
    assert {"README.md", "empty.bin", "model.safetensors", "adapter.safetensors"} < set(sent)
    assert {path: data for path, data in uploading[kind].items() if path != ".gitattributes"} == sent
    assert world.hub.repos[kind, "someone/copy"].files["README.md"] == (world.model / "README.md").read_bytes()


def test_an_upload_takes_every_step(world, uploading):
    steps = {f"{verb} {path}" for verb, path in world.hub.requests if verb in ("POST", "PUT")}
    api, git = "/api/datasets/someone/copy", "/datasets/someone/copy.git/info/lfs/objects"
    assert {f"POST {api}/preupload/main", f"POST {git}/batch", f"POST {api}/commit/main"} < steps
    assert {"POST /api/validate-yaml", "POST /someone/copy.git/info/lfs/objects/verify"} < steps
    assert any(step.startswith("PUT /lfs/") for step in steps)
    assert world.hub.unknown == []


def test_uploading_the_same_again_makes_no_commit(world, uploading):
    model, model_again, dataset, dataset_again = uploading["commits"]
    assert model == model_again == world.hub.repos["model", "someone/copy"].head
    assert dataset == dataset_again == world.hub.repos["dataset", "someone/copy"].head
    assert [world.hub.requests.count(("POST", f"/api/{kind}s/someone/copy/commit/main")) for kind in KINDS] == [1, 1]


def test_create_repo_keeps_its_word_on_privacy(world, uploading):
    assert uploading["url"] == f"{world.hub.endpoint}/someone/copy"
    assert not world.hub.repos["model", "someone/copy"].private
    assert world.hub.repos["dataset", "someone/copy"].private


@pytest.mark.parametrize(
    ("attempt", "status"),
    [("exists", 409), ("read role", 403), ("other's name", 403), ("no token", 401), ("other's repo", 403)],
)
def test_uploads_are_refused(uploading, attempt, status):
    assert uploading[attempt].items() >= {"error": "HfHubHTTPError", "status": status}.items()


def test_whoami(uploading):
    assert uploading["user"] == "someone"
    assert uploading["bad token"].items() >= {"error": "HfHubHTTPError", "status": 401}.items()


def get(url: str, **headers: str) -> tuple[int, bytes, dict]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


@pytest.mark.parametrize("path", ["datasets/a/rows/resolve/main/x.txt", "datasets/a/rows/resolve/main/x.bin"])
def test_ranges(tmp_path, path):
    with LoopbackHub(tmp_path) as hub:
        hub.add_repo("dataset", "a/rows", {"x.txt": b"0123456789", "x.bin": b"0123456789"})
        url = f"{hub.endpoint}/{path}"
        assert get(url)[:2] == (200, b"0123456789")
        assert get(url, Range="bytes=2-4")[:2] == (206, b"234")
        status, rest, headers = get(url, Range="bytes=7-")
        assert (status, rest, headers["Content-Range"]) == (206, b"789", "bytes 7-9/10")
        assert get(url, Range="bytes=10-")[0] == 416


def test_storage_refuses_a_token(tmp_path):
    with LoopbackHub(tmp_path) as hub:
        hub.add_repo("model", "a/m", {"x.bin": b"0123456789"})
        hub.add_token("hf_a", user="a")
        (oid,) = hub.storage
        assert get(f"{hub.storage_url}/{oid}", Authorization="Bearer hf_a")[0] == 400


def test_unknown_routes_are_recorded(tmp_path):
    with LoopbackHub(tmp_path) as hub:
        hub.add_repo("model", "a/m", {})
        codes = {
            path: get(f"{hub.endpoint}{path}")[2]["X-Error-Code"] for path in ("/api/models/a/m/x", "/api/models/a/n/x")
        }
        assert codes == {"/api/models/a/m/x": "EntryNotFound", "/api/models/a/n/x": "RepoNotFound"}
        assert hub.unknown == hub.requests == [("GET", path) for path in codes]


def test_it_ends_with_its_block(tmp_path):
    before = set(threading.enumerate())
    with LoopbackHub(tmp_path) as hub:
        get(f"{hub.endpoint}/api/whoami-v2")
        port = hub.server.server_port
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()


def test_the_environment_leads_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
    with LoopbackHub(tmp_path) as hub:
        env = hub.env(HF_TOKEN="hf_good")
    assert "HF_HUB_OFFLINE" not in env
    assert (env["HF_ENDPOINT"], env["HF_TOKEN"]) == (hub.endpoint, "hf_good")
    assert Path(env["HF_HOME"]).is_relative_to(tmp_path)
