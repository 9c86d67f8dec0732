"""A Space in a real browser: what a visitor and its author each see, and that nothing comes from another host."""

import sys

import pytest
from served import PROJECT

sys.path.insert(0, str(PROJECT / "tests" / "attacks"))

from on_a_space import AUTHOR, browser, signed_in, space

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    made = space(tmp_path_factory.mktemp("space") / "home")
    yield made
    made.end()


@pytest.fixture
def visit(app, chromium):
    """Opens the page as somebody; what went wrong or elsewhere is in `wrong`."""
    opened = []

    def go(headers: dict[str, str]):
        name, _, value = headers["cookie"].partition("=")
        context = chromium.new_context(viewport={"width": 1300, "height": 900})
        context.add_cookies([{"name": name, "value": value, "url": app.url}])
        page = context.new_page()
        page.wrong = []
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: None if asked.url.startswith((app.url, "data:", "blob:"))
                else page.wrong.append(asked.url))  # fmt: skip
        page.goto(app.url, wait_until="domcontentloaded")
        page.get_by_text("rows 1 to 25 of").wait_for(timeout=60_000)
        opened.append(context)
        return page

    yield go
    for context in opened:
        context.close()


def test_a_visitor_reads_and_is_told_what_is_closed(visit):
    page = visit(browser("a" * 32))
    page.get_by_text("You are a visitor of keeper's studio").wait_for()
    assert page.get_by_role("tab", name="Owner").count() == 0
    page.get_by_role("tab", name="Train").click()
    page.locator("#field-subset").wait_for()
    assert page.get_by_role("button", name="Start", exact=True).is_disabled()
    page.get_by_role("tab", name="Chat").click()
    page.locator("#prompt textarea").wait_for()
    page.get_by_role("tab", name="Answers").click()
    page.wait_for_timeout(2500)  # its clock beats once: refused, and not told
    assert page.locator(".toast-body").count() == 0
    assert page.wrong == []


def test_the_author_has_everything_and_the_owner_s_page(visit):
    page = visit(signed_in(AUTHOR))
    page.get_by_role("tab", name="Owner").click()
    page.get_by_text("Visitors' tokens today").wait_for()
    assert page.get_by_text("You are a visitor").count() == 0
    page.get_by_role("button", name="List what would go").click()
    page.locator("#clean-found").get_by_text("Nothing is like that").wait_for()
    page.get_by_role("tab", name="Train").click()
    assert page.get_by_role("button", name="Start", exact=True).is_enabled()
    assert page.wrong == []
