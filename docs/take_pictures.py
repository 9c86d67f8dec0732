"""Takes the README's pictures from the real app: a real run on the embedded model, real answers, both page sizes.

    make pictures            (needs Debian's chromium; three minutes on two cores)

It uses STUDIO_HOME if that is set and has a finished run, else it makes a home of its own and trains the Quick demo.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
PICTURES = PROJECT / "docs" / "pictures"
SIZES = {"": (1440, 900), "-phone": (390, 844)}
QUESTION = "How do I keep houseplants alive in winter?"


def serve(home: Path) -> tuple[subprocess.Popen, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(PROJECT / "app.py"), "--port", str(port)]
    server = subprocess.Popen(command, cwd=PROJECT, env=os.environ | {"STUDIO_HOME": str(home)})
    url = f"http://127.0.0.1:{port}"
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).read(1)
            return server, url
        except OSError:
            time.sleep(0.2)


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    page.wait_for_timeout(1200)  # charts draw themselves


def shoot(page: Page, name: str) -> None:
    page.evaluate("window.scrollTo(0, 0)")
    page.screenshot(path=PICTURES / f"{name}.png")


def data_tab(page: Page, suffix: str) -> None:
    page.get_by_text("rows 1 to 25 of").wait_for(timeout=30_000)
    page.locator("#count-tokens").click()
    page.locator("#numbers svg").wait_for(timeout=120_000)
    page.locator("#search textarea, #search input").first.press_sequentially("tide")
    page.get_by_text("rows 1 to 25 of 340").wait_for(state="detached")
    page.locator("#rows th", has_text="turns").locator(".dt-bar[data-event]").first.click()
    page.locator(".dt-chip").wait_for()
    page.locator("#rows tbody tr").nth(1).click()
    page.locator("#row-view label", has_text="Tokens").click()
    page.locator("#row-shown .loss").first.wait_for(timeout=60_000)
    page.wait_for_timeout(800)
    shoot(page, f"data{suffix}")


def train_tab(page: Page, suffix: str) -> None:
    open_tab(page, "Train")
    if not page.locator("#run input").input_value():
        page.locator("#start").click()
        page.get_by_text("step 20 of").wait_for(timeout=180_000)
        page.wait_for_timeout(6000)  # the notice of the start fades
        shoot(page, f"train-running{suffix}")
    page.locator("#run-status .finished").wait_for(timeout=300_000)
    page.wait_for_timeout(1500)
    shoot(page, f"train{suffix}")


def chat_tab(page: Page, suffix: str) -> None:
    open_tab(page, "Chat")
    page.locator("#prompt textarea").fill(QUESTION)
    page.locator("#send").click()
    page.get_by_text("ended by itself").or_(page.get_by_text("cut at the length limit")).nth(1).wait_for(
        timeout=120_000
    )
    page.wait_for_timeout(500)
    shoot(page, f"chat{suffix}")


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    given = os.environ.get("STUDIO_HOME")
    home = Path(given) if given else Path(tempfile.mkdtemp(prefix="studio-pictures-"))
    server, url = serve(home)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
            )
            for suffix, (width, height) in SIZES.items():
                page = browser.new_page(viewport={"width": width, "height": height})
                page.goto(url, wait_until="domcontentloaded")
                for tab in (data_tab, train_tab, chat_tab):
                    tab(page, suffix)
                page.close()
            browser.close()
    finally:
        server.terminate()
        server.wait()
        if not given:
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
