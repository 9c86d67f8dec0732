"""Models downloaded from a Hub on loopback: progress in bytes, broken connections, cancelling, and refusals."""

import json
import os

import pytest

from core.hub.download import Transfer
from tests.helpers.browser_pages import wait_until
from tests.helpers.fork_server import ForkServer
from tests.helpers.loopback_hub import Gate, LoopbackHub

MIB = 2**20
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def sharded(seed: bytes) -> dict[str, bytes]:
    """Return the files of a model of 3 MiB in two shards, beside weights in another format and of another use."""
    index = {"weight_map": {"a": FIRST, "b": SECOND}}
    return {
        "model.safetensors.index.json": json.dumps(index).encode(),
        FIRST: (seed * MIB)[: 2 * MIB],
        SECOND: (seed * MIB)[:MIB],
        "pytorch_model.bin": bytes(MIB),
        "consolidated.safetensors": bytes(MIB),
        "onnx/model.safetensors": bytes(MIB),
        "tokenizer.json": b"{}",
    }


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with LoopbackHub(tmp_path_factory.mktemp("hub")) as server:
        for number, name in enumerate(("steady", "broken", "stopped")):
            server.add_repo("model", f"some/{name}", sharded(b"%d!" % number))
        server.add_repo("model", "some/whole", {"model.safetensors": b"w" * MIB, **sharded(b"x!")})
        server.add_repo("model", "some/gated", sharded(b"g!"), gated=True)
        yield server


@pytest.fixture(scope="module")
def clients(hub):
    server = ForkServer(("core.models.download", "huggingface_hub.hf_api", "huggingface_hub._snapshot_download"),
                        hub.env())  # fmt: skip
    yield server
    server.close()


@pytest.fixture
def fetch(clients, tmp_path):
    """Download a model in a fork with a cache of its own, and return the lines that it prints."""

    def run(repo, gate=None, until="", stop_at="", **environment):
        log = tmp_path / "log"
        log.write_text("")
        arguments = (repo, stop_at, str(run.cache))
        client = clients.start("tests.helpers.download_client", *arguments, log=log, environment=environment)
        if gate:
            wait_until(lambda: until in log.read_text() or client.poll() is not None)
            gate.opened.set()
        assert client.wait(60) == 0, log.read_text()
        return log.read_text().splitlines()

    run.cache = tmp_path / "cache"
    return run


def cached(cache):
    return {path.name for path in cache.glob("models--*/snapshots/*/**/*") if path.is_file()}


def test_download_reports_bytes_of_the_weights_that_are_read_and_a_second_one_nothing(hub, fetch):
    gate = hub.gate = Gate(MIB // 2)
    lines = fetch("some/steady", gate, until="KiB of 3.0 MiB")
    assert lines[0] == "Asking the Hub for the files of some/steady"
    assert lines[1].startswith("Downloading some/steady, ")
    assert lines[1].endswith(" of 3.0 MiB")
    assert any(" per second, about " in line and line.endswith(" left") for line in lines[2:-1])
    assert lines[-1] == "done"
    assert cached(fetch.cache) == {FIRST, SECOND, "model.safetensors.index.json", "tokenizer.json"}
    assert fetch("some/steady") == [lines[0], "done"]


def test_download_takes_one_file_of_weights_before_shards(fetch):
    assert fetch("some/whole")[-1] == "done"
    assert cached(fetch.cache) == {"model.safetensors", "tokenizer.json"}


def test_broken_connection_is_resumed_where_it_broke(hub, fetch):
    hub.gate = Gate(MIB // 2, breaks=True)
    before = len(hub.requests)
    assert fetch("some/broken")[-1] == "done"
    # Two shards, one of them in two parts.
    assert len([path for verb, path in hub.requests[before:] if verb == "GET" and path.startswith("/lfs/")]) == 3
    assert cached(fetch.cache) >= {FIRST, SECOND}


def test_cancelled_download_ends_while_the_network_stands_still_and_keeps_complete_files(hub, fetch):
    gate = hub.gate = Gate(MIB + 1)
    # The first shard stands still after the second one is here.
    lines = fetch("some/stopped", gate, until="cancelled", stop_at="Downloading some/stopped, 2.")
    assert lines[-1] == "cancelled"
    assert SECOND in cached(fetch.cache)
    assert FIRST not in cached(fetch.cache)
    # Files that a killed process leaves are removed once nothing can be writing them.
    left = list(fetch.cache.rglob("*.incomplete"))
    assert left
    for path in left:
        os.utime(path, (0, 0))
    again = fetch("some/stopped")
    assert not any(path.exists() for path in left)
    assert again[1].startswith("Downloading some/stopped, 1.0 MiB of 3.0 MiB")
    assert again[-1] == "done"


def test_refusals_are_sentences(hub, fetch):
    assert "is gated, and no token is set" in fetch("some/gated")[-1]
    assert "was not found on the Hub" in fetch("some/absent")[-1]
    offline = fetch("some/steady", HF_HUB_OFFLINE="1")
    assert "the Hub cannot be reached from here, and there is no local copy" in offline[-1]


def test_copy_serves_without_a_network(fetch):
    fetch("some/whole")
    assert fetch("some/whole", HF_HUB_OFFLINE="1")[-1] == "done"


def test_damaged_index_is_a_sentence(hub, fetch):
    hub.add_repo("model", "some/damaged", {"model.safetensors.index.json": b"{}"})
    assert fetch("some/damaged")[-1].startswith("The model 'some/damaged' could not be loaded: 'weight_map'")


@pytest.mark.parametrize(
    ("received", "now", "expected"),
    [
        ([(0, 0)], 1, "Downloading a/b, 0 bytes of 12.0 GiB"),
        ([(0, 0), (10, 2**30)], 10, "1.0 GiB of 12.0 GiB, 102.4 MiB per second, about 2 min left"),
        # The speed of the last half minute counts, not the one before.
        ([(0, 0), (60, 10 * 2**30), (90, 11 * 2**30)], 90, "34.1 MiB per second, about 30 s left"),
        ([(0, 0), (10, 2**30)], 45, "1.0 GiB of 12.0 GiB, waiting for more data for 35 s"),
        ([(0, 0), (1, 12 * 2**30)], 1, "12.0 GiB of 12.0 GiB, 12.0 GiB per second, about 5 s left"),
    ],
)
def test_transfer_describes_bytes_speed_and_time(received, now, expected):
    transfer = Transfer("a/b", 12 * 2**30)
    for at, count in received:
        transfer.counts[0] = count
        transfer.describe(at)
    assert transfer.describe(now).endswith(expected)


def test_disk_that_is_too_small_is_named(monkeypatch):
    from types import SimpleNamespace

    from core.access import free_disk
    from core.errors import StudioError
    from core.hub import download

    monkeypatch.setattr(free_disk.shutil, "disk_usage", lambda folder: SimpleNamespace(free=MIB))
    files = [SimpleNamespace(filename="model.safetensors", file_size=2 * MIB, will_download=True)]
    with pytest.raises(StudioError, match=r"a/b needs 2.0 MiB more, and the disk of .* has 1.0 MiB free"):
        download.download("model", "a/b", files, None, lambda text: None, lambda: False)
