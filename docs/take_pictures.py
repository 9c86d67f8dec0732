"""Take the pictures of the documents from the real app: every tab and state, both page sizes, light and dark.

    make pictures            (needs Debian's chromium; eight minutes on two cores)

It trains the Quick demo in a temporary home folder, or in STUDIO_HOME, which must have no run. With --space it takes
only the owner's and a visitor's pages, and with --runs those of a refused setting and of all runs, of a STUDIO_HOME
that has finished runs: one, or two of them.
"""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
PICTURES = PROJECT / "docs" / "pictures"
SIZES = {"": (1440, 900), "-phone": (390, 844)}
_STEP_REACHED = """steps => {
    const status = document.querySelector("#run-status");
    const found = status.innerText.match(/step (\\d+)/);
    return !status.querySelector(".finished") && found && Number(found[1]) >= steps;
}"""
# The variables that Hugging Face sets for a Space of the user keeper with hf_oauth; no one signs in.
SPACE = {
    "SYSTEM": "spaces", "SPACE_ID": "keeper/studio", "SPACE_AUTHOR_NAME": "keeper", "OAUTH_CLIENT_ID": "pictures",
    "OAUTH_CLIENT_SECRET": "pictures", "OAUTH_SCOPES": "openid profile", "OPENID_PROVIDER_URL": "http://127.0.0.1:9",
}  # fmt: skip
QUESTION = "How do I keep houseplants alive in winter?"


@contextlib.contextmanager
def served(home: Path, **environment: str) -> Iterator[str]:
    """Serve a home folder, and yield the app's address."""
    server, url = serve(home, environment)
    try:
        yield url
    finally:
        server.terminate()
        server.wait()


def serve(home: Path, environment: dict[str, str]) -> tuple[subprocess.Popen, str]:
    """Start the app on a free port, and return its process and address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(PROJECT / "app.py"), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, cwd=PROJECT, env=os.environ | {"STUDIO_HOME": str(home)} | environment)
    url = f"http://127.0.0.1:{port}"
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).read(1)
            return server, url
        except OSError:
            time.sleep(0.2)


def open_tab(page: Page, name: str) -> None:
    """Open a tab, and wait until its charts are plotted."""
    page.get_by_role("tab", name=name, exact=True).first.click()
    page.wait_for_timeout(1200)


def shoot(page: Page, name: str) -> None:
    """Save a picture of the page from its top."""
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=PICTURES / f"{name}.png")


def data_tab(page: Page, suffix: str) -> None:
    """Take the picture of the Data tab: token statistics, a search, a filter, an open row with its loss mask."""
    page.locator("#data-tools").get_by_role("tab", name="Token statistics").click()
    page.locator("#count-tokens").click()
    page.locator("#numbers svg").wait_for(timeout=300_000)
    page.locator("#search textarea, #search input").first.press_sequentially("tide")
    page.get_by_text("rows 1 to 25 of 340").wait_for(state="detached")
    page.locator("#rows th", has_text="turns").locator(".dt-bar[data-event]").first.click()
    page.locator(".dt-chip").wait_for()
    page.locator("#rows tbody tr").nth(1).click()
    page.locator("#row-view label", has_text="Tokens").click()
    page.locator("#row-shown .loss").first.wait_for(timeout=60_000)
    page.wait_for_timeout(800)
    shoot(page, f"data{suffix}")


def watched(page: Page, name: str) -> None:
    """Take the picture of a run; on a phone it is below the form."""
    page.wait_for_timeout(1500)
    if page.viewport_size["width"] < 640:
        page.locator("#train-views").evaluate("views => views.scrollIntoView()")
        page.screenshot(path=PICTURES / f"{name}.png")
    else:
        shoot(page, name)


def before(page: Page, suffix: str) -> None:
    """Take the picture of the Train tab before a run, with its preflight checks."""
    open_tab(page, "Train")
    page.locator("#check").click()
    page.locator("#findings li").first.wait_for(timeout=60_000)
    page.wait_for_timeout(800)
    shoot(page, f"train-before{suffix}")


def train(pages: dict[str, Page]) -> None:
    """Take the pictures of a run before it starts, running and finished, then those of all runs."""
    for suffix, page in pages.items():
        before(page, suffix)
    page = pages[""]
    page.locator("#start").click()
    page.locator("#run-status .running").wait_for(timeout=600_000)
    # A page keeps the run that it shows; a reloaded one shows the newest.
    pages["-phone"].reload(wait_until="domcontentloaded")
    open_tab(pages["-phone"], "Train")
    for suffix, each in pages.items():
        each.wait_for_function(_STEP_REACHED, arg=20, timeout=600_000)
        if not suffix:
            # The notice of the start fades.
            each.wait_for_timeout(5000)
        watched(each, f"train-running{suffix}")
    for suffix, each in pages.items():
        each.locator("#run-status .finished").wait_for(timeout=1_200_000)
        watched(each, f"train{suffix}")
    refuse_and_compare(pages)


def refuse_and_compare(pages: dict[str, Page]) -> None:
    """Take the pictures of a setting that is refused at its field, and of all runs in the table."""
    for suffix, page in pages.items():
        page.locator("#extent label", has_text="All settings").click()
        page.locator("#train-groups").get_by_role("button", name="LoRA").first.click()
        targets = page.locator("#field-lora_targets input, #field-lora_targets textarea").first
        targets.wait_for(timeout=30_000)
        # The settings that were shown are filled once more.
        page.wait_for_timeout(1500)
        targets.fill("q_proj, w_proj")
        targets.press("Tab")
        page.wait_for_timeout(500)
        page.locator("#start").click()
        page.get_by_text("w_proj").first.wait_for(timeout=60_000)
        page.wait_for_timeout(1500)
        page.screenshot(path=PICTURES / f"train-refused{suffix}.png")
        page.locator("#extent label", has_text="Basic").click()
        page.get_by_role("tab", name="All runs").click()
        for index in (0, 1):
            page.locator("#runs-table input[type=checkbox]").nth(index).click(timeout=30_000)
            page.wait_for_function(
                "n => document.querySelectorAll('#runs-table input:checked').length == n", arg=index + 1, timeout=30_000
            )
        page.locator("#runs-differ tr").nth(1).wait_for(timeout=30_000)
        watched(page, f"train-all{suffix}")


def chat_tab(page: Page, suffix: str) -> None:
    """Take the picture of the Chat tab with two answers to a question."""
    open_tab(page, "Chat")
    page.locator("#prompt textarea").fill(QUESTION)
    page.locator("#send").click()
    page.locator('#chat-now [data-event="vote"]').first.wait_for(timeout=300_000)
    page.wait_for_timeout(500)
    if suffix:
        page.locator("#chat-board").evaluate("board => board.scrollIntoView()")
        page.screenshot(path=PICTURES / f"chat{suffix}.png")
    else:
        shoot(page, f"chat{suffix}")


def evaluate_tab(page: Page, suffix: str) -> None:
    """Take the pictures of the Evaluate tab before, and (on the large page, which starts it) after an evaluation."""
    open_tab(page, "Evaluate")
    page.wait_for_timeout(1500)
    if not suffix:
        shoot(page, "evaluate-before")
        page.locator("#evaluate-field-limit input").fill("12")
        page.locator("#evaluate-field-max_new_tokens input").fill("60")
        page.locator("#evaluate-start").click()
    page.locator("#evaluate-status .finished").wait_for(timeout=1_200_000)
    page.locator("#evaluate-table tbody tr[data-event]").first.click()
    page.wait_for_timeout(1500)
    shoot(page, f"evaluate{suffix}")


def export_tab(page: Page, suffix: str) -> None:
    """Take the picture of the Export tab."""
    open_tab(page, "Export")
    page.wait_for_timeout(1500)
    shoot(page, f"export{suffix}")


def dark_tabs(browser: Browser, url: str) -> None:
    """Take a picture of each tab in the dark theme, in both sizes, as it is after loading."""
    for suffix, page in pages_of(browser, f"{url}/?__theme=dark").items():
        for name in ("Data", "Train", "Chat", "Evaluate", "Export", "Owner"):
            open_tab(page, name)
            page.wait_for_timeout(2500)
            shoot(page, f"{name.lower()}-dark{suffix}")
        page.close()


def pages_of(browser: Browser, url: str) -> dict[str, Page]:
    """Return a page of each size, by the suffix of its pictures' names."""
    pages = {}
    for suffix, (width, height) in SIZES.items():
        pages[suffix] = browser.new_page(viewport={"width": width, "height": height})
        pages[suffix].goto(url, wait_until="domcontentloaded")
        pages[suffix].get_by_text("rows 1 to 25 of").wait_for(timeout=30_000)
    return pages


