"""Ten browser tabs that watch runs: memory and CPU share of the server, and console errors.

    python bench/ten_tabs.py [--minutes 10] [--tabs 10]

The real server and Debian's Chromium; this process acts as the worker and appends up to two events per second. Half of
the tabs show the run, half the table of ten runs with all their curves.
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
from typing import Any

import psutil

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from bench.live import RUNS, append_steps, make_runs  # noqa: E402

# Steps that every run has when the tabs open.
HISTORY_STEPS = 5000
_STEP_MILLISECONDS = 500
_TIMEOUT_MILLISECONDS = 60_000
_START_TRIES = 120


def start_server(home: str) -> tuple[subprocess.Popen, str]:
    """Start the app on a free port, and return its process and address once it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, str(PROJECT / "app.py"), "--port", str(port)],
        env=os.environ | {"STUDIO_HOME": home}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(_START_TRIES):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server, f"http://127.0.0.1:{port}"
        time.sleep(0.5)
    raise SystemExit("The server did not start. Run app.py by itself to see the reason.")


def open_tabs(browser: Any, url: str, count: int, errors: list[str]) -> list:
    """Open pages on the Train tab, every second one on the table of all runs.

    Args:
        browser: Playwright's browser.
        url: Address of the server.
        count: Number of pages.
        errors: Receives the errors of the pages' consoles.
    """
    pages = []
    for number in range(count):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url, wait_until="domcontentloaded")
        page.get_by_role("tab", name="Train").click(timeout=_TIMEOUT_MILLISECONDS)
        page.locator("#loss-chart svg path.curve").first.wait_for(timeout=_TIMEOUT_MILLISECONDS)
        if number % 2:
            _show_all_runs(page)
        pages.append(page)
    return pages


def _show_all_runs(page: Any) -> None:
    page.get_by_role("tab", name="All runs").click(timeout=_TIMEOUT_MILLISECONDS)
    for row in range(RUNS):
        page.locator("#runs-table input[type=checkbox]").nth(row).click(timeout=_TIMEOUT_MILLISECONDS)
        # The table is rendered again after each click, so the next one must wait.
        page.wait_for_function(
            "n => document.querySelectorAll('#runs-table input:checked').length >= n", arg=row + 1,
            timeout=_TIMEOUT_MILLISECONDS,
        )  # fmt: skip


def watch(pages: list, server: subprocess.Popen, events_file: Path, minutes: float, errors: list[str]) -> None:
    """Append steps for some minutes, and print a table row per minute.

    Args:
        pages: Open pages; the first shows the run.
        server: The server's process.
        events_file: Events file of the watched run.
        minutes: Duration in minutes.
        errors: Errors of the consoles so far.
    """
    rng, total = random.Random(0), HISTORY_STEPS + int(minutes * 60 * 4)
    process = psutil.Process(server.pid)
    print("| minute | step written | step shown | server MiB | share of a core | console errors |")
    print("|---|---|---|---|---|---|")
    began, step, minute = time.monotonic(), HISTORY_STEPS, 0
    # The first call only starts the measurement.
    process.cpu_percent()
    while minute <= minutes:
        if time.monotonic() - began >= minute * 60:
            shown = pages[0].locator("#run-tiles").inner_text().partition(" / ")[0].split()[-1]
            memory = process.memory_info().rss / 2**20
            print(
                f"| {minute} | {step} | {shown} | {memory:.0f} | {process.cpu_percent():.0f} % | {len(errors)} |",
                flush=True,
            )
            minute += 1
        step += 1
        append_steps(events_file, step, step, total, rng)
        # playwright handles a page's events only while one of its calls waits.
        pages[step % len(pages)].wait_for_timeout(_STEP_MILLISECONDS)


def main() -> None:
    """Start the server, open the tabs, watch, and print the console errors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="duration in minutes (default: %(default)s)")
    parser.add_argument("--tabs", type=int, default=10, help="number of tabs (default: %(default)s)")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    rng, errors = random.Random(0), []
    with tempfile.TemporaryDirectory() as home, sync_playwright() as play:
        _, runs = make_runs(Path(home))
        for run in runs:
            append_steps(run.events_file, 1, HISTORY_STEPS, HISTORY_STEPS + int(options.minutes * 60 * 4), rng)
        server, url = start_server(home)
        try:
            browser = play.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
            )
            pages = open_tabs(browser, url, options.tabs, errors)
            watch(pages, server, runs[-1].events_file, options.minutes, errors)
            browser.close()
        finally:
            server.terminate()
            server.wait(30)
    for text in dict.fromkeys(errors):
        print(text)


if __name__ == "__main__":
    main()
