"""Sign-in on a Space from the first redirect to the session: HTTP behind a TLS proxy, with a loopback provider."""

import json
import time
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from tests.helpers.app_server import QueueClient
from tests.helpers.oauth_provider import OAuthProvider, claims_of
from tests.helpers.proxy_server import ProxyServer
from tests.helpers.sign_in_client import is_owner, readme_scopes, session_cookie, sign_in_redirect, with_query
from tests.helpers.space_server import AUTHOR, CLIENT, SECRET, start_space

OWNER = claims_of(AUTHOR)
WRITER = claims_of("writer", **{AUTHOR: "write"})


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Start a Space: its app, the proxy before it, and the provider."""
    folder = tmp_path_factory.mktemp("signing-in")
    with ProxyServer(tls_in=folder) as front, OAuthProvider(front.host, readme_scopes()) as provider:
        app = start_space(folder / "home", STUDIO_LOG="json", **provider.environment)
        front.target = app.url
        yield SimpleNamespace(app=app, front=front, url=front.url, provider=provider)
        app.stop()


@pytest.fixture
def browser(here):
    """Return a function that makes a new client with its own cookies, which follows redirects."""
    opened = []

    def new() -> httpx.Client:
        opened.append(
            httpx.Client(base_url=here.url, verify=str(here.front.certificate), follow_redirects=True, timeout=30)
        )
        return opened[-1]

    here.provider.account = None
    yield new
    for client in opened:
        client.close()


@pytest.fixture
def sign_in(here, browser):
    """Return a function that signs in and returns the client."""

    def go(who: dict) -> httpx.Client:
        client, here.provider.account = browser(), who
        landed = client.get("/login/huggingface")
        assert (landed.status_code, landed.url.path, landed.url.host) == (200, "/", "127.0.0.1")
        return client

    return go


def test_sign_in_returns_from_the_provider_with_a_session(here, browser):
    client, here.provider.account = browser(), OWNER
    to = sign_in_redirect(client)
    asked = parse_qs(urlsplit(to).query)
    assert to.startswith(f"{here.provider.url}/oauth/authorize?")
    assert (asked["client_id"], asked["response_type"]) == ([CLIENT], ["code"])
    assert asked["scope"] == ["openid profile read-memberships"]
    assert asked["redirect_uri"][0].startswith(f"https://{here.front.host}/login/callback?")
    back = httpx.get(to).headers["location"]
    assert parse_qs(urlsplit(back).query)["state"] == asked["state"]
    landed = client.get(back, follow_redirects=False)
    assert landed.headers["location"].partition("?")[0] == "/"
    flags = landed.headers["set-cookie"].lower().split("; ")
    assert {"httponly", "secure", "samesite=none", "path=/"} <= set(flags)
    assert {"GET /.well-known/openid-configuration", "POST /oauth/token", "GET /oauth/jwks"} <= set(
        here.provider.requests
    )
    assert is_owner(here.url, client)


def test_page_of_the_owner_has_the_owner_tab_and_no_notice(here, sign_in):
    for who, sees in ((OWNER, True), (claims_of("someone"), False)):
        page = QueueClient(here.url, cookies=sign_in(who).cookies)
        greet = next(event for event in page.events if event["api_name"].startswith("greet"))
        notice, owner_tab, *_ = page.run(greet, [])["output"]["data"]
        assert ("You are a visitor" not in notice["value"], owner_tab["visible"]) == (sees, sees)
        assert page.call("list_datasets")["data"][0][0]["source"] == "keeper"
        page.http.close()


@pytest.mark.parametrize(
    ("who", "owns"),
    [
        (OWNER, True),
        (WRITER, True),
        (claims_of("chief", another="read", **{AUTHOR: "admin"}), True),
        (claims_of("reader", **{AUTHOR: "read"}), False),
        (claims_of("contributor", **{AUTHOR: "contributor"}), False),
        (claims_of("someone", another="admin"), False),
        (claims_of("someone") | {"name": AUTHOR, "sub": AUTHOR}, False),
        (claims_of("x") | {"orgs": [{"name": AUTHOR, "preferred_username": "another", "roleInOrg": "admin"}]}, False),
        (claims_of(""), False),
    ],
    ids=["author", "writer", "admin", "reader", "contributor", "someone", "display name", "organization's",
         "nameless"],
)  # fmt: skip
def test_owner_is_decided_by_the_claims_of_the_provider(here, sign_in, who, owns):
    assert is_owner(here.url, sign_in(who)) is owns


def test_member_without_a_role_is_a_visitor(here, sign_in):
    """The role is missing where its scope was not granted, and a reader looks the same."""
    untold = [{name: value for name, value in WRITER["orgs"][0].items() if name != "roleInOrg"}]
    assert not is_owner(here.url, sign_in(WRITER | {"orgs": untold}))


def test_browser_without_sign_in_is_a_visitor(here, browser):
    client = browser()
    assert client.get("/").status_code == 200
    assert not is_owner(here.url, client)


def test_cookie_of_a_member_of_many_organizations_is_small(here, sign_in):
    many = {f"organization-{number}": "read" for number in range(40)}
    client = sign_in(claims_of("busy", **many, **{AUTHOR: "admin"}))
    assert len(client.cookies["session"]) < 1000
    assert is_owner(here.url, client)


def test_secrets_are_in_no_cookie_page_or_log(here, sign_in):
    here.provider.issued_secrets.clear()
    client = sign_in(WRITER)
    shown = "".join(client.get(path).text for path in ("/", "/config", "/gradio_api/info", "/gradio_api/user"))
    assert is_owner(here.url, client)
    assert sorted(session_cookie(client)["oauth_info"]) == ["expires_at", "userinfo"]
    places = [shown, json.dumps(session_cookie(client)), client.cookies["session"], here.app.log.read_text()]
    assert len(here.provider.issued_secrets) == 3, "a code, an access token, an ID token"
    for secret in (SECRET, *here.provider.issued_secrets):
        assert not [place for place in places if secret in place]


def untroubled(here, since: int) -> str:
    """Return what was logged since, and check that it has no traceback."""
    text = here.app.log.read_text()[since:]
    assert "Traceback" not in text, text
    return text


@pytest.fixture
def log_ends(here):
    """Return the current length of the server's log."""
    return len(here.app.log.read_text())