def owner_publishes(pages: dict[str, Page]) -> None:
    """Publish the run in the Owner tab, and take its picture."""
    page = pages[""]
    open_tab(page, "Owner")
    runs = page.locator("#published-runs")
    # It may be published already.
    if not runs.get_by_text("Quick demo").count():
        runs.locator("input").click()
        page.get_by_role("option", name="Quick demo").first.click()
        page.keyboard.press("Escape")
    page.locator("#publish").click()
    page.locator(".toast-close").click()
    page.mouse.move(0, 0)
    page.wait_for_timeout(800)
    shoot(page, "owner")
    open_tab(pages["-phone"], "Owner")
    shoot(pages["-phone"], "owner-phone")


def visitor_looks(pages: dict[str, Page]) -> None:
    """Take the pictures that a visitor sees of a published run."""
    for suffix, page in pages.items():
        page.get_by_text("You are a visitor").wait_for(timeout=30_000)
        shoot(page, f"visitor{suffix}")
        open_tab(page, "Train")
        page.locator("#run-status .finished").wait_for(timeout=30_000)
        page.wait_for_timeout(1500)
        shoot(page, f"visitor-train{suffix}")


def main() -> None:
    """Take all pictures, or with --space those of the owner and of a visitor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", action="store_true", help="only the owner's and a visitor's pages")
    parser.add_argument("--runs", action="store_true", help="only a refused setting and the table of all runs")
    options, given = parser.parse_args(), os.environ.get("STUDIO_HOME")
    PICTURES.mkdir(exist_ok=True)
    home = Path(given) if given else Path(tempfile.mkdtemp(prefix="studio-pictures-"))
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
            )
            with served(home) as url:
                pages = pages_of(browser, url)
                if options.runs:
                    for page in pages.values():
                        open_tab(page, "Train")
                    refuse_and_compare(pages)
                    return
                if not options.space:
                    for suffix, page in pages.items():
                        data_tab(page, suffix)
                    train(pages)
                    for suffix, page in pages.items():
                        chat_tab(page, suffix)
                        evaluate_tab(page, suffix)
                        export_tab(page, suffix)
                    dark_tabs(browser, url)
                owner_publishes(pages)
            with served(home, **SPACE) as url:
                visitor_looks(pages_of(browser, url))
            browser.close()
    finally:
        if not given:
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
