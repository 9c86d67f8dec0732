"""Random calls that no page makes, against the real app in the configuration of a Space.

    python bench/fuzz.py --calls 10000

Half of them by the owner, half by a visitor: random events with random values over the queue, and random requests to
random routes. Prints the number of calls by outcome; fails at a status of 500 or more, a traceback in the server's log,
or a file outside STUDIO_HOME.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tests.helpers.app_server import AppServer, PageClient  # noqa: E402
from tests.helpers.fuzzing import call_event, count_tracebacks, event_calls, send_random_request  # noqa: E402
from tests.helpers.space_server import AUTHOR, signed_in_headers, start_space, visitor_headers  # noqa: E402


def fuzz(app: AppServer, headers: dict[str, str], calls: int, outcomes: Counter) -> None:
    """Make random calls as one caller.

    Args:
        app: The running app.
        headers: Headers of the caller.
        calls: Number of calls; half of them are events, half raw requests.
        outcomes: Number of calls by outcome, updated here.
    """
    page = PageClient(app.url, headers)
    names, rng = [event["api_name"] for event in page.events], random.Random(calls)

    @settings(max_examples=calls // 2, phases=[Phase.generate], deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.data())
    def events(data) -> None:
        error = call_event(page, *data.draw(event_calls(page)))
        outcomes["refused" if error else "answered"] += 1

    events()
    for _ in range(calls // 2):
        send_random_request(app, rng, names, headers)
        outcomes["raw requests"] += 1
    page.http.close()


def list_files(folder: Path) -> set[Path]:
    """Return the files next to STUDIO_HOME and those of the project, without hidden ones and caches."""
    return {*folder.iterdir(), *(path for path in PROJECT.iterdir() if path.name[0] not in "._")}


def print_failures(outside: set[Path], log: str) -> int:
    """Print files outside STUDIO_HOME and the server's tracebacks to stderr, and return the number of tracebacks."""
    defects = count_tracebacks(log)
    first = log[log.find("Traceback") :].splitlines()[:120] if defects else []
    print(*sorted(outside), *first, sep="\n", file=sys.stderr)
    print(*(f"{times} x {error}" for error, times in defects.most_common()), sep="\n", file=sys.stderr)
    return defects.total()


def main() -> int:
    """Make the calls, and return the exit status: 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000, help="number of calls (default: %(default)s)")
    options = parser.parse_args()
    outcomes, began = Counter(), time.monotonic()
    with tempfile.TemporaryDirectory() as parent:
        app = start_space(Path(parent) / "home")
        before = list_files(Path(parent))
        try:
            for headers in (signed_in_headers(AUTHOR), visitor_headers("f" * 32)):
                fuzz(app, headers, options.calls // 2, outcomes)
        finally:
            app.stop()
        outside = list_files(Path(parent)) - before
        tracebacks = print_failures(outside, app.log.read_text())
    print("| " + " | ".join(outcomes) + " | tracebacks in the log | files outside | seconds |")
    seconds = time.monotonic() - began
    print(f"| {' | '.join(map(str, outcomes.values()))} | {tracebacks} | {len(outside)} | {seconds:.0f} |")
    return 1 if outside or tracebacks else 0


if __name__ == "__main__":
    sys.exit(main())
