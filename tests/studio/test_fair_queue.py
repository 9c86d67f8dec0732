"""The order of the queue's calls, and how many of them one caller may run."""

from types import SimpleNamespace

import pytest

from core.access.roles import Caller, Role
from studio.fair_queue import MAX_CALLS_PER_VISITOR, OWNERS_CALLS, FairQueue

MAX_RUNNING = 60


class Page:
    """Gradio's queue and the page, as far as FairQueue uses them; a caller named owner is the owner."""

    def __init__(self, **limits: int | None):
        self.event_queue_per_concurrency_id = {
            name: SimpleNamespace(queue=[], concurrency_id=name, concurrency_limit=limit, current_concurrency=0)
            for name, limit in limits.items()
        }
        self.active_jobs: list = [None] * MAX_RUNNING
        self._queue = self
        self.fair = FairQueue(self)

    def caller_of(self, request: str, username: str | None) -> Caller:
        return Caller(Role.OWNER if request == "owner" else Role.VISITOR, request)

    def join(self, function: str, *callers: str) -> None:
        for name in callers:
            event = SimpleNamespace(request=name, username=None, concurrency_id=function)
            self.event_queue_per_concurrency_id[function].queue.append(event)

    def start(self) -> str | None:
        """Start the next call and return its caller, or None if none may run."""
        if not (taken := self.fair.get_events()):
            return None
        events, is_batch, function = taken
        assert not is_batch
        self.active_jobs[self.active_jobs.index(None)] = events
        self.event_queue_per_concurrency_id[function].current_concurrency += 1
        return events[0].request

    def start_all(self) -> list[str]:
        return list(iter(self.start, None))

    def end(self, name: str) -> None:
        index = next(i for i, job in enumerate(self.active_jobs) if job and job[0].request == name)
        self.event_queue_per_concurrency_id[self.active_jobs[index][0].concurrency_id].current_concurrency -= 1
        self.active_jobs[index] = None


@pytest.mark.parametrize("name", ["a", ""])
def test_one_visitor_takes_at_most_half_of_a_functions_running_calls(name):
    page = Page(turn=4)
    page.join("turn", *[name] * 100, "b")
    assert page.start_all() == [name, "b", name]
    page.end(name)
    assert page.start_all() == [name], "the next one waits for its turn and is not lost"


def test_visitors_together_leave_a_running_call_to_the_owner():
    page = Page(turn=4)
    page.join("turn", *"abcdefgh", "owner")
    assert page.start_all() == ["owner", "a", "b", "c"]
    page.end("owner")
    assert page.start_all() == []
    page.join("turn", "owner")
    assert page.start_all() == ["owner"]


def test_a_function_with_a_limit_of_one_runs_the_owner_before_visitors():
    page = Page(one=1)
    page.join("one", "a", "owner")
    assert page.start_all() == ["owner"]
    page.end("owner")
    assert page.start_all() == ["a"]


def test_a_visitor_runs_a_bounded_number_of_calls_of_all_functions():
    page = Page(chat=None, list=None)
    page.join("chat", *["a"] * 100)
    page.join("list", *["a"] * 100)
    assert page.start_all() == ["a"] * MAX_CALLS_PER_VISITOR
    page.join("list", "b")
    assert page.start_all() == ["b"]


def test_invented_names_leave_the_owners_calls_free():
    page = Page(chat=None)
    page.join("chat", *map(str, range(200)))
    assert len(page.start_all()) == MAX_RUNNING - OWNERS_CALLS
    page.join("chat", *["owner"] * OWNERS_CALLS)
    assert page.start_all() == ["owner"] * OWNERS_CALLS


def test_the_owner_alone_has_all_running_calls():
    page = Page(turn=4, chat=None)
    page.join("turn", *["owner"] * 9)
    page.join("chat", *["owner"] * 9)
    assert len(page.start_all()) == 13
