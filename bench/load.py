"""Fifty visitors on a Space while a run trains: how long pages take, what fails, how much slower the run gets.

    python bench/load.py [--visitors 50] [--seconds 300]

The real app as it stands on a Space, on the embedded model, which a published run was trained on for a few steps. First
the owner's run trains alone for a while; then as many visitors come, within a minute, each in a thread with a session
of its own, who read the page, look through rows and runs, ask the base and the tuned model something, and vote, with a
person's pauses between. Prints the times of each kind of call, the errors, and the run's tokens a second before and
meanwhile.
"""

import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.access import visibility  # noqa: E402
from core.models import embedded  # noqa: E402
from core.runs.store import Run, RunStore  # noqa: E402
from core.settings import Settings  # noqa: E402
from tests.helpers.app_server import AppServer, PageClient  # noqa: E402
from tests.helpers.space_server import AUTHOR, signed_in_headers, start_space, visitor_headers  # noqa: E402

QUESTIONS = ["What is a tide?", "Who keeps the light?", "Name three birds.", "How deep is the sea here?"]
KNOBS = {
    "subset": "few",
    "model": embedded.NAME,
    "max_length": 256,
    "batch_size": 2,
    "eval_steps": 0,
    "sample_prompts": "",
}


class Visitor(threading.Thread):
    """One person: reads, asks, votes, waits."""

    def __init__(
        self, app: AppServer, number: int, ends: float, times: dict[str, list[float]], errors: list[str],
        options: argparse.Namespace,
    ):  # fmt: skip
        super().__init__(daemon=True)
        self.app, self.number, self.ends = app, number, ends
        self.pause, self.arrive = options.pause, options.arrive
        self.times, self.errors, self.chance = times, errors, random.Random(number)

    def timed(self, kind: str, call) -> object:
        began = time.monotonic()
        try:
            result = call()
        except (httpx.HTTPError, AssertionError, OSError, StopIteration) as error:
            self.errors.append(f"{kind}: {type(error).__name__}: {str(error)[:120]}")
            return None
        self.times[kind].append(time.monotonic() - began)
        if isinstance(result, dict) and not result.get("success", True):
            self.errors.append(f"{kind}: {result['output'].get('error')}")
        return result

    def run(self) -> None:
        headers = visitor_headers(f"{self.number:032x}")
        time.sleep(self.chance.random() * self.arrive)
        page = self.timed("page", lambda: PageClient(self.app.url, headers))
        if page is None:
            return
        events = {event["api_name"]: event for event in page.events}
        runs = self.timed("runs", lambda: page.run(events["listed"], [None, False]))
        shown = runs["output"]["data"][0]["value"] if runs else None
        # what the page's chat state holds is set by its own load event
        while time.monotonic() < self.ends:
            kind = self.chance.choices(["rows", "search", "run", "home", "chat"], [4, 2, 3, 2, 2])[0]
            if kind == "rows":
                self.timed(kind, lambda: page.run(events["turned_1"], [None, None, None, 1, 25]))
            elif kind == "search":
                word = self.chance.choice(["light", "storm", "gull", "tide"])
                self.timed(kind, lambda word=word: page.run(events["search"], [None, word]))
            elif kind == "run":
                self.timed(kind, lambda: page.run(events["opened_1"], [shown, "tokens/s"]))
            elif kind == "home":
                self.timed("page", lambda: page.http.get(f"{self.app.url}/").raise_for_status())
            else:
                self.ask_and_vote(page, events)
            time.sleep(self.pause * (0.5 + self.chance.random()))

    def ask_and_vote(self, page: PageClient, events: dict) -> None:
        event = events["send"]
        form = [self.value_of(page, number) for number in event["inputs"]]
        at = next(
            i
            for i, number in enumerate(event["inputs"])
            if self.component(page, number)["props"].get("elem_id") == "prompt"
        )
        form[at] = self.chance.choice(QUESTIONS)
        self.timed("chat (whole answers)", lambda: page.run(event, form))
        vote = events["vote"]
        body = {"value": self.chance.choice(["left", "right", "tie"])}
        form = [self.value_of(page, number) for number in vote["inputs"]]
        self.timed("vote", lambda: page.run(vote, form, body))

    @staticmethod
    def component(page: PageClient, number: int) -> dict:
        return next(c for c in page.config["components"] if c["id"] == number)

    def value_of(self, page: PageClient, number: int):
        found = self.component(page, number)
        if found["props"].get("label", "").startswith("Length"):
            return 24
        return found["props"].get("value")


