"""The whole way of signing in on a Space, over HTTP with TLS before it, through a provider that stands on loopback."""

import json
import time
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey

from tests.helpers.app_server import QueueClient
from tests.helpers.loopback_hub import LoopbackHub
from tests.helpers.oauth_provider import OAuthProvider, claims_of
from tests.helpers.proxy_server import ProxyServer
from tests.helpers.sign_in_client import is_owner, readme_scopes, session_cookie, sign_in_redirect, with_query
from tests.helpers.space_server import AUTHOR, CLIENT, SECRET, start_space

OWNER = claims_of(AUTHOR)
WRITER = claims_of("writer", **{AUTHOR: "write"})


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A Space: its app, what stands before it, and the provider."""
    folder = tmp_path_factory.mktemp("signing-in")
    with ProxyServer(tls_in=folder) as front, OAuthProvider(front.host, readme_scopes()) as provider:
        app = start_space(folder / "home", STUDIO_LOG="json", **provider.environment)
        front.target = app.url
        yield SimpleNamespace(app=app, front=front, url=front.url, provider=provider)
        app.end()


@pytest.fixture
def browser(here):
    """A new browser each time it is called: cookies of its own, and it follows where it is sent."""
    opened = []

    def new() -> httpx.Client:
        opened.append(
            httpx.Client(base_url=here.url, verify=str(here.front.certificate), follow_redirects=True, timeout=30)
        )
        return opened[-1]

    here.provider.person = None
    yield new
    for client in opened:
        client.close()


@pytest.fixture
def sign_in(here, browser):
    """A browser in which somebody has gone the whole way."""

    def go(who: dict) -> httpx.Client:
        client, here.provider.person = browser(), who
        landed = client.get("/login/huggingface")
        assert (landed.status_code, landed.url.path, landed.url.host) == (200, "/", "127.0.0.1")
        return client

    return go


def test_a_browser_goes_to_the_provider_and_comes_back_known(here, browser):
    client, here.provider.person = browser(), OWNER
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
    assert {"GET /.well-known/openid-configuration", "POST /oauth/token", "GET /oauth/jwks"} <= set(here.provider.asked)
    assert is_owner(here.url, client)


def test_the_owner_s_page_has_no_notice_and_the_owner_s_tab(here, sign_in):
    for who, sees in ((OWNER, True), (claims_of("somebody"), False)):
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
        (claims_of("somebody", another="admin"), False),
        (claims_of("somebody") | {"name": AUTHOR, "sub": AUTHOR}, False),
        (claims_of("x") | {"orgs": [{"name": AUTHOR, "preferred_username": "another", "roleInOrg": "admin"}]}, False),
        (claims_of(""), False),
    ],
    ids=["author", "writer", "admin", "reader", "contributor", "somebody", "display name", "organisation's",
         "nameless"],
)  # fmt: skip
def test_whom_the_provider_names_is_who_they_are(here, sign_in, who, owns):
    assert is_owner(here.url, sign_in(who)) is owns


def test_a_member_whose_role_is_not_told_is_a_visitor(here, sign_in):
    """As where the Space does not ask for it, and for those who did not agree: a reader looks the same."""
    untold = [{name: value for name, value in WRITER["orgs"][0].items() if name != "roleInOrg"}]
    assert not is_owner(here.url, sign_in(WRITER | {"orgs": untold}))


def test_whoever_is_not_signed_in_is_a_visitor(here, browser):
    client = browser()
    assert client.get("/").status_code == 200
    assert not is_owner(here.url, client)


def test_a_person_of_many_organisations_fits_into_a_cookie(here, sign_in):
    many = {f"organisation-{number}": "read" for number in range(40)}
    client = sign_in(claims_of("busy", **many, **{AUTHOR: "admin"}))
    assert len(client.cookies["session"]) < 1000
    assert is_owner(here.url, client)


def test_what_nobody_should_know_is_nowhere(here, sign_in):
    here.provider.said.clear()
    client = sign_in(WRITER)
    shown = "".join(client.get(path).text for path in ("/", "/config", "/gradio_api/info", "/gradio_api/user"))
    assert is_owner(here.url, client)
    assert sorted(session_cookie(client)["oauth_info"]) == ["expires_at", "userinfo"]
    places = [shown, json.dumps(session_cookie(client)), client.cookies["session"], here.app.log.read_text()]
    assert len(here.provider.said) == 3, "a code, an access token, an ID token"
    for secret in (SECRET, *here.provider.said):
        assert not [place for place in places if secret in place]


def untroubled(here, since: int) -> str:
    """What the server's log has said since, without a traceback."""
    said = here.app.log.read_text()[since:]
    assert "Traceback" not in said, said
    return said


@pytest.fixture
def log_ends(here):
    """Where the server's log ends now."""
    return len(here.app.log.read_text())


@pytest.mark.parametrize("state", ["", "another", "x" * 2000, "\0", "é"])
def test_a_state_that_is_not_the_browser_s_signs_nobody_in(here, browser, log_ends, state):
    client, here.provider.person = browser(), OWNER
    back = httpx.get(sign_in_redirect(client)).headers["location"]
    answer = client.get(with_query(back, state=state), follow_redirects=False)
    assert answer.status_code in (302, 307)
    assert answer.headers["location"].startswith("/login/huggingface?"), "begin again"
    assert "oauth_info" not in session_cookie(client)
    untroubled(here, log_ends)


def test_the_end_of_another_s_way_signs_nobody_in(here, browser):
    """Who sends somebody the link that their own sign-in ended with would have them work under a foreign name."""
    here.provider.person = claims_of("evil")
    back = httpx.get(sign_in_redirect(browser())).headers["location"]
    victim = browser()
    assert victim.get(back, follow_redirects=False).headers["location"].startswith("/login/huggingface?")
    assert "oauth_info" not in session_cookie(victim)


