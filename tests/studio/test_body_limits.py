"""Bodies of requests: what is counted is what arrives, and headers that disagree about the size are refused."""

import asyncio
import json

import pytest
from hypothesis import given, settings

from core.access.quotas import Quotas
from core.access.roles import Access, Way
from core.settings import Settings
from core.web.origin import RefusalError
from studio.authorized_blocks import AuthorizedBlocks
from studio.call_checks import MAX_PARTS, check_parts
from studio.middleware import AccessMiddleware
from tests.helpers.json_values import JSON

ROUTES = ["/gradio_api/queue/join", "/gradio_api/run/list_runs", "/gradio_api/call/list_runs", "/gradio_api/cancel",
          "/gradio_api/upload", "/login", "/", "/config", "/healthz"]  # fmt: skip
WAYS = {"visitor": Access(Way.SPACE, "keeper"), "signed out": Access(Way.PASSWORD), "owner": Access(Way.OWN_MACHINE)}
PIECES = 100


class Site:
    """A middleware, the bytes that its routes have read, and the content-length that they have seen."""

    def __init__(self, home, way):
        self.read, self.seen = 0, None
        made = Settings(home=home).prepare()
        self.middleware = AccessMiddleware(self._read, AuthorizedBlocks(WAYS[way]), made, Quotas())

    def ask(self, path, headers, pieces, method="POST"):
        """Send a body in pieces; return the status of the answer and the bytes that were taken from the network."""
        sent, waiting, self.read = [], list(pieces), 0

        async def receive():
            piece = waiting.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(waiting)}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "scheme": "http",
                 "headers": [(b"host", b"localhost"), *headers], "client": ("1.2.3.4", 1),
                 "server": ("localhost", 80)}  # fmt: skip
        asyncio.run(self.middleware(scope, receive, send))
        return sent[0]["status"], sum(map(len, pieces)) - sum(map(len, waiting))

    async def _read(self, scope, receive, send):
        self.seen, has_more = dict(scope["headers"]).get(b"content-length"), True
        while has_more:
            message = await receive()
            self.read += len(message["body"])
            has_more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    return {way: Site(tmp_path_factory.mktemp("home"), way) for way in WAYS}


UNCLEAR = [
    [(b"content-length", b"10"), (b"transfer-encoding", b"chunked")],
    [(b"transfer-encoding", b"chunked"), (b"content-length", b"10")],
    [(b"content-length", b"10"), (b"transfer-encoding", b"identity")],
    [(b"content-length", b"0"), (b"transfer-encoding", b"")],
    [(b"content-length", b"10"), (b"content-length", b"11")],
    *([(b"content-length", size)] for size in (b"", b"-1", b"+1", b"1e3", b"0x10", b"1, 1", "²".encode("latin-1"))),
    [(b"content-length", b"9" * 5_000)],
]


@pytest.mark.parametrize("headers", UNCLEAR, ids=lambda headers: repr(headers)[:70])
@pytest.mark.parametrize("way", WAYS)
def test_unclear_size_answers_400_and_nothing_is_read(sites, way, headers):
    for path in ROUTES:
        for method in ("POST", "GET"):
            assert sites[way].ask(path, headers, [b"x" * 1_000] * PIECES, method) == (400, 0), (path, method)


@pytest.mark.parametrize("headers", [[(b"content-length", b"1500")], [(b"transfer-encoding", b"chunked")], []], ids=str)
@pytest.mark.parametrize("way", ["visitor", "signed out"])
def test_no_more_than_the_declared_bytes_are_read_of_a_body(sites, way, headers):
    for path in ROUTES:
        status, taken = sites[way].ask(path, headers, [b"x" * 1_000] * PIECES)
        assert (sites[way].read <= 1_500, taken <= 2_000) == (True, True), path
        assert status in ((200,) if path == "/healthz" else (401, 403, 413, 404)), path