def rate(run: Run, seconds: float) -> float:
    """Tokens a second of the run's steps within so many seconds from now."""
    before = len(run.events())
    time.sleep(seconds)
    steps = [e for e in run.events()[before:] if e.event == "step"]
    return statistics.median(e.tokens_per_second for e in steps) if len(steps) > 1 else 0.0


def trained(owner, store: RunStore, **knobs) -> Run:
    return store.run(owner.predict(**KNOBS, **knobs, api_name="/start")["value"])


def until(what, limit: float = 600) -> None:
    ends = time.monotonic() + limit
    while not what():
        if time.monotonic() > ends:
            raise TimeoutError("the run did not come so far")
        time.sleep(0.5)


def told(words: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def measure(app: AppServer, store: RunStore, options: argparse.Namespace) -> dict:
    owner = app.client(app.settings.home / "client", headers=signed_in_headers(AUTHOR))
    owner.predict(owner.predict(api_name="/list_datasets")[0]["id"], api_name="/choose")
    owner.predict(name="few", rows=40, method="shortest", api_name="/cut")
    told("a run of two steps, to be published")
    first = trained(owner, store, max_steps=2)
    until(lambda: first.state().status == "finished")
    visibility.publish(app.settings, "runs", first.id, True)
    run = trained(owner, store, max_steps=100_000, save_steps=50_000)
    until(lambda: any(e.event == "step" for e in run.events()))
    told("the run trains alone")
    alone = rate(run, options.alone)
    told("the visitors come")
    times: dict[str, list[float]] = defaultdict(list)
    errors: list[str] = []
    ends = time.monotonic() + options.seconds
    people = [Visitor(app, number, ends, times, errors, options) for number in range(1, options.visitors + 1)]
    for person in people:
        person.start()
    beside = rate(run, options.seconds)
    told("the visitors leave")
    for person in people:
        person.join(timeout=180)
        if person.is_alive():
            errors.append("an answer did not come within 180 s of the end")
    owner.close()
    return {"alone": alone, "beside": beside, "times": times, "errors": errors}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--alone", type=float, default=60, help="how long the run trains before anybody comes")
    parser.add_argument("--pause", type=float, default=8, help="seconds between two calls of a visitor, on average")
    parser.add_argument("--arrive", type=float, default=60, help="seconds within which all of them come")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    with tempfile.TemporaryDirectory() as around:
        home = Path(around) / "home"
        prepared = embedded.prepare(Settings(home=PROJECT / ".test-home").prepare())
        app = start_space(home, STUDIO_EMBEDDED=str(prepared), STUDIO_QUOTA_VISITORS_TOKENS="100000000")
        store = RunStore(Settings(home=home, embedded=prepared))
        try:
            found = measure(app, store, options)
        finally:
            for run in store.runs():
                if run.saved_state().process_lives():
                    os.killpg(run.saved_state().pid, signal.SIGKILL)
            app.end()
        log = app.log.read_text()
    report(found, options, log.count("Traceback"))
    return 1 if found["errors"] else 0


def report(found: dict, options: argparse.Namespace, tracebacks: int) -> None:
    print(f"{options.visitors} visitors for {options.seconds:.0f} s, {os.cpu_count()} cores\n")
    print("| call | made | median s | 95th percentile s | longest s |\n|---|---|---|---|---|")
    for kind, seen in sorted(found["times"].items()):
        ranked = sorted(seen)
        print(f"| {kind} | {len(seen)} | {statistics.median(seen):.2f} | {ranked[int(0.95 * (len(ranked) - 1))]:.2f} "
              f"| {ranked[-1]:.2f} |")  # fmt: skip
    slower = 1 - found["beside"] / found["alone"] if found["alone"] else float("nan")
    alone, beside = found["alone"], found["beside"]
    print(f"\nThe run: {alone:.0f} tokens/s alone, {beside:.0f} beside the visitors, {slower:.0%} slower.")
    print(f"Errors: {len(found['errors'])}; tracebacks in the server's log: {tracebacks}.")
    for words, count in Counter(found["errors"]).most_common(10):
        print(f"  {count} × {json.dumps(words)}")


if __name__ == "__main__":
    sys.exit(main())
