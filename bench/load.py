"""Fifty visitors on a Space while a run trains: response times, errors, and the slowdown of the run.

    python bench/load.py [--visitors 50] [--seconds 300]

The real app in the configuration of a Space, with the embedded model and a published run of a few steps. First the
owner's run trains alone for a while. Then the visitors arrive within a minute, each in a thread with a session of its
own: they load the page, look through rows and runs, ask the base and the tuned model, and vote, with a person's pauses.
Prints the times of each kind of call, the errors, and the run's tokens per second before and meanwhile.
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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
SETTINGS = {
    "subset": "few",
    "model": embedded.NAME,
    "max_length": 256,
    "batch_size": 2,
    "eval_steps": 0,
    "sample_prompts": "",
}
# A visitor's actions on the page: the id of an element, and its event.
EVENTS = {
    "rows": ("page-next", "click"),
    "search": ("search", "change"),
    "run": ("run", "change"),
    "chat (whole answers)": ("send", "click"),
    "vote": ("chat-now", "vote"),
}
# A visitor's answer in tokens.
_ANSWER_TOKENS = 24
_LEAVE_SECONDS = 180


@dataclass
class Results:
    """Calls of all visitors: seconds by kind of call, and errors."""

    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)


class Visitor(threading.Thread):
    """One visitor, who loads the page and then makes one call after the other until a given time."""

    def __init__(self, app: AppServer, number: int, ends: float, results: Results, options: argparse.Namespace):
        super().__init__(daemon=True)
        self.app, self.number, self.ends, self.results = app, number, ends, results
        self.pause, self.arrive = options.pause, options.arrive
        self.rng = random.Random(number)

    def time_call(self, kind: str, call: Callable[[], Any]) -> Any:
        """Return the result of a call, and record its time or its error; None after an error."""
        began = time.monotonic()
        try:
            result = call()
        except (httpx.HTTPError, AssertionError, OSError, LookupError) as error:
            self.results.errors.append(f"{kind}: {type(error).__name__}: {str(error)[:120]}")
            return None
        self.results.times[kind].append(time.monotonic() - began)
        if isinstance(result, dict) and not result.get("success", True):
            self.results.errors.append(f"{kind}: {result['output'].get('error')}")
        return result

    def run(self) -> None:
        """Arrive, and make calls until the end."""
        headers = visitor_headers(f"{self.number:032x}")
        time.sleep(self.rng.random() * self.arrive)
        page = self.time_call("page", lambda: PageClient(self.app.url, headers))
        if page is None:
            return
        runs = self.time_call("runs", lambda: page.call("list_runs")["data"][0])
        run_id = runs[0]["id"] if runs else None
        while time.monotonic() < self.ends:
            self._make_call(page, run_id)
            time.sleep(self.pause * (0.5 + self.rng.random()))

    def _make_call(self, page: PageClient, run_id: str | None) -> None:
        kind = self.rng.choices(["rows", "search", "run", "home", "chat"], [4, 2, 3, 2, 2])[0]
        if kind == "rows":
            self._cause(page, kind, {})
        elif kind == "search":
            self._cause(page, kind, {"search": self.rng.choice(["light", "storm", "gull", "tide"])})
        elif kind == "run":
            self._cause(page, kind, {"run": run_id})
        elif kind == "home":
            self.time_call("page", lambda: page.http.get(f"{self.app.url}/").raise_for_status())
        else:
            # Both lanes answer. The conversation's id is a state that the page's load event sets on the server.
            question = {"prompt": self.rng.choice(QUESTIONS), "field-max_new_tokens": _ANSWER_TOKENS}
            self._cause(page, "chat (whole answers)", question)
            self._cause(page, "vote", {}, {"value": self.rng.choice(["left", "right", "tie"])})

    def _cause(self, page: PageClient, name: str, changed: dict[str, Any], event_data: dict | None = None) -> None:
        """Send one of `EVENTS`, and wait for its end.

        Args:
            page: The visitor's page.
            name: Name of the event.
            changed: Values of inputs by the ids of their elements; all others are those of the page at its start.
            event_data: What the event carries.
        """
        event = page.event_of(*EVENTS[name])
        components = {each["id"]: each["props"] for each in page.config["components"]}
        inputs = [components[number] for number in event["inputs"]]
        values = [changed.get(each.get("elem_id"), each.get("value")) for each in inputs]
        self.time_call(name, lambda: page.run(event, values, event_data))


def measure_rate(run: Run, seconds: float) -> float:
    """Return the median tokens per second of a run's steps within the next `seconds`; 0 if there are too few."""
    before = len(run.events())
    time.sleep(seconds)
    steps = [event for event in run.events()[before:] if event.event == "step"]
    return statistics.median(event.tokens_per_second for event in steps) if len(steps) > 1 else 0.0


