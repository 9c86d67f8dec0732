"""HTTP requests that the middleware accepts or rejects."""

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from core.access.quotas import Quotas
from core.access.roles import Access, Way
from core.settings import Settings
from studio.authorized_blocks import STATUS_KEY, VISITOR_COOKIE, AuthorizedBlocks
from studio.middleware import OPEN_ROUTES, AccessMiddleware
from studio.security_headers import CONTENT_SECURITY_POLICY


def client_of(tmp_path, access, root_path=None, limits=None, answers=None):
    """Return a client of the middleware; behind it an app answers with the headers that it received."""

    async def echo(scope, receive, send):
        await JSONResponse(dict(Request(scope).headers))(scope, receive, send)

    settings = Settings(home=tmp_path, root_path=root_path).prepare()
    made = AccessMiddleware(answers or echo, AuthorizedBlocks(access), settings, limits or Quotas())
    return TestClient(made, base_url="http://localhost:7860", raise_server_exceptions=False)


@pytest.fixture
def own(tmp_path):
    return client_of(tmp_path, Access(Way.OWN_MACHINE))


@pytest.fixture
def space(tmp_path):
    return client_of(tmp_path, Access(Way.SPACE, "keeper"))


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/queue/join", "/gradio_api/file=/x", "/static/a.js"])
def test_routes_of_the_page_are_open(path):
    assert OPEN_ROUTES.fullmatch(path)


@pytest.mark.parametrize(
    "path", ["/docs", "/gradio_api/proxy=x", "/gradio_api/component_server", "/x", "//", "/config/x"]
)
def test_other_routes_answer_404(own, path):
    assert not OPEN_ROUTES.fullmatch(path)
    assert own.get(f"http://localhost:7860{path}").status_code == 404


def test_healthz_answers_under_any_host_name(own):
    assert own.get("/healthz", headers={"host": "10.0.0.7"}).text == "ok"


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "null"}])
def test_calls_of_other_sites_are_refused(own, headers):
    assert own.post("/gradio_api/queue/join", headers=headers).status_code == 403
    assert own.post("/gradio_api/queue/join", headers={"origin": "http://localhost:7860"}).status_code == 200


def test_proxy_headers_pass_only_behind_a_proxy(tmp_path):
    sent = {"x-forwarded-host": "studio.example", "x-forwarded-for": "1.2.3.4", "x-own": "1"}
    for path in (None, "/studio"):
        seen = client_of(tmp_path, Access(Way.SPACE), path).get("/config", headers=sent).json()
        assert ("x-forwarded-for" in seen, "x-own" in seen) == (path is not None, True)


HOSTS = ["[::1", "[zz]", "[:::]", "a b", "a@b", "x:abc", "x/../y", "x?y", "x#y", "é", "%zz", "localhost,evil.example",
         "x:0", "x:99999"]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", ["host", "x-forwarded-host"])
def test_invalid_host_is_refused(tmp_path, name, host):
    """Gradio and others fail on such a name, or read another name in it."""
    before = client_of(tmp_path, Access(Way.OWN_MACHINE), "/studio")
    answer = before.get("/config", headers={name: host.encode()})
    first_is_one = name == "x-forwarded-host" and "," in host
    assert answer.status_code in ((200,) if first_is_one else (400, 403))
    assert before.post("/gradio_api/queue/join", headers={"origin": f"http://{host}".encode()}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "127.0.0.1:7860", "[::1]:7860", "[::1]"])
def test_local_host_names_are_accepted(own, host):
    assert own.get("/config", headers={"host": host}).status_code == 200


OWN_NAMES = ["keeper-studio.hf.space", "Keeper-Studio.hf.space:443", "own.example", "localhost:7860", "127.0.0.1",
             "[::1]:7860", "10.1.2.3:7860"]  # fmt: skip
FOREIGN_NAMES = ["evil.example", "keeper-studio.hf.space.evil.example", "evil-studio.hf.space", "9.9.9.9",
                 "keeper-studio.hf.space:8443", "localhost.evil.example"]  # fmt: skip


@pytest.mark.parametrize("name", ["host", "x-forwarded-host"])
def test_space_is_reached_by_its_own_names_only(space, monkeypatch, name):
    """Gradio writes the host into pages; a port of its own would make each caller's page another one."""
    monkeypatch.setenv("SPACE_ID", "keeper/studio")
    monkeypatch.setenv("SPACE_HOST", "keeper-studio.hf.space")
    space.app.settings.hosts = "own.example"
    for host in OWN_NAMES:
        assert space.get("/config", headers={name: host}).status_code == 200, host
    for host in FOREIGN_NAMES:
        answer = space.get("/config", headers={name: host})
        assert answer.status_code == 403
        assert f"not reached as {host!r}" in answer.json()["error"]
        assert space.get("/healthz", headers={name: host}).text == "ok"


def test_own_machine_behind_a_proxy_is_reached_by_the_proxys_names(own):
    own.app.settings.hosts = "own.example"
    for host, status in (("own.example", 200), ("own.example:8080", 200), ("evil.example", 403)):
        for headers in ({"host": host}, {"host": host, "x-forwarded-host": host}):
            assert own.get("/config", headers=headers).status_code == status