@pytest.mark.parametrize("state", ["", "another", "x" * 2000, "\0", "é"])
def test_callback_with_a_foreign_state_is_refused(here, browser, log_ends, state):
    client, here.provider.account = browser(), OWNER
    back = httpx.get(sign_in_redirect(client)).headers["location"]
    answer = client.get(with_query(back, state=state), follow_redirects=False)
    assert answer.status_code in (302, 307)
    assert answer.headers["location"].startswith("/login/huggingface?"), "begin again"
    assert "oauth_info" not in session_cookie(client)
    untroubled(here, log_ends)


def test_callback_of_another_browser_is_refused(here, browser):
    """Login CSRF: a victim who follows the link would work under the attacker's name."""
    here.provider.account = claims_of("evil")
    back = httpx.get(sign_in_redirect(browser())).headers["location"]
    victim = browser()
    assert victim.get(back, follow_redirects=False).headers["location"].startswith("/login/huggingface?")
    assert "oauth_info" not in session_cookie(victim)


def test_sign_in_without_cookies_ends(here, log_ends):
    path, seen = "/login/callback?code=x&state=y", []
    with httpx.Client(base_url=here.url, verify=str(here.front.certificate)) as client:
        for _ in range(6):
            sent = client.get(path)
            client.cookies.clear()
            seen.append(sent.headers["location"])
            rounds = parse_qs(urlsplit(seen[-1]).query)["_nb_redirects"][0]
            path = f"/login/callback?code=x&state=y&_nb_redirects={rounds}"
    assert seen[-1].startswith(f"https://{here.front.host}/login/huggingface?"), "out of the frame, to the Space itself"
    untroubled(here, log_ends)


REFUSALS = {
    "an unknown code": lambda back: with_query(back, code="made-up"),
    "an empty code": lambda back: with_query(back, code=""),
    "a strange code": lambda back: with_query(back, code="\0é"),
    "declined": lambda back: with_query(back, error="access_denied", error_description="<script>alert(1)</script>"),
    "rounds that are no number": lambda back: with_query(back, state="x", _nb_redirects="many"),
}


