"""Ten browser tabs that watch one run, with ten runs in the table: the server's memory, its share of a core, and what
the browsers' consoles say.

    python bench/ten_tabs.py [--minutes 10] [--tabs 10]

The real server and Debian's Chromium; this process stands for the worker and appends two events a second. Half of the
tabs look at the run, half at the table with all curves over each other.
"""

import argparse
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))
sys.path.insert(0, str(PROJECT / "bench"))

HISTORY = 5000  # steps that every run has when the tabs open


def served(home: str) -> tuple[subprocess.Popen, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, str(PROJECT / "app.py"), "--port", str(port)],
        env=os.environ | {"STUDIO_HOME": home}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    for _ in range(120):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server, url
        time.sleep(0.5)
    raise SystemExit("The server did not come up.")


def open_tabs(browser, url: str, count: int, said: list[str]) -> list:
    pages = []
    for place in range(count):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url, wait_until="domcontentloaded")
        page.get_by_role("tab", name="Train").click()
        page.locator("#loss-chart svg path.curve").first.wait_for(timeout=60_000)
        if place % 2:
            page.get_by_role("tab", name="All runs").click()
            for row in range(10):
                page.locator("#runs-table input[type=checkbox]").nth(row).click(timeout=60_000)
                page.wait_for_function(
                    "n => document.querySelectorAll('#runs-table input:checked').length >= n", arg=row + 1,
                    timeout=60_000,
                )  # fmt: skip
        pages.append(page)
    return pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--tabs", type=int, default=10)
    options = parser.parse_args()
    from live import append, made_runs
    from playwright.sync_api import sync_playwright

    rng, said = random.Random(0), []
    total = HISTORY + int(options.minutes * 60 * 4)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        _, runs = made_runs(Path(home))
        for run in runs:
            append(run.events_file, 1, HISTORY, total, rng)
        server, url = served(home)
        try:
            browser = play.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
            )
            pages = open_tabs(browser, url, options.tabs, said)
            process = psutil.Process(server.pid)
            print("| minute | step written | step shown | server MiB | its share of a core | console errors |")
            print("|---|---|---|---|---|---|")
            began, step, minute = time.monotonic(), HISTORY, 0
            process.cpu_percent()
            while minute <= options.minutes:
                if time.monotonic() - began >= minute * 60:
                    shown = pages[0].locator("#run-tiles").inner_text().partition(" / ")[0].split()[-1]
                    memory = process.memory_info().rss / 2**20
                    print(
                        f"| {minute} | {step} | {shown} | {memory:.0f} | {process.cpu_percent():.0f} % | {len(said)} |",
                        flush=True,
                    )
                    minute += 1
                step += 1
                append(runs[-1].events_file, step, step, total, rng)
                pages[step % len(pages)].wait_for_timeout(500)
            browser.close()
        finally:
            server.terminate()
            server.wait(30)
    for text in dict.fromkeys(said):
        print(text)


if __name__ == "__main__":
    main()
