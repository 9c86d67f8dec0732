"""Costs of an open page: two lanes with and without a browser, and a training run with and without one.

    python bench/page.py [--rounds 3] [--steps 16]

The embedded model and an adapter that was trained for two steps, greedy, on this machine's processors. Each round asks
the same question three times, in random order: the engine alone in a process of its own; the app with a client that
only reads its updates; the app with its page open in Chromium on the same cores. A rate is the number of tokens of both
lanes, divided by the time from the start of reading the prompt to the last token. Then the Quick demo's settings train
for some steps without a page and with the Train tab open in Chromium, in turns. Needs Debian's chromium.
"""

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.chat.conversation import Conversation  # noqa: E402
from core.data import sources, subset  # noqa: E402
from core.models import embedded  # noqa: E402
from core.runs import process  # noqa: E402
from core.runs.presets import QUICK_DEMO  # noqa: E402
from core.runs.store import NOT_ENDED, Run, RunStore  # noqa: E402
from core.settings import Settings  # noqa: E402
from tests.helpers.app_server import AppServer, PageClient  # noqa: E402

QUESTION = "How do I keep houseplants alive in winter?"
TOKENS = 128
SUBSET = sources.BUNDLED
ENGINE, READER, BROWSER = "the engine alone", "app, a client that only reads", "app, page open in Chromium"
UNWATCHED, WATCHED = "unwatched", "Train tab open in Chromium"
_TIMEOUT_SECONDS = 300
# The first steps of a run load weights and compile kernels.
_WARMUP_STEPS = 3


def train(store: RunStore, **values: Any) -> Run:
    """Train with the Quick demo's settings and some others, and return the finished run."""
    run = process.submit(store, QUICK_DEMO.config(subset=SUBSET, **values))
    while run.state().status in NOT_ENDED:
        time.sleep(0.2)
    if run.state().status != "finished":
        raise SystemExit(f"{run.state().cause}\n{run.log_tail(40)}")
    return run


def seconds_per_step(run: Run) -> float:
    """Return the median seconds between two steps, without the first ones."""
    times = [event.time for event in run.events() if event.event == "step"][_WARMUP_STEPS:]
    return median(after - before for before, after in itertools.pairwise(times))


def rate_of(texts: list[tuple[int, float]]) -> float:
    """Return the tokens per second of answers, given as (tokens, seconds), that were written at the same time."""
    return sum(tokens for tokens, _ in texts) / max(seconds for _, seconds in texts)


def answer_on_request(home: str, run: str) -> None:
    """Load the engine, and answer the question once per line of stdin; print each rate."""
    from core.chat.engine import Engine
    from core.chat.queue_entry import QueueEntry
    from core.chat.requests import resolve_lanes
    from core.chat.sampling import Sampling
    from core.chat.types import LaneRequest, adapter_key

    engine = Engine(Settings(home=Path(home)).prepare())
    sampling = Sampling(temperature=0, max_new_tokens=TOKENS)
    messages = [{"role": "user", "content": QUESTION}]
    for _ in sys.stdin:
        requests = [LaneRequest(messages, sampling, key) for key in (None, adapter_key(run, "final"))]
        *_, entry = engine.ask(QueueEntry(resolve_lanes(engine.store, requests)))
        print(rate_of([(one.tokens, one.seconds) for one in entry.generations]), flush=True)


@contextmanager
def engine_alone(home: Path, run: Run) -> Iterator[Callable[[], float]]:
    """Start the engine in a process of its own, and yield a function that returns the rate of one answer."""
    command = [sys.executable, __file__, "--engine", str(home), run.id]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(command, text=True, **pipes)

    def measure() -> float:
        child.stdin.write("\n")
        child.stdin.flush()
        return float(child.stdout.readline())

    try:
        yield measure
    finally:
        child.kill()
        child.wait()


def last_rate(settings: Settings) -> float:
    """Return the rate of the answers that were written last, as the conversation's file has them."""
    newest = max((settings.home / "chats").glob("*.json"), key=lambda path: path.stat().st_mtime)
    turn = Conversation.model_validate(json.loads(newest.read_text())).turns[-1]
    answers = [attempts[-1] for attempts in turn.answers if attempts]
    return rate_of([(answer.tokens, answer.tokens / answer.tokens_per_second) for answer in answers])


