"""Ten thousand calls that no page makes, against the real app as it stands on a Space.

    python bench/fuzz.py --calls 10000

Half by the owner, half by a visitor: any event with any values over the queue, and any request to any route. Prints how
many were made and what came of them; ends at the first status of 500 or more, defect, or file outside STUDIO_HOME.
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


def fuzz(app: AppServer, headers: dict[str, str], calls: int, seen: Counter) -> None:
    page = PageClient(app.url, headers)
    names, chance = [event["api_name"] for event in page.events], random.Random(calls)

    @settings(max_examples=calls // 2, phases=[Phase.generate], deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.data())
    def events(data) -> None:
        said = call_event(page, *data.draw(event_calls(page)))
        seen["refused" if said else "answered"] += 1

    events()
    for _ in range(calls // 2):
        send_random_request(app, chance, names, headers)
        seen["raw requests"] += 1
    page.http.close()


def there(around: str) -> set[Path]:
    """What lies beside STUDIO_HOME and in the project, but for what test runs keep there."""
    return {*Path(around).iterdir(), *(path for path in PROJECT.iterdir() if path.name[0] not in "._")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    options = parser.parse_args()
    seen, began = Counter(), time.monotonic()
    with tempfile.TemporaryDirectory() as around:
        app = start_space(Path(around) / "home")
        before = there(around)
        try:
            for headers in (signed_in_headers(AUTHOR), visitor_headers("f" * 32)):
                fuzz(app, headers, options.calls // 2, seen)
        finally:
            app.end()
        outside, log = there(around) - before, app.log.read_text()
        defects = count_tracebacks(log)
        first = log[log.find("Traceback") :].splitlines()[:120] if defects else []
        print(*sorted(outside), *first, sep="\n", file=sys.stderr)
        print(*(f"{times} x {error}" for error, times in defects.most_common()), sep="\n", file=sys.stderr)
    print("| " + " | ".join(seen) + " | tracebacks in the log | files outside | seconds |")
    took = time.monotonic() - began
    print(f"| {' | '.join(map(str, seen.values()))} | {defects.total()} | {len(outside)} | {took:.0f} |")
    return 1 if outside or defects else 0


if __name__ == "__main__":
    sys.exit(main())