def test_whoever_loses_cookies_is_not_sent_round_for_ever(here, log_ends):
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
def test_what_the_provider_refuses_is_told_in_a_sentence(here, browser, log_ends, bend):
    client, here.provider.person = browser(), OWNER
    answer = client.get(bend(httpx.get(sign_in_redirect(client)).headers["location"]), follow_redirects=False)
    assert answer.status_code == 400
    assert "did not sign you in" in answer.text
    assert "press Sign in again" in answer.text
    assert "script" not in answer.text
    assert "oauth_info" not in session_cookie(client)
    assert "GET /login/callback: " in untroubled(here, log_ends)


def test_whoever_declines_at_the_provider_stays_a_visitor(here, browser, log_ends):
    client = browser()
    answer = client.get("/login/huggingface")
    assert (answer.status_code, "did not sign you in" in answer.text) == (400, True)
    assert not is_owner(here.url, client)
    assert "access_denied" in untroubled(here, log_ends)


def test_a_code_is_good_once(here, browser):
    client, here.provider.person = browser(), OWNER
    back = httpx.get(sign_in_redirect(client)).headers["location"]
    assert client.get(back).status_code == 200
    other = browser()
    again = with_query(back, state=parse_qs(urlsplit(sign_in_redirect(other)).query)["state"][0])
    assert other.get(again).status_code == 400
    assert not is_owner(here.url, other)


BENT = [{"iss": "https://evil.example"}, {"aud": "another-client"}, {"nonce": "another"}, {"exp": 1}, {}]


@pytest.mark.parametrize("bent", BENT, ids=["issuer", "audience", "nonce", "over", "another's key"])
def test_an_id_token_that_is_not_the_provider_s_word_signs_nobody_in(here, browser, log_ends, bent, monkeypatch):
    monkeypatch.setattr(here.provider, "bent", bent)
    if not bent:
        monkeypatch.setattr(here.provider, "signs", RSAKey.generate_key(2048, {"kid": "1", "alg": "RS256"}))
    client, here.provider.person = browser(), OWNER
    answer = client.get("/login/huggingface")
    assert (answer.status_code, "did not sign you in" in answer.text) == (400, True)
    assert not is_owner(here.url, client)
    untroubled(here, log_ends)


ELSEWHERE = ["https://evil.example/x", "//evil.example", "/\\evil.example", "////evil.example", "\\\\evil.example",
             "https:evil.example", "javascript:alert(1)", "/\t/evil.example", "https://evil.example@x"]  # fmt: skip


@pytest.mark.parametrize("target", ELSEWHERE)
def test_no_sign_in_ends_elsewhere(here, browser, target):
    client, here.provider.person = browser(), OWNER
    back = httpx.get(sign_in_redirect(client, _target_url=target)).headers["location"]
    assert urlsplit(back).netloc == here.front.host
    for answer in (client.get(back, follow_redirects=False),
                   client.get("/logout", params={"_target_url": target}, follow_redirects=False)):  # fmt: skip
        ends = httpx.URL(f"{here.url}/").join(answer.headers["location"].replace("\\", "/").replace("\t", ""))
        assert ends.netloc.decode() == here.front.host, answer.headers["location"]


def test_the_provider_sends_a_code_to_this_space_alone(here, browser):
    to = with_query(sign_in_redirect(browser()), redirect_uri="https://evil.example/login/callback")
    assert httpx.get(to).status_code == 400


def test_signing_out_forgets(here, sign_in):
    client = sign_in(OWNER)
    assert is_owner(here.url, client)
    assert client.get("/logout").status_code == 200
    assert "oauth_info" not in session_cookie(client)
    assert not is_owner(here.url, client)


def test_the_page_that_somebody_came_from_goes_on(here, browser):
    """It stays open in its tab while they sign in, in another; after they signed out it is nobody's."""
    client, here.provider.person = browser(), OWNER
    queue = QueueClient(here.url)
    for path, said in (("/", "That is the owner's"), ("/login/huggingface", "There is no run")):
        client.get(path)
        queue.http.cookies = client.cookies
        assert said in queue.call("stop", "no-such-run")["error"]
    queue.http.close()
    stream = {"session_hash": queue.session}
    client.get("/logout")
    refused = client.get("/gradio_api/queue/data", params=stream)
    assert (refused.status_code, "another browser's" in refused.text) == (403, True)


def test_a_sign_in_ends_with_the_token_s_time(here, sign_in):
    until = session_cookie(sign_in(OWNER))["oauth_info"]["expires_at"]
    assert 7.9 * 3600 < until - time.time() < 8.1 * 3600


def test_a_docker_space_asks_the_provider_too(tmp_path):
    """It does not say SYSTEM=spaces, and Gradio would take everybody for whom HF_TOKEN belongs to: the owner."""
    token = "hf_of_the_owner_0123456789"
    with LoopbackHub(tmp_path / "hub") as hub, OAuthProvider("127.0.0.1:9", readme_scopes()) as provider:
        hub.add_token(token, AUTHOR)
        asked = {"SYSTEM": "", "HF_TOKEN": token, "HF_ENDPOINT": hub.endpoint, **provider.environment}
        app = start_space(tmp_path / "home", **asked)
        with httpx.Client(base_url=app.url, verify=False) as client:
            to = client.get("/login/huggingface")
            assert to.headers["location"].startswith(f"{provider.url}/oauth/authorize?")
            answer = client.get("/login/callback")
            assert "oauth_info" not in answer.headers.get("set-cookie", "")
            assert answer.headers["location"].startswith("/login/huggingface?")
        app.end()