class Reader:
    """A client that asks the question as the page does, and only reads the updates."""

    def __init__(self, app: AppServer):
        """Take the server to ask."""
        self.app = app

    def measure(self) -> float:
        """Return the rate of one answer, on a page of its own: in the same chat, the prompt would grow each time."""
        page = PageClient(self.app.url)
        components = {one["id"]: one["props"] for one in page.config["components"]}
        send = next(event for event in page.events if event["api_name"] == "send")
        form = [components[number].get("value") for number in send["inputs"]]
        for at, number in enumerate(send["inputs"]):
            label = components[number].get("label") or ""
            if components[number].get("elem_id") == "prompt":
                form[at] = QUESTION
            elif label.startswith("Length"):
                form[at] = TOKENS
            elif label.startswith("Temperature"):
                form[at] = 0
        message = page.run(send, form)
        assert message["success"], message
        return last_rate(self.app.settings)


class Watcher:
    """The page in Chromium."""

    def __init__(self, page: Any, app: AppServer):
        """Open the page.

        Args:
            page: Playwright's page.
            app: The server.
        """
        self.app, self.page = app, page
        page.set_default_timeout(1000 * _TIMEOUT_SECONDS)
        page.goto(app.url, wait_until="domcontentloaded")
        page.get_by_text("rows 1 to 25 of").wait_for()

    def open_tab(self, name: str) -> None:
        """Show a tab."""
        self.page.get_by_role("tab", name=name).click()

    def measure(self) -> float:
        """Return the rate of one answer; the Chat tab is shown."""
        self.page.get_by_role("button", name="New chat").click()
        self.page.locator("#chat-now .lb-turn").wait_for(state="detached")
        if not self.page.locator("#chat-numbers").is_visible():
            self.page.locator("#chat-settings-open").click()
        for label, value in (("Length", TOKENS), ("Temperature", 0)):
            field = self.page.locator("#chat-numbers").get_by_label(label).first
            field.fill(str(value))
            field.press("Tab")
        self.page.locator("#prompt textarea").fill(QUESTION)
        self.page.locator("#send").click()
        self.page.locator('#chat-now [data-event="vote"]').first.wait_for()
        return last_rate(self.app.settings)


def measure_in_turns(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return what each way measured in each round; the order within a round is random."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in random.Random(number).sample(list(ways), len(ways)):
            found[name].append(ways[name]())
            print(f"{name}: {found[name][-1]:.2f}", file=sys.stderr, flush=True)
    return found


def print_table(head: str, found: dict[str, list[float]], first: str) -> None:
    """Print medians, spreads, and the ratio of each way to the first, round by round."""
    print(f"\n| {head} | median | spread | ratio to the first |\n|---|---|---|---|")
    for name, values in found.items():
        ratio = median(value / base for value, base in zip(values, found[first], strict=True))
        print(f"| {name} | {median(values):.2f} | {min(values):.2f} to {max(values):.2f} | {ratio:.3f} |")


def main() -> None:
    """Measure both, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each way (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=16, help="steps of a training run (default: %(default)s)")
    parser.add_argument("--only", choices=["chat", "training"], help="measure only this")
    parser.add_argument("--engine", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        answer_on_request(*options.engine)
        return
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as parent, sync_playwright() as play:
        prepared = embedded.prepare(Settings(home=PROJECT / ".test-home").prepare())
        settings = Settings(home=Path(parent) / "home", embedded=prepared).prepare()
        os.environ |= {"STUDIO_EMBEDDED": str(prepared)}
        subset.ensure_bundled(settings)
        store = RunStore(settings)
        app = AppServer(settings.home)
        browser = play.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        try:
            watcher = Watcher(browser.new_page(viewport={"width": 1440, "height": 900}), app)
            if options.only != "training":
                measure_chat(watcher, train(store, max_steps=2), options.rounds)
            if options.only != "chat":
                measure_training(watcher, store, options)
        finally:
            browser.close()
            app.stop()


def measure_chat(watcher: Watcher, run: Run, rounds: int) -> None:
    """Measure the answers, and print their table."""
    watcher.open_tab("Chat")
    with engine_alone(watcher.app.settings.home, run) as engine:
        ways = {ENGINE: engine, READER: Reader(watcher.app).measure, BROWSER: watcher.measure}
        # The first answer of each loads a model.
        measure_in_turns({name: way for name, way in ways.items() if name != READER}, 1)
        found = measure_in_turns(ways, rounds)
    print_table("two lanes, tokens/s together", found, ENGINE)


def measure_training(watcher: Watcher, store: RunStore, options: argparse.Namespace) -> None:
    """Measure the runs, and print their table."""

    def measure(tab: str) -> float:
        # The Data tab has no timer; nothing watches the run there.
        watcher.open_tab(tab)
        return seconds_per_step(train(store, max_steps=options.steps, eval_steps=0, save_steps=options.steps))

    found = measure_in_turns({UNWATCHED: lambda: measure("Data"), WATCHED: lambda: measure("Train")}, options.rounds)
    print_table("Quick demo, seconds per step", found, UNWATCHED)


if __name__ == "__main__":
    main()
