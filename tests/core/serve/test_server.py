"""Guards of the API's server: key, origin, sizes, and addresses that it refuses to listen at."""

import json
import shutil
import socket
from pathlib import Path

import httpx
import openai
import pytest
from pydantic import SecretStr

from core.chat.engine import Engine
from core.errors import StudioError
from core.export.import_adapter import import_adapter
from core.export.import_settings import ImportSettings
from core.runs.config import QLoRAConfig
from core.runs.store import RunState
from core.serve.api import MAX_BODY_BYTES
from core.serve.keys import ApiKey, make_key
from core.serve.served_models import ServedModels
from core.serve.server import make_server
from core.web.sign_in import FREE_FAILURES
from tests.helpers.api_server import ApiServer
from tests.helpers.ports import reserve_port

KEY = "planted-key-of-the-api-0123456789"
BODY = {"model": "tiny", "prompt": "A sea", "max_tokens": 1}


@pytest.fixture(scope="module")
def locked(served_store, run_ids):
    """A server with a key."""
    server = ApiServer(served_store.settings.model_copy(update={"api_key": SecretStr(KEY)}), run_ids)
    yield server
    server.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_server_beyond_loopback_needs_a_key(served_store, host):
    settings, engine = served_store.settings, Engine(served_store.settings)
    with pytest.raises(StudioError, match="STUDIO_API_KEY") as refused:
        make_server(settings, engine, ServedModels(served_store), host, reserve_port())
    assert f"--host {host}" in str(refused.value)


def test_server_behind_a_proxy_needs_a_key(served_store):
    settings = served_store.settings.model_copy(update={"hosts": "models.example.org"})
    with pytest.raises(StudioError, match="STUDIO_API_KEY"):
        make_server(settings, Engine(settings), ServedModels(served_store), "127.0.0.1", reserve_port())


def test_short_key_is_refused():
    with pytest.raises(StudioError, match="has 9 characters, expected at least 16") as refused:
        ApiKey("guessable")
    assert "guessable" not in str(refused.value)
    assert make_key() != make_key()


def test_port_that_is_used_is_named(served_store):
    engine, models = Engine(served_store.settings), ServedModels(served_store)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(StudioError, match="Cannot listen"):
            make_server(served_store.settings, engine, models, "127.0.0.1", port)


def test_key_opens_the_api_and_wrong_ones_are_refused_ever_longer(locked, served_store, capfd):
    with locked.client(KEY) as client:
        assert client.models.retrieve("tiny").id == "tiny"
    wrong = [KEY[:-1], KEY + "x", "ключ-" * 5]
    for key in [*wrong, *wrong][:FREE_FAILURES]:
        answer = httpx.get(f"{locked.url}/models", headers={"authorization": f"Bearer {key}".encode()})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json()["error"]["code"] == "invalid_api_key"
    with locked.client("wrong") as client, pytest.raises(openai.RateLimitError, match="Try again in"):
        client.models.list()
    assert httpx.get(f"{locked.root}/healthz").text == "ok"
    # Written nowhere: neither in what the server prints nor in a file.
    assert KEY not in "".join(capfd.readouterr())
    files = [path for path in served_store.settings.home.rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "attacker.example"}, 403),
        ({"origin": "https://attacker.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"host": "a/b"}, 400),
        ({}, 200),
    ],
)
def test_page_of_another_site_is_refused_without_a_key(api, headers, status):
    answer = httpx.post(f"{api.url}/completions", json=BODY, headers=headers, timeout=60)
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error"]["message"].endswith(".")


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"{", 400, "no valid JSON"),
        (b"[1]", 400, "is a list, expected a JSON object"),
        (b'{"model": "tiny", "prompt": "\\ud800"}', 400, "no valid JSON"),
        (b"[" * 100_000, 400, "no valid JSON"),
        (b"\xff", 400, "no valid JSON"),
        (b"1" * 5_000, 400, "no valid JSON"),
        (b'{"model": "tiny", "n": 1, "n": 2, "prompt": "a"}', 400, "has 'n' twice"),
        (b" " * (MAX_BODY_BYTES + 1), 413, "at most 4,194,304 are read"),
    ],
)
def test_body_that_is_no_object_is_refused(api, content, status, message):
    answer = httpx.post(f"{api.url}/completions", content=content)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


def test_body_without_a_size_is_bounded(api):
    answer = httpx.post(f"{api.url}/completions", content=iter([b" " * 2**20] * 5))
    assert answer.status_code == 413
    answer = httpx.post(f"{api.url}/completions", content=iter([json.dumps(BODY).encode()]), timeout=60)
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_other_address_is_answered_with_those_that_there_are(api, method):
    for path in ("/embeddings", "/chat/completions"):
        answer = httpx.request(method, f"{api.url}{path}")
        assert answer.status_code == 404
        assert "POST /v1/chat/completions" in answer.json()["error"]["message"]


def test_requests_beyond_the_limit_are_refused(api, monkeypatch):
    monkeypatch.setattr("core.serve.api.MAX_REQUESTS", 0)
    answer = httpx.post(f"{api.url}/completions", json=BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")


def test_imported_adapter_is_served_beside_runs(served_store, run_ids, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "from-elsewhere"), "zip", served_store.run(run_ids[0]).adapter)
    options = ImportSettings(source="from-elsewhere.zip", base="tiny", quantization="none", compute_dtype="float32")
    name = import_adapter(served_store.settings, options, Path(archive))
    models = ServedModels(served_store, [run_ids[1], name])
    models.check()
    assert [model.name for model in models.list_all()] == ["tiny", run_ids[1], name]
    assert ServedModels(served_store).find(name).adapter == f"{name}/final"
    server = ApiServer(served_store.settings, [run_ids[0], name])
    with server.client() as client:
        asked = {"prompt": "A sea", "max_tokens": 6, "temperature": 0}
        texts = [client.completions.create(model=model, **asked).choices[0].text for model in (run_ids[0], name)]
    server.close()
    assert texts[0] == texts[1]


def test_runs_of_different_bases_are_not_served_together(served_store, run_ids):
    other = served_store.create(QLoRAConfig(model="tiny", quantization="nf4"))
    other.save_state(RunState(status="finished", created=3.0, ended=9.0))
    with pytest.raises(StudioError, match="has no adapter yet"):
        ServedModels(served_store, [other.id]).check()
    other.adapter.symlink_to(served_store.run(run_ids[0]).adapter)
    with pytest.raises(StudioError, match="quantization is"):
        ServedModels(served_store, [run_ids[0], other.id]).check()
    # All runs together are, by the full labels of their bases.
    names = {model.name for model in ServedModels(served_store).list_all()}
    assert {"tiny · unquantized · float32", "tiny · 4-bit nf4", other.id, *run_ids} <= names
    found = ServedModels(served_store).find("tiny · 4-bit nf4")
    assert (found.adapter, found.base.quantization) == (None, "nf4")
