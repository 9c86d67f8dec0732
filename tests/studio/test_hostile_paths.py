"""Paths that no page sends: they are refused before anything resolves, builds or keeps them."""

import asyncio
import time

import pytest

from core.access.quotas import Quotas
from core.access.roles import Access, Caller, Role, Way
from core.errors import StudioError
from core.settings import Settings
from core.web.origin import MAX_PATH_CHARACTERS
from studio.authorized_blocks import AuthorizedBlocks
from studio.middleware import AccessMiddleware
from studio.shared_answers import SharedAnswers

ROUTES = ["/", "/config/", "/theme.css/", "/static/", "/assets/", "/svelte/", "/login/", "/gradio_api/info/",
          "/gradio_api/file=", "/gradio_api/run/", "/gradio_api/call/", "/gradio_api/heartbeat/",
          "/gradio_api/queue/data/", "/gradio_api/cancel/", "/healthz/"]  # fmt: skip
LONG = ["a/" * 60_000, "é/" * 30_000, "a" * 120_000, "../" * 40_000, "/" * MAX_PATH_CHARACTERS]


class Visit:
    """A Space's middleware, and the paths that reach the routes behind it.

    It is asked without a client, which would change the paths before they are sent.
    """

    def __init__(self, tmp_path, access):
        self.reached: list[str] = []
        settings = Settings(home=tmp_path, root_path="/").prepare()
        self.blocks = AuthorizedBlocks(access)
        self.middleware = AccessMiddleware(self._answer, self.blocks, settings, Quotas())

    def ask(self, path, method="GET", query="", headers=((b"host", b"a.example"),)):
        """Return the status and the body of an answer."""
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.request", "body": b""}

        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(),
                 "headers": [*headers, (b"content-length", b"0")],
                 "client": ("1.2.3.4", 1), "server": ("a.example", 80), "scheme": "http"}  # fmt: skip
        asyncio.run(self.middleware(scope, receive, send))
        return sent[0]["status"], b"".join(each.get("body", b"") for each in sent).decode()

    async def _answer(self, scope, receive, send):
        self.reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def shared_visit(tmp_path_factory):
    return Visit(tmp_path_factory.mktemp("home"), Access(Way.SPACE, "keeper"))


@pytest.fixture(scope="module")
def password_visit(tmp_path_factory):
    return Visit(tmp_path_factory.mktemp("home"), Access(Way.PASSWORD))


@pytest.fixture
def visit_without_password(password_visit):
    """Visit of a browser that has not given the password, without answers of former ones."""
    password_visit.reached.clear()
    password_visit.middleware.answers = SharedAnswers(password_visit._answer)
    return password_visit


@pytest.fixture
def visit(shared_visit):
    shared_visit.reached.clear()
    return shared_visit


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("long", LONG, ids=lambda text: text[:3])
def test_long_path_is_refused_before_any_route(visit, route, long):
    assert [visit.ask(route + long, method)[0] for method in ("GET", "POST", "HEAD")] == [414] * 3
    assert not visit.reached


def test_long_query_is_refused_before_any_route(visit):
    status, text = visit.ask("/config", query="deep_link=" + "a" * 9_000)
    assert (status, visit.reached) == (414, [])
    assert "The query has 9,010 bytes, and at most 8,192 are read." in text


PLAIN = ["/config", "/theme.css", "/static/img/logo.svg", "/favicon.ico", "/login", "/gradio_api/info",
         "/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/run/list_runs", "/gradio_api/call/list_runs",
         "/gradio_api/heartbeat/abc", "/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/upload",
         "/gradio_api/startup-events"]  # fmt: skip
OTHER_SPELLINGS = ["{folder}/./{name}", "{folder}/../{name}", "{folder}/x/../{name}", "{folder}//{name}",
                   "/.{folder}/{name}", "/..{folder}/{name}", "/{folder}/{name}", "{folder}/%2e%2e/{name}",
                   "{folder}/x%2f..%2f{name}", "{folder}/{name}/.", "{folder}/{name}/..", "{folder}/{name}//",
                   "{folder}\\{name}", "{folder}/x\\..\\{name}"]  # fmt: skip


