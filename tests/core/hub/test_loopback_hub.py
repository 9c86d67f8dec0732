"""The real Hub clients, run in child processes, and bare HTTP requests against the loopback Hub."""

import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.helpers.hub_clients import (
    KINDS,
    OLDER,
    ROWS,
    World,
    client_reading,
    client_refused,
    client_uploading,
    contents,
)
from tests.helpers.loopback_hub import LoopbackHub


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    with LoopbackHub(folder) as hub:
        yield World(hub, folder)


@pytest.fixture(scope="module")
def reading(world):
    return world.client(client_reading, world.older)


def test_load_dataset_reads_main_and_a_pinned_revision(reading):
    assert reading["pinned"] == OLDER
    assert reading["newest"] == ROWS


def test_load_dataset_reads_parquet_whole_and_streamed(reading):
    assert reading["parquet"] == reading["streamed"] == ROWS


def test_from_pretrained_reads_tokenizer_and_config(reading):
    assert reading["hidden_size"] == 8
    assert reading["ids"] == [3, 4]


def test_snapshot_download_equals_the_folder(world, reading):
    assert reading["snapshot"] == {
        path: data.hex() for path, data in world.hub.repos["model", "tiny/llama"].files.items()
    }
    assert reading["snapshot"]["notes/read me.txt"] == (world.model / "notes" / "read me.txt").read_bytes().hex()


def test_reading_takes_large_files_from_storage(world, reading):
    assert any(verb == "GET" and path.startswith("/lfs/") for verb, path in world.hub.requests)


def test_reading_requests_only_known_routes(world, reading):
    assert world.hub.unknown == []


# Exception and status of huggingface_hub, then exception and message of load_dataset.
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


@pytest.fixture(scope="module")
def refused(world):
    return world.client(client_refused)


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_raises_error_of_huggingface_hub(refused, case):
    error, status, *_ = REFUSALS[case]
    asked = ("file", "snapshot") if case.startswith("gated") else ("file", "snapshot", "info")
    assert {(refused[case][how]["error"], refused[case][how].get("status")) for how in asked} == {(error, status)}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal_raises_error_of_load_dataset(refused, case):
    *_, error, message = REFUSALS[case]
    assert refused[case]["load_dataset"]["error"] == error
    assert message in refused[case]["load_dataset"]["message"]


@pytest.mark.parametrize("case", REFUSALS)
def test_from_pretrained_raises_oserror_with_the_status_in_its_cause(refused, case):
    _, status, *_ = REFUSALS[case]
    assert refused[case]["from_pretrained"].items() >= {"error": "OSError", "status": status}.items()


@pytest.mark.parametrize("case", ["private, owner", "gated, granted"])
def test_user_with_access_reads_everything(refused, case):
    assert {how: answer["error"] for how, answer in refused[case].items()} == dict.fromkeys(refused[case])


def test_gated_repo_without_token_lists_files_but_auth_check_refuses(refused):
    assert refused["gated, no token"]["info"]["error"] is None
    assert refused["gated, no token"]["auth_check"]["error"] == "GatedRepoError"


def test_absent_file_raises_entry_not_found(refused):
    assert refused["absent file"].items() >= {"error": "RemoteEntryNotFoundError", "status": 404}.items()


@pytest.fixture(scope="module")
def uploading(world):
    (world.model / "README.md").write_text("---\nlicense: mit\n---\n# A copy\n")
    (world.model / "empty.bin").write_bytes(b"")
    # Storage holds none of it yet, so it has to be sent.
    (world.model / "adapter.safetensors").write_bytes((world.model / "model.safetensors").read_bytes()[::-1])
    return world.client(client_uploading, str(world.model))


@pytest.mark.parametrize("kind", KINDS)
def test_upload_reads_back_equal(world, uploading, kind):
    sent = contents(world.model)
    assert {"README.md", "empty.bin", "model.safetensors", "adapter.safetensors"} < set(sent)
    assert {path: data for path, data in uploading[kind].items() if path != ".gitattributes"} == sent
    assert world.hub.repos[kind, "someone/copy"].files["README.md"] == (world.model / "README.md").read_bytes()


