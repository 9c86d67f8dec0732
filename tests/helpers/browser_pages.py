"""What every browser test does with a page: open it, wait for what its files or widgets will come to."""

import time

# Seconds that anything may take: other tests run beside these. What must be fast is measured in bench/.
TIMEOUT_SECONDS = 500


def open_page(browser, server, tab=None):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(1000 * TIMEOUT_SECONDS)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(server.url, wait_until="domcontentloaded")
    page.get_by_text("rows 1 to 25 of").wait_for()
    if tab:
        page.get_by_role("tab", name=tab).click()
    return page


def wait_until(condition, page=None, patience=TIMEOUT_SECONDS):
    """Wait for a condition that the app's files or page will come to fulfil."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline
        page.wait_for_timeout(200) if page else time.sleep(0.1)
    return value


def wait_for_position(page, text: str) -> None:
    """Wait for what the Data tab says of where its page of rows lies."""
    page.locator("#page-position").get_by_text(text).wait_for()
