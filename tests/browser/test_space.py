"""A Space in Chromium, for a visitor and for its signed-in author; nothing is loaded from another host."""

import pytest

from tests.helpers.browser_pages import TIMEOUT_SECONDS
from tests.helpers.oauth_provider import OAuthProvider, claims_of
from tests.helpers.proxy_server import ProxyServer
from tests.helpers.sign_in_client import readme_scopes
from tests.helpers.space_server import AUTHOR, start_space

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """The proxy with TLS in front of the Space."""
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
    made.stop()


@pytest.fixture
def window(front, provider, chromium):
    """A new browser context; `problems` collects errors and requests to other hosts of all its pages."""
    with chromium.new_context(ignore_https_errors=True, viewport={"width": 1300, "height": 900}) as context:
        context.set_default_timeout(1000 * TIMEOUT_SECONDS)
        context.problems, here = [], (front.url, f"{provider.url}/oauth/authorize", "data:", "blob:")
        context.on("weberror", lambda error: context.problems.append(str(error.error)))
        context.on(
            "console", lambda message: context.problems.append(message.text) if message.type == "error" else None
        )
        context.on("request", lambda request: request.url.startswith(here) or context.problems.append(request.url))
        yield context


def open_as_visitor(window, front):
    page = window.new_page()
    page.goto(front.url, wait_until="domcontentloaded")
    page.get_by_text("You are a visitor of keeper's studio").wait_for()
    return page


def test_visitor_can_browse_data_and_sees_disabled_controls(app, front, window):
    page = open_as_visitor(window, front)
    page.get_by_text("rows 1 to 25 of").wait_for()
    assert page.get_by_role("tab", name="Owner").count() == 0
    page.get_by_role("tab", name="Train").click()
    page.locator("#train-field-subset").wait_for()
    assert page.get_by_role("button", name="Start (owner only)", exact=True).is_disabled()
    page.get_by_role("tab", name="Chat").click()
    page.locator("#prompt textarea").wait_for()
    page.get_by_role("tab", name="Evaluate").click()
    page.locator("#evaluate-status").get_by_text("Only the owner can start evaluations").wait_for()
    # Long enough for one poll of the tab's timer: it is refused without a toast.
    page.wait_for_timeout(2500)
    assert page.locator(".toast-body").count() == 0
    assert window.problems == []


def test_author_signed_in_by_the_link_has_all_tabs(app, front, provider, window):
    """Follow the link and the provider's redirects; Chromium keeps the session cookie."""
    provider.account = claims_of(AUTHOR)
    link = open_as_visitor(window, front).get_by_role("link", name="Sign in")
    with window.expect_page() as opened:
        link.click()
    page = opened.value
    page.get_by_role("tab", name="Owner").click()
    page.get_by_text("Visitors' tokens today").wait_for()
    assert page.url.startswith(f"{front.url}/")
    session = next(cookie for cookie in window.cookies(front.url) if cookie["name"] == "session")
    assert (session["httpOnly"], session["secure"], session["sameSite"]) == (True, True, "None")
    assert page.get_by_text("You are a visitor").count() == 0
    assert page.get_by_role("link", name="Sign out").is_visible()
    page.get_by_role("button", name="List files").click()
    page.locator("#clean-found").get_by_text("No files match").wait_for()
    page.get_by_role("tab", name="Train").click()
    assert page.get_by_role("button", name="Start", exact=True).is_enabled()
    assert window.problems == []
