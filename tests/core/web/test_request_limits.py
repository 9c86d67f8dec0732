"""Limits of one caller's requests."""

import asyncio

import pytest

from core.web import request_limits
from core.web.origin import RefusalError
from core.web.request_limits import MAX_AT_ONCE, MAX_BODY_BYTES, MAX_WAITING, RequestLimits, read_body


def test_a_few_requests_of_one_caller_are_worked_on_at_once_and_those_of_others_too():
    async def crowd():
        made, at_once, most, refused = RequestLimits(), {"a": 0, "b": 0}, {"a": 0, "b": 0}, []

        async def request(name):
            try:
                async with made.admit(name):
                    at_once[name] += 1
                    most[name] = max(most[name], at_once[name])
                    await asyncio.sleep(0.001)
                    at_once[name] -= 1
            except RefusalError as refusal:
                refused.append((name, refusal.status, refusal.reason))

        await asyncio.gather(*(request(name) for name in ["a"] * (MAX_AT_ONCE + MAX_WAITING + 3) + ["b"] * 10))
        return most, refused, made._callers

    most, refused, left = asyncio.run(crowd())
    assert most == {"a": MAX_AT_ONCE, "b": MAX_AT_ONCE}
    reason = "50 of your requests wait already. Send the next ones when some have ended."
    assert refused == [("a", 429, reason)] * 3
    assert left == {}


def test_a_failed_or_cancelled_request_is_no_longer_counted():
    async def fail():
        made = RequestLimits()
        for _ in range(2 * MAX_AT_ONCE):
            with pytest.raises(ValueError, match="x"):
                async with made.admit("a"):
                    raise ValueError("x")
        return made._callers

    assert asyncio.run(fail()) == {}


def test_body_is_read_whole_and_one_that_does_not_come_is_refused(monkeypatch):
    parts = [{"body": b"a", "more_body": True}, {"body": b"b", "more_body": True}, {"type": "http.disconnect"}]

    async def receive():
        return parts.pop(0)

    assert asyncio.run(read_body(receive)) == b"ab"
    monkeypatch.setattr(request_limits, "BODY_SECONDS", 0.01)
    with pytest.raises(RefusalError, match="Send it again") as refused:
        asyncio.run(read_body(asyncio.Event().wait))
    assert refused.value.status == 408


def test_bodies_of_one_caller_under_way_are_bounded_and_those_of_others_not():
    async def crowd():
        made, ready, size = RequestLimits(), asyncio.Event(), MAX_BODY_BYTES // 16

        async def receive():
            await ready.wait()
            return {"body": b"a"}

        tasks = [asyncio.create_task(made.read("a", size, receive)) for _ in range(50)]
        await asyncio.sleep(0)
        other = asyncio.create_task(made.read("b", size, receive))
        ready.set()
        answers = await asyncio.gather(*tasks, other, return_exceptions=True)
        assert await made.read("a", size, receive) == b"a", "what has arrived is no longer counted"
        return answers, made._bodies

    answers, left = asyncio.run(crowd())
    assert answers[:16] == [b"a"] * 16
    assert answers[-1] == b"a"
    assert all(isinstance(each, RefusalError) and each.status == 429 for each in answers[16:-1])
    assert "under way" in answers[16].reason
    assert not left
