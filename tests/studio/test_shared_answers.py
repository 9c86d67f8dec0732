"""Answers that are equal for all: built once, compressed, and never with the address of another caller."""

import asyncio
import threading
from types import SimpleNamespace

import gradio as gr
import pytest
from gradio.routes import App
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from core.access.quotas import Quotas
from core.access.roles import Access, Role, Way
from core.settings import Settings
from studio import shared_answers
from studio.authorized_blocks import AuthorizedBlocks
from studio.handlers import event_handler
from studio.http_errors import EXCEPTION_HANDLERS
from studio.middleware import AccessMiddleware
from studio.shared_answers import PIECE_BYTES, SharedAnswers, in_pieces

PATHS = ["/", "/config", "/gradio_api/info", "/gradio_api/openapi.json", "/theme.css", "/static/img/logo.svg"]


@pytest.fixture(scope="module")
def gradio_app(tmp_path_factory):
    """Gradio's own routes behind the middleware, as on a Space without a known name; no server."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), root_path="/").prepare()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(App, "api_info", None, raising=False)
        shared_answers.keep_api_info_by_root()
        with AuthorizedBlocks(Access(Way.SPACE, "keeper")) as page:
            box = gr.Textbox()
            box.submit(event_handler(lambda text: text, visitor=True), box, box, api_name="echo")
        page.queue()
        # As Gradio's launch does.
        page.theme, page.allowed_paths, page.blocked_paths = gr.themes.Default(), [], []
        page.css = page.head = page.js = ""
        page.css_paths = page.head_paths = None
        page._set_html_css_theme_variables()
        page.config = page.get_config_file()
        middleware = Middleware(AccessMiddleware, blocks=page, settings=settings, limits=Quotas())
        kwargs = {"middleware": [middleware], "exception_handlers": EXCEPTION_HANDLERS}
        yield App.create_app(page, app_kwargs=kwargs, strict_cors=True)


@pytest.fixture
def browser(gradio_app):
    return TestClient(gradio_app, base_url="http://a.example")


@pytest.mark.parametrize("path", PATHS)
def test_compressed_answers_have_the_same_content(browser, path):
    plain, *packed = (browser.get(path, headers={"accept-encoding": each}) for each in ("identity", "gzip", "br"))
    assert plain.status_code == 200
    assert "content-encoding" not in plain.headers
    for answer, encoding in zip(packed, ("gzip", "br"), strict=True):
        assert answer.headers.get("content-encoding") == (encoding if len(plain.content) > 400 else None)
        assert answer.content == plain.content
        assert int(answer.headers["content-length"]) <= len(plain.content)


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_names_the_host_of_another_caller(browser, path):
    """Gradio keeps the first caller's host in the description of the API."""
    headers = ({"host": "evil.example"}, {"x-forwarded-host": "evil.example"})
    assert all(browser.get(path, headers=each).status_code == 200 for each in headers)
    assert "evil.example" not in browser.get(path).text


def test_api_page_names_the_callers_own_host(browser):
    for host in ("one.example", "two.example"):
        assert host in browser.get("/gradio_api/info", headers={"host": host}).text