@pytest.mark.parametrize("root_path", [None, "/studio"])
def test_gradio_server_header_never_passes(tmp_path, root_path):
    seen = client_of(tmp_path, Access(Way.SPACE), root_path).get("/config", headers={"x-gradio-server": "http://evil"})
    assert "x-gradio-server" not in seen.json()


@pytest.mark.parametrize("name", ["%00", "a%0ab", "a%20b", "..", "a%2Fb", "a" * 101, "é"])
def test_heartbeat_accepts_only_plain_session_names(own, name):
    assert own.get(f"/gradio_api/heartbeat/{name}").status_code == 404
    for plain in ("0q1w2e3r4t", "6f1c9a52-0d5e-4b7a-8a53-3d1e6b6a5c11"):
        assert own.get(f"/gradio_api/heartbeat/{plain}").status_code == 200


def test_visitor_call_needs_a_small_content_length(space):
    assert space.post("/gradio_api/queue/join", content=b"x" * 2**18).status_code == 200
    assert space.post("/gradio_api/queue/join", content=b"x" * (2**18 + 1)).status_code == 413
    assert space.post("/gradio_api/queue/join", content=iter([b"x"])).status_code == 413


def test_upload_is_refused_for_visitors_and_beyond_the_quota(space, tmp_path):
    assert space.post("/gradio_api/upload", content=b"x").status_code == 403
    full = client_of(tmp_path, Access(Way.OWN_MACHINE), limits=Quotas(uploads=0))
    refused = full.post("/gradio_api/upload", content=b"x")
    assert refused.status_code == 413
    assert "upload" in refused.json()["error"].lower()


@pytest.mark.parametrize("path", ["http://evil/x", "http:%2F%2Fevil/x", "/etc/passwd"])
def test_file_of_another_caller_is_refused(space, path):
    assert space.get(f"/gradio_api/file={path}").status_code == 403


@pytest.mark.parametrize("given", ['inline; filename="a.md"', 'attachment; filename="a.md"'])
def test_file_is_downloaded_and_not_shown(tmp_path, given):
    async def serve(scope, receive, send):
        await PlainTextResponse("<script>", headers={"content-disposition": given})(scope, receive, send)

    answer = client_of(tmp_path, Access(Way.OWN_MACHINE), answers=serve).get("/gradio_api/file=/x")
    assert answer.headers["content-disposition"] == 'attachment; filename="a.md"'


def test_answers_have_security_headers_and_a_new_visitor_gets_a_cookie(own, space):
    for answer in (own.get("/"), own.get("/nothing")):
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
    assert VISITOR_COOKIE in space.get("/").headers["set-cookie"]
    assert "set-cookie" not in space.get("/", headers={"cookie": f"{VISITOR_COOKIE}=x"}).headers


def test_exception_of_a_route_answers_400_with_a_sentence(tmp_path, capsys):
    async def breaks(scope, receive, send):
        if scope["path"] == "/config":
            raise KeyError("hf_abcdefghijklmnopqrstuvwxyz")
        scope[STATUS_KEY] = 403
        await PlainTextResponse("no", 500)(scope, receive, send)

    browser = client_of(tmp_path, Access(Way.OWN_MACHINE), answers=breaks)
    broken = browser.get("/config")
    assert (broken.status_code, broken.json()["error"][:16]) == (400, "The page never s")
    assert "hf_abcdefghijkl" not in capsys.readouterr().err
    assert browser.get("/").status_code == 403


@pytest.mark.parametrize("mode", ["", "json"])
def test_control_characters_of_a_request_reach_no_log(tmp_path, capsys, monkeypatch, mode):
    async def breaks(scope, receive, send):
        raise KeyError(scope["path"])

    monkeypatch.setenv("STUDIO_LOG", mode)
    browser = client_of(tmp_path, Access(Way.OWN_MACHINE), answers=breaks)
    for escape in ("%1b%5d0;owned%07", "%1b%5b2J", "%c2%9b2J", "%7f%08", "%e2%80%ae", "%e2%80%a8"):
        for path in ("/gradio_api/run/", "/gradio_api/call/", "/gradio_api/file=", "/static/", "/"):
            browser.post(path + escape, headers={"origin": "http://localhost:7860", "user-agent": "\x1b[2J"})
    printed = capsys.readouterr()
    assert "owned" in printed.err
    assert (printed.out + printed.err).replace("\n", "").isprintable()


def test_failed_sign_in_answers_plain_text(tmp_path, capsys):
    async def breaks(scope, receive, send):
        raise ConnectionError("no provider")

    browser = client_of(tmp_path, Access(Way.SPACE, "keeper"), answers=breaks)
    for path in ("/login/huggingface", "/login/callback"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["content-type"][:10]) == (400, "text/plain")
        assert "press Sign in again" in answer.text
    assert "no provider" in capsys.readouterr().err


def test_web_socket_is_closed(own):
    with pytest.raises(WebSocketDisconnect), own.websocket_connect("/gradio_api/queue/join"):
        pass
