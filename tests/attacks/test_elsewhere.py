"""Requests to elsewhere (SSRF), from elsewhere (cross-site), and answers that send elsewhere (open redirects)."""

import http.server
import threading

import httpx
import pytest

from tests.helpers.app_server import AppServer, PageClient, QueueClient
from tests.helpers.space_server import AUTHOR, get, signed_in_headers, visitor_headers


@pytest.fixture(scope="module")
def owner(on_space):
    made = QueueClient(on_space.url, signed_in_headers(AUTHOR))
    yield made
    made.http.close()


@pytest.fixture
def trap():
    """Return the URL of a server, and the list of paths requested from it."""
    asked = []

    class Note(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Note)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("headers", [signed_in_headers(AUTHOR), visitor_headers("f" * 32)], ids=["owner", "visitor"])
def test_urls_in_calls_are_never_fetched(on_space, functions, trap, headers):
    """A visitor calls what is open to visitors; all else is refused before its values are read (test_roles)."""
    address, asked = trap
    is_visitor = headers == visitor_headers("f" * 32)
    names = {f.api_name for f in functions.values() if f.fn is not None and (f.fn.for_visitors or not is_visitor)}
    page = PageClient(on_space.url, headers)
    file = {"path": f"{address}/data.jsonl", "url": f"{address}/data.jsonl", "meta": {"_type": "gradio.FileData"}}
    for event in page.events:
        if event["inputs"] and event["backend_fn"] and event["api_name"] in names:
            data = [file] * len(event["inputs"])
            assert not page.run(event, data)["success"], event["api_name"]
    for path in (f"/gradio_api/file={address}/x", f"/gradio_api/proxy={address}/x", f"/gradio_api/file={address[5:]}/x",
                 f"/gradio_api/file=HTTP%3A%2F%2F{address[7:]}/x"):  # fmt: skip
        assert get(on_space, path, headers).status_code in (403, 404)
    page.http.close()
    assert asked == []


@pytest.mark.parametrize(
    "name",
    ["http://127.0.0.1/x", "https://huggingface.co/a/b", "//evil/x", "a/b/c", "../a", "a/b?x=y", "a/b#c", "a@b/c"],
)
def test_open_hub_refuses_what_is_no_id(owner, name):
    error = owner.call("open_hub", name, "", "", "", "")["error"]
    assert "is not a Hub id" in error


CROSS = [
    {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": "http://127.0.0.1.evil.example"},
    {"sec-fetch-site": "cross-site"}, {"origin": "http://localhost:1"},
]  # fmt: skip


@pytest.mark.parametrize("headers", CROSS, ids=str)
@pytest.mark.parametrize(
    "path", ["/gradio_api/queue/join", "/gradio_api/call/start_run", "/gradio_api/upload", "/login"]
)
def test_call_of_another_site_is_refused(on_space, headers, path):
    body = {"fn_index": 0, "data": [], "session_hash": "x"}
    answer = httpx.post(f"{on_space.url}{path}", json=body, headers=headers | signed_in_headers(AUTHOR), verify=False)
    assert answer.status_code == 403
    assert (
        answer.headers.get("access-control-allow-origin") != headers.get("origin")
        or "origin" not in headers
        or (answer.status_code == 403)
    )


def test_call_of_the_page_is_accepted(on_space):
    headers = {"origin": on_space.url, "sec-fetch-site": "same-origin"} | signed_in_headers(AUTHOR)
    body = {"fn_index": 0, "data": [], "session_hash": "own"}
    assert httpx.post(f"{on_space.url}/gradio_api/queue/join", json=body, headers=headers).status_code == 200


def test_read_of_another_site_is_refused(on_space):
    answer = get(on_space, "/gradio_api/info", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"})
    assert answer.status_code == 403


def test_logout_by_another_site_is_refused(on_space):
    answer = get(on_space, "/logout", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"})
    assert answer.status_code == 403


TARGETS = ["https://evil.example", "//evil.example", "/\\evil.example", "////evil.example", "https:evil.example",
           "javascript:alert(1)"]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("path", ["/logout", "/login/callback", "/login/huggingface"])
def test_redirects_stay_on_this_server(on_space, path, target):
    answer = httpx.get(f"{on_space.url}{path}", params={"_target_url": target}, follow_redirects=False)
    sent = answer.headers.get("location", "/")
    assert answer.status_code < 500
    assert sent.startswith("/"), sent
    assert not sent.startswith(("//", "/\\")), sent


def test_sign_in_without_a_provider_answers_a_sentence(on_space):
    answer = httpx.get(f"{on_space.url}/login/huggingface", verify=False)
    assert (answer.status_code, "did not sign you in" in answer.text) == (400, True)
    assert "Traceback" not in on_space.log.read_text()


@pytest.mark.parametrize("path", ["//evil.example/", "//evil.example/%2e%2e", "/\\evil.example"])
def test_path_never_becomes_a_redirect(on_space, path):
    with httpx.Client(base_url=on_space.url) as raw:
        answer = raw.send(raw.build_request("GET", f"{on_space.url}{path}"))
    assert answer.status_code in (400, 403, 404)


def test_page_loads_and_allows_nothing_from_other_hosts(on_space):
    answer = get(on_space, "/")
    policy = answer.headers["content-security-policy"]
    assert "http:" not in policy.replace("http://", "")
    assert [word for word in policy.split() if word.startswith("https://")] == [
        "https://huggingface.co", "https://*.huggingface.co",
    ]  # fmt: skip
    assert policy.index("frame-ancestors") < policy.index("https://huggingface.co"), "to be framed, not to load from"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


@pytest.fixture(scope="module")
def own_machine(tmp_path_factory, app_fork_server):
    made = AppServer(tmp_path_factory.mktemp("own") / "home", fork_server=app_fork_server)
    yield made
    made.stop()


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:7860", "127.0.0.1.nip.io", "0.0.0.0"])
def test_foreign_host_name_is_refused_on_ones_own_machine(own_machine, host):
    """DNS rebinding: the browser takes the page for one of the same site."""
    answer = get(own_machine, "/config", {"host": host})
    assert answer.status_code == 403
    assert "STUDIO_HOSTS" in answer.json()["error"]
    assert get(own_machine, "/config", {"host": "localhost:7860"}).status_code == 200


@pytest.mark.parametrize("name", ["x-forwarded-host", "forwarded", "x-forwarded-for", "x-forwarded-proto"])
def test_proxy_headers_are_ignored_without_a_proxy(own_machine, name):
    value = {"x-forwarded-proto": "https", "forwarded": "host=evil.example"}.get(name, "evil.example")
    answer = get(own_machine, "/config", {name: value})
    assert answer.json()["root"] == own_machine.url
