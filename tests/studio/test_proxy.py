"""Behind a proxy, under a path: the page, its files and its calls are found there, and forwarded names are believed."""

import httpx
import pytest
from gradio_client import Client

from tests.helpers.app_server import AppServer
from tests.helpers.proxy_server import ProxyServer

PREFIX = "/tools/studio"


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """The address of a proxy that takes its path away and says who it is."""
    with ProxyServer(PREFIX) as front:
        app = AppServer(tmp_path_factory.mktemp("proxied"), STUDIO_ROOT_PATH=PREFIX, STUDIO_HOSTS=front.host)
        front.target = app.url
        yield front.url
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