def start_run(owner: Any, store: RunStore, **settings: Any) -> Run:
    """Start a run as the owner, over the API."""
    return store.run(owner.predict(**SETTINGS, **settings, accept_warnings=True, api_name="/start_run")["value"])


def wait_until(condition: Callable[[], bool], limit: float = 600) -> None:
    """Wait until a condition holds, at most `limit` seconds.

    Raises:
        TimeoutError: The condition does not hold by then.
    """
    ends = time.monotonic() + limit
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError("The run did not get that far in time.")
        time.sleep(0.5)


def log(text: str) -> None:
    """Print a line with the time to stderr."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def measure(app: AppServer, store: RunStore, options: argparse.Namespace) -> dict:
    """Return the run's rates alone and beside the visitors, and the results of their calls."""
    owner = app.client(app.settings.home / "client", headers=signed_in_headers(AUTHOR))
    owner.predict(owner.predict(api_name="/list_datasets")[0]["id"], api_name="/choose_dataset")
    owner.predict(name="few", rows=40, method="shortest", api_name="/create_subset")
    log("A run of two steps, to be published.")
    first = start_run(owner, store, max_steps=2)
    wait_until(lambda: first.state().status == "finished")
    visibility.publish(app.settings, "runs", first.id, True)
    run = start_run(owner, store, max_steps=100_000, save_steps=50_000)
    wait_until(lambda: any(event.event == "step" for event in run.events()))
    log("The run trains alone.")
    alone = measure_rate(run, options.alone)
    beside, results = visit(app, run, options)
    owner.close()
    return {"alone": alone, "beside": beside, "times": results.times, "errors": results.errors}


def visit(app: AppServer, run: Run, options: argparse.Namespace) -> tuple[float, Results]:
    """Let the visitors come and go, and return the run's rate meanwhile and the results of their calls."""
    log("The visitors arrive.")
    results, ends = Results(), time.monotonic() + options.seconds
    visitors = [Visitor(app, number, ends, results, options) for number in range(1, options.visitors + 1)]
    for visitor in visitors:
        visitor.start()
    beside = measure_rate(run, options.seconds)
    log("The visitors leave.")
    for visitor in visitors:
        visitor.join(timeout=_LEAVE_SECONDS)
        if visitor.is_alive():
            results.errors.append(f"an answer did not come within {_LEAVE_SECONDS} s after the end")
    return beside, results


def main() -> int:
    """Start the app, measure, and return the exit status: 1 after an error of a call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=50, help="number of visitors (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=300, help="seconds of the visit (default: %(default)s)")
    parser.add_argument("--alone", type=float, default=60, help="seconds that the run trains alone before")
    parser.add_argument("--pause", type=float, default=8, help="seconds between two calls of a visitor, on average")
    parser.add_argument("--arrive", type=float, default=60, help="seconds within which all visitors arrive")
    options = parser.parse_args()
    # So that the server and the runs are ended below, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    with tempfile.TemporaryDirectory() as parent:
        home = Path(parent) / "home"
        prepared = embedded.prepare(Settings(home=PROJECT / ".test-home").prepare())
        app = start_space(home, STUDIO_EMBEDDED=str(prepared), STUDIO_QUOTA_VISITORS_TOKENS="100000000")
        store = RunStore(Settings(home=home, embedded=prepared))
        try:
            found = measure(app, store, options)
        finally:
            for run in store.runs():
                if run.saved_state().process_lives():
                    os.killpg(run.saved_state().pid, signal.SIGKILL)
            app.stop()
        tracebacks = app.log.read_text().count("Traceback")
    print_report(found, options, tracebacks)
    return 1 if found["errors"] else 0


def print_report(found: dict, options: argparse.Namespace, tracebacks: int) -> None:
    """Print the table of calls, the slowdown of the run, and the ten most frequent errors."""
    print(f"{options.visitors} visitors for {options.seconds:.0f} s, {os.cpu_count()} cores\n")
    print("| call | made | median s | 95th percentile s | longest s |\n|---|---|---|---|---|")
    for kind, seconds in sorted(found["times"].items()):
        ranked = sorted(seconds)
        percentile = ranked[int(0.95 * (len(ranked) - 1))]
        print(f"| {kind} | {len(ranked)} | {statistics.median(ranked):.2f} | {percentile:.2f} | {ranked[-1]:.2f} |")
    slower = 1 - found["beside"] / found["alone"] if found["alone"] else float("nan")
    alone, beside = found["alone"], found["beside"]
    print(f"\nThe run: {alone:.0f} tokens/s alone, {beside:.0f} beside the visitors, {slower:.0%} slower.")
    print(f"Errors: {len(found['errors'])}; tracebacks in the server's log: {tracebacks}.")
    for text, count in Counter(found["errors"]).most_common(10):
        print(f"  {count} × {json.dumps(text)}")


if __name__ == "__main__":
    sys.exit(main())