@pytest.mark.parametrize(
    ("body", "expected"), [(b'{"a": 1}', "body.data"), (b'{"a', "valid JSON"), (b"\x80", "body cannot be read")]
)
def test_malformed_call_is_answered_with_a_sentence(browser, body, expected):
    answer = browser.post("/gradio_api/queue/join", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert expected in answer.json()["error"]
    assert answer.json()["error"].endswith("docs/api.md lists.")


class Routes:
    """Gradio's routes, of which each answer states how many came before it."""

    def __init__(self, status: int = 200, size: int = 0, cookie: str | None = None):
        self.count, self.status, self.size, self.cookie = 0, status, size, cookie

    async def __call__(self, scope, receive, send):
        self.count += 1
        count = self.count
        # Others arrive before the answer.
        await asyncio.sleep(0)
        headers = {"set-cookie": self.cookie} if self.cookie else {}
        await PlainTextResponse(f"{count}" + "x" * self.size, self.status, headers)(scope, receive, send)


async def ask(shared, path="/", query="", kind=Role.VISITOR, method="GET", **headers):
    sent = []

    async def send(message):
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": raw}
    await shared(scope, None, send, path, kind)
    return SimpleNamespace(status=sent[0]["status"], text=b"".join(m.get("body", b"") for m in sent[1:]).decode())


def asks(routes, *requests):
    """Return the answers to requests of one time."""
    shared = SharedAnswers(routes)

    async def all_of_them():
        return await asyncio.gather(*(ask(shared, **each) for each in requests))

    return [each.text[:2] for each in asyncio.run(all_of_them())]


def test_a_crowd_waits_for_one_answer():
    assert asks(Routes(), *[{}] * 200) == ["1"] * 200


@pytest.mark.parametrize("query", ["a", "x=1&y=2", "page=other", "deep_link=", "all_endpoints=", "__theme=dark"])
def test_queries_that_gradio_does_not_read_share_an_answer(query):
    assert asks(Routes(), {}, {"query": query}) == ["1", "1"]


@pytest.mark.parametrize(
    "other",
    [{"kind": Role.OWNER}, {"kind": Role.SIGNED_OUT}, {"path": "/config"}, {"host": "b"}, {"x_forwarded_host": "b"},
     {"x_forwarded_proto": "https"}, {"query": "page="}, {"query": "deep_link=a"}, {"query": "all_endpoints=1"},
     {"accept_encoding": "gzip"}],
)  # fmt: skip
def test_what_an_answer_depends_on_separates_answers(other):
    assert asks(Routes(), {}, other, {}, other) == ["1", "2", "1", "2"]


@pytest.mark.parametrize(
    "same", [{"host": "A.example"}, {"x_forwarded_proto": "junk"}, {"cookie": "a=b"}, {"range": "bytes=0-1"}]
)
def test_what_an_answer_does_not_depend_on_shares_it(same):
    plain = {"host": "a.example"}
    assert asks(Routes(), plain, plain | same) == ["1", "1"]


@pytest.mark.parametrize("routes", [Routes(401), Routes(500), Routes(cookie="a=b")])
def test_refusals_and_cookies_are_not_kept(routes):
    assert asks(routes, {}, {}) == ["1", "2"]


def test_other_routes_and_methods_pass():
    calls = [{"path": "/gradio_api/file=/x"}, {"path": "/gradio_api/queue/data"}, {"method": "POST"}]
    for each in calls:
        assert asks(Routes(), each, each) == ["1", "2"]


def test_head_has_no_body():
    assert asks(Routes(), {"method": "HEAD"}, {}) == ["", "1"]


def test_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(shared_answers, "MAX_FILES", (30, 5_000))
    for routes in (Routes(size=1_000), Routes()):
        shared = SharedAnswers(routes)
        for i in range(50):
            asyncio.run(ask(shared, f"/assets/{i}.js"))
        kept = shared.files
        assert kept.bytes == sum(len(answer.body) for answer in kept.answers.values()) <= 5_000
        assert 4 <= len(kept.answers) <= 30


def test_answers_that_are_used_stay_while_others_come(monkeypatch):
    monkeypatch.setattr(shared_answers, "MAX_BUILT", (3, 5_000))
    monkeypatch.setattr(shared_answers, "MAX_FILES", (3, 5_000))
    shared, used = SharedAnswers(Routes()), ("/", "/assets/used.js")

    def ask_for_used():
        return [asyncio.run(ask(shared, path)).text for path in used]

    first = ask_for_used()
    for i in range(9):
        asyncio.run(ask(shared, f"/assets/{i}.js"))
        asyncio.run(ask(shared, host=f"{i}.example"))
        assert ask_for_used() == first


def test_answer_over_the_limit_of_a_file_is_not_kept(monkeypatch):
    monkeypatch.setattr(shared_answers, "MAX_FILE_BYTES", 1_000)
    assert asks(Routes(size=1_000), {}, {}) == ["1x", "2x"]


def test_compression_is_outside_of_the_event_loop(monkeypatch):
    threads = []
    monkeypatch.setattr(shared_answers, "_compress", lambda made, _: threads.append(threading.get_ident()) or made)
    asks(Routes(), {}, {"path": "/assets/a.js"})
    assert len(threads) == 2
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_body_is_sent_in_pieces(size, more):
    sent = []

    async def send(message):
        sent.append(message)

    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    asyncio.run(in_pieces({"type": "http.response.body", "body": body, "more_body": more}, send))
    assert b"".join(each["body"] for each in sent) == body
    assert max(len(each["body"]) for each in sent) <= PIECE_BYTES
    assert [each["more_body"] for each in sent] == [True] * (len(sent) - 1) + [more]