@pytest.mark.parametrize("bend", REFUSALS.values(), ids=list(REFUSALS))
def test_refusal_of_the_provider_answers_a_sentence(here, browser, log_ends, bend):
    client, here.provider.account = browser(), OWNER
    answer = client.get(bend(httpx.get(sign_in_redirect(client)).headers["location"]), follow_redirects=False)
    assert answer.status_code == 400
    assert "did not sign you in" in answer.text
    assert "press Sign in again" in answer.text
    assert "script" not in answer.text
    assert "oauth_info" not in session_cookie(client)
    assert "GET /login/callback: " in untroubled(here, log_ends)


def test_declined_sign_in_stays_a_visitor(here, browser, log_ends):
    client = browser()
    answer = client.get("/login/huggingface")
    assert (answer.status_code, "did not sign you in" in answer.text) == (400, True)
    assert not is_owner(here.url, client)
    assert "access_denied" in untroubled(here, log_ends)


def test_code_is_accepted_once(here, browser):
    client, here.provider.account = browser(), OWNER
    back = httpx.get(sign_in_redirect(client)).headers["location"]
    assert client.get(back).status_code == 200
    other = browser()
    again = with_query(back, state=parse_qs(urlsplit(sign_in_redirect(other)).query)["state"][0])
    assert other.get(again).status_code == 400
    assert not is_owner(here.url, other)


BENT = [{"iss": "https://evil.example"}, {"aud": "another-client"}, {"nonce": "another"}, {"exp": 1}, {}]


@pytest.mark.parametrize("bent", BENT, ids=["issuer", "audience", "nonce", "over", "another's key"])
def test_forged_id_token_is_refused(here, browser, log_ends, bent, monkeypatch):
    monkeypatch.setattr(here.provider, "claim_overrides", bent)
    if not bent:
        monkeypatch.setattr(here.provider, "signing_key", RSAKey.generate_key(2048, {"kid": "1", "alg": "RS256"}))
    client, here.provider.account = browser(), OWNER
    answer = client.get("/login/huggingface")
    assert (answer.status_code, "did not sign you in" in answer.text) == (400, True)
    assert not is_owner(here.url, client)
    untroubled(here, log_ends)


ELSEWHERE = ["https://evil.example/x", "//evil.example", "/\\evil.example", "////evil.example", "\\\\evil.example",
             "https:evil.example", "javascript:alert(1)", "/\t/evil.example", "https://evil.example@x"]  # fmt: skip


@pytest.mark.parametrize("target", ELSEWHERE)
def test_sign_in_redirects_only_to_this_server(here, browser, target):
    client, here.provider.account = browser(), OWNER
    back = httpx.get(sign_in_redirect(client, _target_url=target)).headers["location"]
    assert urlsplit(back).netloc == here.front.host
    for answer in (client.get(back, follow_redirects=False),
                   client.get("/logout", params={"_target_url": target}, follow_redirects=False)):  # fmt: skip
        ends = httpx.URL(f"{here.url}/").join(answer.headers["location"].replace("\\", "/").replace("\t", ""))
        assert ends.netloc.decode() == here.front.host, answer.headers["location"]


def test_provider_sends_the_code_to_this_space_only(here, browser):
    to = with_query(sign_in_redirect(browser()), redirect_uri="https://evil.example/login/callback")
    assert httpx.get(to).status_code == 400


def test_logout_ends_the_session(here, sign_in):
    client = sign_in(OWNER)
    assert is_owner(here.url, client)
    assert client.get("/logout").status_code == 200
    assert "oauth_info" not in session_cookie(client)
    assert not is_owner(here.url, client)


def test_open_page_continues_after_sign_in(here, browser):
    """The page stays open while its user signs in in another tab; after signing out it is refused."""
    client, here.provider.account = browser(), OWNER
    queue = QueueClient(here.url)
    for path, message in (("/", "Only the owner can do this"), ("/login/huggingface", "There is no run")):
        client.get(path)
        queue.http.cookies = client.cookies
        assert message in queue.call("stop_run", "no-such-run")["error"]
    queue.http.close()
    stream = {"session_hash": queue.session}
    client.get("/logout")
    refused = client.get("/gradio_api/queue/data", params=stream)
    assert (refused.status_code, "another browser's" in refused.text) == (403, True)


def test_sign_in_expires_with_the_token(here, sign_in):
    until = session_cookie(sign_in(OWNER))["oauth_info"]["expires_at"]
    assert 7.9 * 3600 < until - time.time() < 8.1 * 3600
