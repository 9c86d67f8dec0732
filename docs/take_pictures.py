"""Take the pictures of the documents from the real app: every tab and state, both page sizes, light and dark.

    make pictures            (needs Debian's chromium; eight minutes on two cores)

It trains the Quick demo in a temporary home folder, or in STUDIO_HOME, which must have no run. With --space it takes
only the owner's and a visitor's pages, and with --runs those of a refused setting and of all runs. With --finished it
trains and asks nothing: it takes the pictures of a STUDIO_HOME that has a finished run, and a finished evaluation.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from picture_server import PROJECT, SPACE, served
from playwright.sync_api import Browser, Page, sync_playwright

PICTURES = PROJECT / "docs" / "pictures"
SIZES = {"": (1440, 900), "-phone": (390, 844)}
_STEP_REACHED = """steps => {
    const status = document.querySelector("#run-status");
    const found = status.innerText.match(/step (\\d+)/);
    return !status.querySelector(".finished") && found && Number(found[1]) >= steps;
}"""
QUESTION = "How do I keep houseplants alive in winter?"


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
    page.locator("#numbers svg").wait_for()
    page.locator("#search textarea, #search input").first.press_sequentially("tide")
    page.get_by_text("rows 1 to 25 of 340").wait_for(state="detached")
    page.locator("#rows th", has_text="turns").locator(".dt-bar[data-event]").first.click()
    page.locator(".dt-chip").wait_for()
    page.locator("#rows tbody tr").nth(1).click()
    page.locator("#row-view label", has_text="Tokens").click()
    page.locator("#row-shown .loss").first.wait_for()
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
    """Take the picture of the Train tab with the preflight checks."""
    open_tab(page, "Train")
    page.locator("#check").click()
    page.locator("#findings li").first.wait_for()
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
        # The answer closes all groups.
        page.locator("#train-groups .label-wrap:not(.open):visible").first.wait_for()
        page.locator("#train-groups").get_by_role("button", name="LoRA").first.click()
        targets = page.locator("#train-field-lora_targets input, #train-field-lora_targets textarea").first
        targets.wait_for()
        page.wait_for_timeout(1500)
        targets.fill("q_proj, w_proj")
        targets.press("Tab")
        page.wait_for_timeout(500)
        page.locator("#start").click()
        page.get_by_text("w_proj").first.wait_for()
        page.wait_for_timeout(1500)
        page.screenshot(path=PICTURES / f"train-refused{suffix}.png")
        page.locator("#extent label", has_text="Basic").click()
        page.get_by_role("tab", name="All runs").click()
        boxes = page.locator("#runs-table input[type=checkbox]")
        boxes.first.wait_for()
        if boxes.count() < 2:
            page.get_by_role("tab", name="This run").click()
            continue
        for index in (0, 1):
            boxes.nth(index).click()
            page.wait_for_function(
                "n => document.querySelectorAll('#runs-table input:checked').length == n",
                arg=index + 1,
                timeout=300_000,
            )
        page.locator("#runs-differ tr").nth(1).wait_for()
        watched(page, f"train-all{suffix}")


def chat_tab(page: Page, suffix: str) -> None:
    """Take the picture of the Chat tab with two answers to a question."""
    open_tab(page, "Chat")
    page.locator("#prompt textarea").fill(QUESTION)
    page.locator("#send").click()
    page.locator('#chat-now [data-event="vote"]').first.wait_for()
    page.wait_for_timeout(500)
    if suffix:
        page.locator("#chat-board").evaluate("board => board.scrollIntoView()")
        page.screenshot(path=PICTURES / f"chat{suffix}.png")
    else:
        shoot(page, f"chat{suffix}")


def evaluate_tab(page: Page, suffix: str, is_finished: bool = False) -> None:
    """Take the pictures of the Evaluate tab before an evaluation, which the large page starts, and after it.

    Args:
        page: The page.
        suffix: Of the pictures' names.
        is_finished: Whether there is an evaluation already.
    """
    open_tab(page, "Evaluate")
    page.wait_for_timeout(1500)
    if not suffix and not is_finished:
        shoot(page, "evaluate-before")
        # Fewer than 20 rows would give no verdict.
        page.locator("#evaluate-field-limit input").fill("24")
        page.locator("#evaluate-field-max_new_tokens input").fill("60")
        page.locator("#evaluate-start").click()
    page.locator("#evaluate-status .finished").wait_for(timeout=1_200_000)
    verdict = page.locator("#evaluate-verdict .ev-verdict")
    verdict.wait_for()
    page.wait_for_timeout(1500)
    if suffix:
        # The form is above it.
        page.locator("#evaluate-view").evaluate("view => view.scrollIntoView()")
        page.screenshot(path=PICTURES / f"evaluate{suffix}.png")
    else:
        shoot(page, "evaluate")


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
        # Nothing fails on a machine that is merely slow.
        pages[suffix].set_default_timeout(300_000)
        pages[suffix].goto(url, wait_until="domcontentloaded")
        pages[suffix].get_by_text("rows 1 to 25 of").wait_for()
    return pages


def owner_publishes(pages: dict[str, Page]) -> None:
    """Publish the run in the Owner tab, and take its picture."""
    page = pages[""]
    open_tab(page, "Owner")
    runs = page.locator("#published-runs")
    runs.locator("input").click()
    page.wait_for_timeout(500)
    if page.locator('[role=option][aria-selected="false"]').count():
        page.locator('[role=option][aria-selected="false"]').first.click()
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
        page.get_by_text("You are a visitor").wait_for()
        shoot(page, f"visitor{suffix}")
        open_tab(page, "Train")
        page.locator("#run-status .finished").wait_for()
        page.wait_for_timeout(1500)
        shoot(page, f"visitor-train{suffix}")


def show_runs(pages: dict[str, Page]) -> None:
    """Take the pictures of a refused setting and of all runs."""
    for page in pages.values():
        open_tab(page, "Train")
    refuse_and_compare(pages)


def show_all(pages: dict[str, Page]) -> None:
    """Take the pictures of all tabs, with a run, two answers and an evaluation that are made for them."""
    for suffix, page in pages.items():
        data_tab(page, suffix)
    train(pages)
    for suffix, page in pages.items():
        chat_tab(page, suffix)
        evaluate_tab(page, suffix)
        export_tab(page, suffix)


def show_finished(pages: dict[str, Page]) -> None:
    """Take the pictures of what is finished: no run is started, and no model answers."""
    for suffix, page in pages.items():
        data_tab(page, suffix)
        before(page, suffix)
        page.locator("#close-checks").click()
        page.locator("#run-status .finished").wait_for()
        watched(page, f"train{suffix}")
    refuse_and_compare(pages)
    for suffix, page in pages.items():
        evaluate_tab(page, suffix, is_finished=True)
        export_tab(page, suffix)


def main() -> None:
    """Take all pictures, or with --space those of the owner and of a visitor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", action="store_true", help="only the owner's and a visitor's pages")
    parser.add_argument("--runs", action="store_true", help="only a refused setting and the table of all runs")
    parser.add_argument("--finished", action="store_true", help="train and ask nothing: a home with a finished run")
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
                    show_runs(pages)
                    return
                if options.finished:
                    show_finished(pages)
                elif not options.space:
                    show_all(pages)
                if not options.space:
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
