"""Random calls that no page makes, 270 in all; `python bench/fuzz.py` makes ten thousand."""

import random

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.helpers.app_server import PROJECT, PageClient, QueueClient
from tests.helpers.fuzzing import call_event, count_tracebacks, event_calls, send_random_request
from tests.helpers.space_server import AUTHOR, signed_in_headers, visitor_headers

CALLERS = {"owner": signed_in_headers(AUTHOR), "visitor": visitor_headers("9" * 32)}


def paths_around(app):
    """Return the paths beside STUDIO_HOME and in the project, except those of test runs."""
    return {*app.settings.home.parent.iterdir(), *(path for path in PROJECT.iterdir() if path.name[0] not in "._")}


@pytest.mark.parametrize("who", CALLERS)
def test_random_calls_break_nothing_and_write_no_file_outside(on_space, who):
    page = PageClient(on_space.url, CALLERS[who])
    before = paths_around(on_space)

    # Derandomized, so that a failure can be repeated; bench/fuzz.py tries new calls.
    @settings(
        max_examples=60, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None,
        derandomize=True,
    )  # fmt: skip
    @given(st.data())
    def many(data):
        call_event(page, *data.draw(event_calls(page)))

    many()
    page.http.close()
    assert paths_around(on_space) == before


def test_deep_values_are_refused_with_a_sentence_in_every_event_of_a_visitor(on_space):
    """The page's own events that take a value, with deep JSON, as text and parsed."""
    page, ends = QueueClient(on_space.url, CALLERS["visitor"]), len(on_space.log.read_text())
    kinds = ("sort_by", "pick_bar", "drop_filter", "open_row", "tick_row", "zoomed")
    events = [event for event in page.events if {kind for _, kind in event["targets"]} & set(kinds)]
    assert len(events) >= len(kinds)
    deep: list = []
    for _ in range(600):
        deep = [deep]
    for event in events:
        for value in (deep, "[" * 600 + "]" * 600, "[" * 5000 + "]" * 5000):
            ended = page.run(event, [None] * len(event["inputs"]), {"value": value, "low": value, "high": 1})
            error = ended["output"].get("error") or ""
            if "Only the owner can do this" in error:
                continue
            # As text, it may be the name of a column.
            assert (ended["success"] and value is not deep) or error, (event["api_name"], "failed without a text")
            assert "in the studio itself" not in error, (event["api_name"], error)
            assert value is not deep or "nested more than" in error, (event["api_name"], error)
            assert len(error) < 400
    page.http.close()
    assert count_tracebacks(on_space.log.read_text()[ends:]) == {}


@pytest.mark.parametrize("who", CALLERS)
def test_random_requests_break_nothing(on_space, who):
    page = PageClient(on_space.url, CALLERS[who])
    names, chance = [event["api_name"] for event in page.events], random.Random(who)
    page.http.close()
    for _ in range(75):
        send_random_request(on_space, chance, names, CALLERS[who])
    assert on_space.process.poll() is None


# Gradio builds a URL of the session's name after the caller has left, so an error shows in the log only.
@pytest.mark.parametrize("name", ["%00", "a%0d%0ab", "..%2f..%2f", "plain-1"])
def test_heartbeat_of_a_caller_who_leaves_logs_no_error(on_space, name):
    ends = len(on_space.log.read_text())
    headers = visitor_headers("8" * 32)
    for _ in range(5):
        with httpx.stream(
            "GET", f"{on_space.url}/gradio_api/heartbeat/{name}", headers=headers, verify=False
        ) as heartbeat:
            assert heartbeat.status_code == (200 if name == "plain-1" else 404)
    # Results of later calls arrive after Gradio has handled the lost heartbeats.
    queue = QueueClient(on_space.url, headers)
    for _ in range(3):
        assert queue.call("list_datasets")["data"]
    queue.http.close()
    assert count_tracebacks(on_space.log.read_text()[ends:]) == {}


@pytest.mark.parametrize("path", ["queue/data?session_hash=nobody-s", "queue/data", "call/list_datasets/nobody-s"])
def test_result_of_an_unknown_call_answers_404(on_space, path):
    """Gradio notices after its answer has begun, too late for a status, and raises."""
    ends = len(on_space.log.read_text())
    refused = httpx.get(f"{on_space.url}/gradio_api/{path}", headers=visitor_headers("7" * 32), verify=False)
    assert refused.status_code == 404
    assert "No call of this name is running" in refused.text
    assert count_tracebacks(on_space.log.read_text()[ends:]) == {}


LOG = """* Running on local URL:  http://127.0.0.1:48499
ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "routes.py", line 1486, in iterator
    done, _ = await asyncio.wait(
              ^^^^^^^^^^^^^^^^^^^
asyncio.exceptions.CancelledError: Cancelled via cancel scope 7fc6af9156c0

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "_urlparse.py", line 229, in urlparse
    raise InvalidURL(error)
httpx.InvalidURL: Invalid non-printable ASCII character in URL
GET /gradio_api/queue/data: KeyError('x')
Traceback (most recent call last):
  File "x.py", line 1, in f
asyncio.exceptions.CancelledError
"""


def test_count_tracebacks_counts_each_by_its_last_line():
    invalid = "httpx.InvalidURL: Invalid non-printable ASCII character in URL"
    assert count_tracebacks(LOG * 2) == {invalid: 2, "asyncio.exceptions.CancelledError": 2}
    assert count_tracebacks(LOG[: LOG.index("    raise")]) == {"cut off": 1}
    assert count_tracebacks("* Running on local URL\n") == {}
