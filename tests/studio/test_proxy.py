"""The server behind a proxy, under a path prefix."""

import httpx
import pytest
from gradio_client import Client

from tests.helpers.app_server import AppServer
from tests.helpers.proxy_server import ProxyServer

PREFIX = "/tools/studio"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory, app_fork_server):
    """Return the address of a proxy that removes the prefix and sets forwarding headers."""
    with ProxyServer(PREFIX) as front:
        home, behind = tmp_path_factory.mktemp("proxied"), {"STUDIO_ROOT_PATH": PREFIX, "STUDIO_HOSTS": front.host}
        app = AppServer(home, fork_server=app_fork_server, **behind)
        front.target = app.url
        yield front.url
        app.stop()


def test_page_is_served_under_the_prefix(proxied):
    assert httpx.get(f"{proxied}/config").json()["root"] == proxied
    page = httpx.get(f"{proxied}/")
    assert page.status_code == 200
    assert proxied in page.text


def test_calls_pass_through_the_proxy(proxied, tmp_path):
    client = Client(f"{proxied}/", verbose=False, analytics_enabled=False, download_files=tmp_path)
    assert client.predict(api_name="/list_datasets")[0]["source"] == "keeper"
    client.close()


def test_call_of_the_page_passes_and_of_another_site_is_refused(proxied):
    body = {"fn_index": 0, "data": [], "session_hash": "proxied"}
    own = proxied.removesuffix(PREFIX)
    assert httpx.post(f"{proxied}/gradio_api/queue/join", json=body, headers={"origin": own}).status_code == 200
    other = {"origin": "https://evil.example"}
    assert httpx.post(f"{proxied}/gradio_api/queue/join", json=body, headers=other).status_code == 403
