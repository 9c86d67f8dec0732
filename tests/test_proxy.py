"""Behind a proxy, under a path: the page, its files and its calls are found there, and forwarded names are believed."""

import http.server
import threading

import httpx
import pytest
from gradio_client import Client
from served import App

PREFIX = "/tools/studio"
_OWN = {"host", "connection", "transfer-encoding", "content-length", "content-encoding"}


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """The address of a proxy that takes its path away and says who it is."""
    target = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def forward(self) -> None:
            if not self.path.startswith(PREFIX):
                self.send_error(404)
                return
            size = int(self.headers.get("content-length") or 0)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
            headers |= {"x-forwarded-host": self.headers["host"], "x-forwarded-proto": "http",
                        "x-forwarded-for": "203.0.113.9", "accept-encoding": "identity"}  # fmt: skip
            asked = {"content": self.rfile.read(size), "headers": headers, "timeout": 60}
            with httpx.stream(self.command, target[0] + (self.path.removeprefix(PREFIX) or "/"), **asked) as answer:
                self.send_response(answer.status_code)
                for name, value in answer.headers.multi_items():
                    if name.lower() not in _OWN:
                        self.send_header(name, value)
                self.end_headers()
                for part in answer.iter_raw():
                    self.wfile.write(part)
                    self.wfile.flush()

        do_GET = do_POST = do_HEAD = forward

        def log_message(self, *_) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    host = f"localhost:{server.server_port}"
    app = App(tmp_path_factory.mktemp("proxied"), STUDIO_ROOT_PATH=PREFIX, STUDIO_HOSTS=host)
    target.append(app.url)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{host}{PREFIX}"
    server.shutdown()
    server.server_close()
    app.end()


def test_the_page_knows_where_it_is(proxied):
    assert httpx.get(f"{proxied}/config").json()["root"] == proxied
    page = httpx.get(f"{proxied}/")
    assert page.status_code == 200
    assert proxied in page.text


def test_calls_and_streams_come_through(proxied, tmp_path):
    client = Client(f"{proxied}/", verbose=False, analytics_enabled=False, download_files=tmp_path)
    assert client.predict(api_name="/list_datasets")[0]["source"] == "keeper"
    client.close()


def test_a_call_of_the_page_itself_is_of_the_same_site(proxied):
    body = {"fn_index": 0, "data": [], "session_hash": "proxied"}
    own = proxied.removesuffix(PREFIX)
    assert httpx.post(f"{proxied}/gradio_api/queue/join", json=body, headers={"origin": own}).status_code == 200
    other = {"origin": "https://evil.example"}
    assert httpx.post(f"{proxied}/gradio_api/queue/join", json=body, headers=other).status_code == 403
