"""A Space in a real browser: what a visitor and its author, signed in, each see; nothing comes from another host."""

import pytest

from tests.helpers.browser_pages import TIMEOUT_SECONDS
from tests.helpers.oauth_provider import OAuthProvider, claims_of
from tests.helpers.proxy_server import ProxyServer
from tests.helpers.sign_in_client import readme_scopes
from tests.helpers.space_server import AUTHOR, start_space

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """The Space's address, with TLS."""
    with ProxyServer(tls_in=tmp_path_factory.mktemp("front")) as made:
        yield made


@pytest.fixture(scope="module")
def provider(front):
    with OAuthProvider(front.host, readme_scopes()) as made:
        yield made


@pytest.fixture(scope="module")
def app(front, provider, tmp_path_factory):
    made = start_space(tmp_path_factory.mktemp("space") / "home", **provider.environment)
    front.target = made.url
    yield made
    made.end()


@pytest.fixture
def window(front, provider, chromium):
    """A window of a browser of its own; what went wrong or elsewhere in any of its pages is in `wrong`."""
    with chromium.new_context(ignore_https_errors=True, viewport={"width": 1300, "height": 900}) as context:
        context.set_default_timeout(1000 * TIMEOUT_SECONDS)
        context.wrong, here = [], (front.url, f"{provider.url}/oauth/authorize", "data:", "blob:")
        context.on("weberror", lambda error: context.wrong.append(str(error.error)))
        context.on("console", lambda said: context.wrong.append(said.text) if said.type == "error" else None)
        context.on("request", lambda asked: asked.url.startswith(here) or context.wrong.append(asked.url))
        yield context


def visited(window, front):
    page = window.new_page()
    page.goto(front.url, wait_until="domcontentloaded")
    page.get_by_text("You are a visitor of keeper's studio").wait_for()
    return page


def test_a_visitor_reads_and_is_told_what_is_closed(app, front, window):
    page = visited(window, front)
    page.get_by_text("rows 1 to 25 of").wait_for()
    assert page.get_by_role("tab", name="Owner").count() == 0
    page.get_by_role("tab", name="Train").click()
    page.locator("#field-subset").wait_for()
    assert page.get_by_role("button", name="Start: the owner's", exact=True).is_disabled()
    page.get_by_role("tab", name="Chat").click()
    page.locator("#prompt textarea").wait_for()
    page.get_by_role("tab", name="Answers").click()
    page.locator("#answers-status").get_by_text("are the owner's alone").wait_for()
    page.wait_for_timeout(2500)  # its clock beats once: refused, and not told
    assert page.locator(".toast-body").count() == 0
    assert window.wrong == []


def test_the_author_signs_in_by_the_page_s_link_and_has_everything(app, front, provider, window):
    """The link, the provider's redirects, a cookie that Chromium keeps, and the owner's page."""
    provider.person = claims_of(AUTHOR)
    link = visited(window, front).get_by_role("link", name="Sign in")
    with window.expect_page() as opened:
        link.click()
    page = opened.value
    page.get_by_role("tab", name="Owner").click()
    page.get_by_text("Visitors' tokens today").wait_for()
    assert page.url.startswith(f"{front.url}/")
    kept = next(cookie for cookie in window.cookies(front.url) if cookie["name"] == "session")
    assert (kept["httpOnly"], kept["secure"], kept["sameSite"]) == (True, True, "None")
    assert page.get_by_text("You are a visitor").count() == 0
    assert page.get_by_role("link", name="Sign out").is_visible()
    page.get_by_role("button", name="List what would go").click()
    page.locator("#clean-found").get_by_text("Nothing is like that").wait_for()
    page.get_by_role("tab", name="Train").click()
    assert page.get_by_role("button", name="Start", exact=True).is_enabled()
    assert window.wrong == []
