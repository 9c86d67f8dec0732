"""Open the app in Chromium and wait for conditions on its page or its files."""

import time

# Long, because other tests run at the same time; speed is measured in bench/.
TIMEOUT_SECONDS = 500


def open_page(browser, server, tab=None, query="", first="rows 1 to 25 of"):
    """Open the app, wait for the first rows, and select a tab; the page's JavaScript errors are in `page.errors`."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(1000 * TIMEOUT_SECONDS)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(f"{server.url}/{query}", wait_until="domcontentloaded")
    page.get_by_text(first).wait_for()
    if tab:
        open_tab(page, tab)
    return page


def open_tab(page, name):
    """Open a tab of the page; tabs inside it, such as those of the Data tab, come later in the document."""
    page.get_by_role("tab", name=name, exact=True).first.click()


def wait_until(condition, page=None, timeout=TIMEOUT_SECONDS):
    """Wait until a condition holds, and return its value; pass the page, so that its events are handled meanwhile."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline
        page.wait_for_timeout(200) if page else time.sleep(0.1)
    return value


def wait_for_position(page, text: str) -> None:
    """Wait for a text in the position of the Data tab's page of rows, such as "rows 1 to 25 of"."""
    page.locator("#page-position").get_by_text(text).wait_for()