def test_upload_takes_every_step(world, uploading):
    steps = {f"{verb} {path}" for verb, path in world.hub.requests if verb in ("POST", "PUT")}
    api, git = "/api/datasets/someone/copy", "/datasets/someone/copy.git/info/lfs/objects"
    assert {f"POST {api}/preupload/main", f"POST {git}/batch", f"POST {api}/commit/main"} < steps
    assert {"POST /api/validate-yaml", "POST /someone/copy.git/info/lfs/objects/verify"} < steps
    assert any(step.startswith("PUT /lfs/") for step in steps)
    assert world.hub.unknown == []


def test_upload_of_unchanged_folder_makes_no_commit(world, uploading):
    model, model_again, dataset, dataset_again = uploading["commits"]
    assert model == model_again == world.hub.repos["model", "someone/copy"].head
    assert dataset == dataset_again == world.hub.repos["dataset", "someone/copy"].head
    assert [world.hub.requests.count(("POST", f"/api/{kind}s/someone/copy/commit/main")) for kind in KINDS] == [1, 1]


def test_create_repo_is_private_only_if_asked(world, uploading):
    assert uploading["url"] == f"{world.hub.endpoint}/someone/copy"
    assert not world.hub.repos["model", "someone/copy"].private
    assert world.hub.repos["dataset", "someone/copy"].private


@pytest.mark.parametrize(
    ("attempt", "status"),
    [("exists", 409), ("read role", 403), ("other's name", 403), ("no token", 401), ("other's repo", 403)],
)
def test_upload_without_permission_is_refused(uploading, attempt, status):
    assert uploading[attempt].items() >= {"error": "HfHubHTTPError", "status": status}.items()


def test_whoami_returns_user_and_refuses_bad_token(uploading):
    assert uploading["user"] == "someone"
    assert uploading["bad token"].items() >= {"error": "HfHubHTTPError", "status": 401}.items()


def get(url: str, **headers: str) -> tuple[int, bytes, dict]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


@pytest.mark.parametrize("path", ["datasets/a/rows/resolve/main/x.txt", "datasets/a/rows/resolve/main/x.bin"])
def test_file_range_returns_partial_content(tmp_path, path):
    with LoopbackHub(tmp_path) as hub:
        hub.add_repo("dataset", "a/rows", {"x.txt": b"0123456789", "x.bin": b"0123456789"})
        url = f"{hub.endpoint}/{path}"
        assert get(url)[:2] == (200, b"0123456789")
        assert get(url, Range="bytes=2-4")[:2] == (206, b"234")
        status, rest, headers = get(url, Range="bytes=7-")
        assert (status, rest, headers["Content-Range"]) == (206, b"789", "bytes 7-9/10")
        assert get(url, Range="bytes=10-")[0] == 416


def test_storage_with_token_is_refused(tmp_path):
    with LoopbackHub(tmp_path) as hub:
        hub.add_repo("model", "a/m", {"x.bin": b"0123456789"})
        hub.add_token("hf_a", user="a")
        (oid,) = hub.storage
        assert get(f"{hub.storage_url}/{oid}", Authorization="Bearer hf_a")[0] == 400


def test_unknown_route_is_recorded(tmp_path):
    with LoopbackHub(tmp_path) as hub:
        hub.add_repo("model", "a/m", {})
        codes = {
            path: get(f"{hub.endpoint}{path}")[2]["X-Error-Code"] for path in ("/api/models/a/m/x", "/api/models/a/n/x")
        }
        assert codes == {"/api/models/a/m/x": "EntryNotFound", "/api/models/a/n/x": "RepoNotFound"}
        assert hub.unknown == hub.requests == [("GET", path) for path in codes]


def test_server_ends_with_its_block(tmp_path):
    before = set(threading.enumerate())
    with LoopbackHub(tmp_path) as hub:
        get(f"{hub.endpoint}/api/whoami-v2")
        port = hub.server.server_port
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()


def test_environment_points_only_to_the_loopback_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_of_somebody")
    with LoopbackHub(tmp_path) as hub:
        env = hub.env(HF_TOKEN="hf_good")
    assert "HF_HUB_OFFLINE" not in env
    assert (env["HF_ENDPOINT"], env["HF_TOKEN"]) == (hub.endpoint, "hf_good")
    assert Path(env["HF_HOME"]).is_relative_to(tmp_path)