@pytest.mark.parametrize("path", PLAIN)
@pytest.mark.parametrize("spelling", OTHER_SPELLINGS)
def test_other_spelling_of_a_path_answers_404_before_any_route(visit, path, spelling):
    folder, _, name = path.rpartition("/")
    other = spelling.format(folder=folder, name=name)
    assert [visit.ask(other, method)[0] for method in ("GET", "POST", "HEAD")] == [404] * 3
    assert not visit.reached


CALLS = [path for path in PLAIN if path.startswith("/gradio_api/") and "startup" not in path]
CALLS += ["/gradio_api/file=/made/a.csv", "/gradio_api/upload_progress", "/gradio_api/queue/status",
          "/gradio_api/api/list_runs", "/gradio_api/reset/", "/gradio_api/cancel/"]  # fmt: skip


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_call_without_the_password_answers_401_before_any_route(visit_without_password, path, method):
    status, text = visit_without_password.ask(path, method)
    assert (status, visit_without_password.reached) == (401, [])
    assert "sign in first" in text


@pytest.mark.parametrize("path", ["/", "/config", "/login", "/theme.css", "/gradio_api/theme.css", "/gradio_api/app_id",
                                  "/gradio_api/startup-events",
                                  "/gradio_api/login_check", "/gradio_api/user", "/static/img/logo.svg"])  # fmt: skip
def test_page_that_asks_for_the_password_is_open(visit_without_password, path):
    assert (visit_without_password.ask(path)[0], visit_without_password.reached) == (200, [path])


@pytest.mark.parametrize("spelling", OTHER_SPELLINGS)
def test_other_spelling_of_a_callers_file_is_refused(visit, spelling):
    visit.blocks.file_owners["/made/a.csv"] = ""
    assert visit.ask("/gradio_api/file=/made/a.csv")[0] == 200
    assert visit.ask("/gradio_api/file=" + spelling.format(folder="/made", name="a.csv"))[0] == 403
    assert visit.reached == ["/gradio_api/file=/made/a.csv"]


@pytest.mark.parametrize(
    "path",
    ["/static/ffmpeg/ffmpeg-core.wasm", "/static/bokeh/3.8.1/bokeh-3.8.1.min.js", "/assets/PlotlyPlot-D9Pvz5DK.js",
     "/assets/none.js", "/static/", "/static/img", "/svelte/none.js", "/static/img/LOGO.svg"],
)  # fmt: skip
def test_file_that_the_page_does_not_load_answers_404(visit, path):
    assert (visit.ask(path)[0], visit.reached) == (404, [])


def test_names_of_few_callers_build_no_page_of_their_own(visit, monkeypatch):
    monkeypatch.setenv("SPACE_HOST", "keeper-studio.hf.space")
    kept, space = visit.middleware.answers.built.answers, b"keeper-studio.hf.space"
    for i in range(20):
        for host in (b"10.0.0.%d:7860" % i, b"127.0.0.1:%d" % (9000 + i), space):
            for more in ([], [(b"x-forwarded-host", b"10.1.1.%d:%d" % (i, i + 1))]):
                assert visit.ask("/", headers=[(b"host", host), *more])[0] == 200
    assert len(kept) == 1
    assert visit.ask("/", headers=[(b"host", b"localhost:80")])[0] == 200
    assert len(kept) == 2, "one's own machine has pages of its own"


@pytest.mark.parametrize("role", [Role.VISITOR, Role.OWNER])
def test_long_path_in_a_call_is_refused_in_no_time(visit, role):
    started = time.monotonic()
    for path in ("/" + "é/" * 80_000, "/" + "a/" * 120_000, "a" * 240_000):
        with pytest.raises(StudioError, match=r"a path has at most 4,096"):
            visit.blocks.check_own_files([None, [{"deep": {"path": path}}]], Caller(role, "a"))
    assert time.monotonic() - started < 1


def test_path_of_a_visitor_is_never_asked_of_the_disk(visit, monkeypatch):
    """A call of 256 KiB names 20,000 files; each part of each path would be a question to the disk."""
    monkeypatch.setattr("pathlib.Path.resolve", None)
    with pytest.raises(StudioError, match="not made for you"):
        visit.blocks.check_own_files([{"path": "/a/b"}] * 20_000, Caller(Role.VISITOR, "a"))