def test_owners_body_is_limited_to_what_it_declares(sites):
    site, declared = sites["owner"], [(b"content-length", b"1500")]
    assert site.ask("/gradio_api/queue/join", declared, [b"x" * 1_000] * PIECES) == (413, 2_000)
    assert site.ask("/gradio_api/upload", declared, [b"x" * 1_000] * PIECES) == (413, 2_000)
    assert site.ask("/gradio_api/upload", [(b"transfer-encoding", b"chunked")], [b"x"] * PIECES) == (413, 0)
    assert site.ask("/gradio_api/queue/join", [(b"transfer-encoding", b"chunked")], [b"x"] * PIECES) == (200, PIECES)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_routes_see_no_body_of_a_method_that_has_none(sites, method):
    for site in sites.values():
        site.ask("/robots.txt", [(b"transfer-encoding", b"chunked")], [b"x" * 1_000] * PIECES, method)
        assert site.read == 0


def test_queue_counts_the_bytes_that_arrived(sites):
    site = sites["visitor"]
    assert site.ask("/gradio_api/queue/join", [(b"content-length", b"1500")], [b"x" * 700]) == (200, 700)
    assert (site.seen, site.read) == (b"700", 700)


JSON_ROUTES = ["/gradio_api/queue/join", "/gradio_api/queue/join/", "/gradio_api/run/search", "/gradio_api/api/search",
               "/gradio_api/call/search_rows", "/gradio_api/call/v2/search_rows", "/gradio_api/cancel",
               "/gradio_api/reset"]  # fmt: skip
MANY = MAX_PARTS + 1
TOO_MANY = {
    "lists": [[]] * MANY,
    "objects": [{}] * MANY,
    "numbers": [1] * MANY,
    "texts": ["a,"] * MANY,
    "files": [{"path": "/a"}] * MANY,
    "keys": {str(i): i for i in range(MANY)},
    "after a text": ["[" * MANY, '\\"' * MANY, *[0] * MANY],
}
ENOUGH = {
    "prose": "Yes, no, [perhaps] {never}, " * 6_000,
    "escapes": '\\", [{ \\\\' * 15_000,
    "numbers": [1] * (MAX_PARTS - 10),
    "lists": [[]] * (MAX_PARTS // 2 - 10),
}


@pytest.mark.parametrize("path", JSON_ROUTES)
def test_visitors_json_of_too_many_parts_reaches_no_route(sites, path):
    for name, value in TOO_MANY.items():
        for text in (json.dumps({"data": [value]}), json.dumps(value, separators=(",", ":"))):
            body = text.encode()
            # The last one has all parts, and all of them in a text for whoever takes the encoding for UTF-8.
            for each in (body, b"\xef\xbb\xbf" + body, ("\u2222" + text).encode("utf-16-le")):
                status, _ = sites["visitor"].ask(path, [(b"content-length", b"%d" % len(each))], [each])
                assert (status, sites["visitor"].read) == (413, 0), name


@pytest.mark.parametrize("path", JSON_ROUTES)
def test_long_text_of_a_visitor_and_lists_of_the_owner_pass(sites, path):
    for way, values in (("visitor", ENOUGH), ("owner", TOO_MANY)):
        for value in values.values():
            body = json.dumps({"data": [value]}).encode()
            assert sites[way].ask(path, [(b"content-length", b"%d" % len(body))], [body]) == (200, len(body))


def parts(value) -> int:
    """Return the lists, objects and further entries of a value."""
    if not isinstance(value, (list, dict)):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(0, len(value) - 1) + sum(map(parts, inner))


@settings(max_examples=50)
@given(JSON)
def test_parts_are_counted_as_json_has_them(value):
    filler = [0] * (MAX_PARTS + 1)
    body = json.dumps([value, filler], ensure_ascii=False).encode("utf-8", "surrogatepass")
    with pytest.raises(RefusalError, match=f"{parts([value, filler]):,} lists"):
        check_parts(body)
