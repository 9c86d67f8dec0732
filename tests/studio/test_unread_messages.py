"""Messages of pages that never read them, or slowly, or to the end."""

import asyncio
from types import SimpleNamespace

import pytest

from studio import unread_messages
from studio.open_pages import NETWORK_KEY, OpenPages
from studio.unread_messages import UNREAD_SECONDS, PageDroppedError, UnreadMessages, size_of


class Queue:
    """Gradio's queue as far as UnreadMessages uses it."""

    def __init__(self):
        self.pending_event_ids_session: dict[str, set[str]] = {}
        self.cleaned: list[str] = []

    async def clean_events(self, session_hash: str) -> None:
        self.cleaned.append(session_hash)


def test_unread_pages_beyond_the_limit_are_dropped_and_readers_stay():
    async def crowd() -> tuple[UnreadMessages, Queue]:
        queue = Queue()
        unread = UnreadMessages(queue, max_pages=3)
        for i in range(8):
            queue.pending_event_ids_session[f"page{i}"] = {f"call{i}"}
            unread[f"page{i}"] = "messages"
            if i in (0, 1):
                unread.mark_reading((f"page{i}", f"call{i}")[i])
        await asyncio.sleep(0)
        return unread, queue

    unread, queue = asyncio.run(crowd())
    assert list(unread) == ["page0", "page1", "page5", "page6", "page7"]
    assert queue.cleaned == ["page2", "page3", "page4"]
    assert set(queue.pending_event_ids_session) == set(unread)


def test_unread_pages_beyond_the_limit_are_those_of_the_caller_with_most():
    async def call() -> list[str]:
        unread = UnreadMessages(Queue(), max_pages=3, caller_of=lambda session: session[0])
        for session in ("visitor", "flood 1", "flood 2", "flood 3", "flood 4"):
            unread[session] = asyncio.Queue()
        return list(unread)

    assert asyncio.run(call()) == ["visitor", "flood 3", "flood 4"]


def test_unread_pages_of_the_owner_and_of_other_networks_are_kept():
    async def call() -> list[str]:
        pages = OpenPages()
        unread = UnreadMessages(Queue(), max_pages=3, pages=pages)
        pages.note_owner("owner")
        for session, network in [("owner", "net"), ("visitor", "home"), *((f"flood {i}", "net") for i in range(9))]:
            pages.note_network(session, SimpleNamespace(scope={NETWORK_KEY: network}))
            unread[session] = asyncio.Queue()
        return list(unread)

    # If two networks have one page each, the older page goes.
    assert asyncio.run(call()) == ["owner", "visitor", "flood 8"]


def test_owner_keeps_answers_that_visitors_pages_leave_no_space_for(monkeypatch):
    monkeypatch.setattr(unread_messages, "MAX_CALLER_BYTES", 400_000)
    monkeypatch.setattr(unread_messages, "MAX_ALL_BYTES", 1_000_000)

    async def fill():
        pages = OpenPages()
        pages.note_owner("owner")
        unread = UnreadMessages(Queue(), pages=pages)
        for session, size in [("owner", 350_000), *((f"page{i}", 100_000) for i in range(50))]:
            unread[session] = None
            unread[session].put_nowait(answer(size))
        return unread["owner"].is_dropped

    assert not asyncio.run(fill())


def test_page_unread_for_long_is_dropped_at_the_next_call():
    async def two_pages() -> list[str]:
        now = [0.0]
        unread = UnreadMessages(Queue(), clock=lambda: now[0])
        unread["old"] = "messages"
        now[0] = UNREAD_SECONDS
        unread["new"] = "messages"
        await asyncio.sleep(0)
        return list(unread)

    assert asyncio.run(two_pages()) == ["new"]


def test_page_read_to_the_end_is_no_longer_counted():
    unread = UnreadMessages(Queue(), max_pages=2)
    unread["a"] = "messages"
    del unread["a"]
    unread["b"] = unread["c"] = "messages"
    assert list(unread) == ["b", "c"]


def answer(size: int) -> SimpleNamespace:
    """Return the message of an answer of about `size` bytes."""
    return SimpleNamespace(output={"data": ["x" * size]})


async def read_all(messages) -> int:
    """Return how many messages are read until the page is asked to reload."""
    for count in range(10_000):
        try:
            await messages.get()
        except PageDroppedError:
            return count
    raise AssertionError("no end")


@pytest.mark.parametrize(("size", "count"), [(240_000, 3_000), (10, 100_000), (5_000_000, 20)])
def test_page_that_reads_nothing_more_keeps_bounded_messages(size, count):
    async def fill():
        unread = UnreadMessages(Queue())
        unread["page"] = None
        unread.mark_reading("page")
        page, largest, same = unread["page"], 0, answer(size)
        for _ in range(count):
            page.put_nowait(same)
            largest = max(largest, page.bytes)
        assert largest <= max(unread_messages.MAX_PAGE_BYTES, size) + 2 * size + 10_000
        assert (page.bytes, unread._bytes, page.qsize()) == (0, 0, 1)
        assert await read_all(page) == 0
        with pytest.raises(PageDroppedError, match="Reload the page"):
            await page.get()

    asyncio.run(fill())


def test_page_that_reads_gets_every_message_in_order():
    async def read():
        unread = UnreadMessages(Queue())
        unread["page"] = None
        page = unread["page"]
        for i in range(3_000):
            page.put_nowait(SimpleNamespace(output=[i, "x" * 50_000]))
            if i % 20 == 19:
                assert [(await page.get()).output[0] for _ in range(20)] == list(range(i - 19, i + 1))
        assert (page.bytes, unread._bytes) == (0, 0)
        # One answer may be larger than what a page may keep.
        page.put_nowait(answer(2 * unread_messages.MAX_PAGE_BYTES))
        assert (await page.get()).output

    asyncio.run(read())


def test_caller_with_many_pages_loses_its_largest_and_others_none(monkeypatch):
    monkeypatch.setattr(unread_messages, "MAX_CALLER_BYTES", 1_000_000)

    async def fill():
        unread = UnreadMessages(Queue(), caller_of=lambda name: name[:1])
        for name in ("a1", "a2", "a3", "a4", "b1"):
            unread[name] = None
            for _ in range(3 if name == "a2" else 2):
                unread[name].put_nowait(answer(120_000))
        return [name for name in unread if unread[name].is_dropped], unread._bytes

    dropped, size = asyncio.run(fill())
    assert dropped == ["a2"]
    assert 900_000 < size < 1_200_000


def test_all_pages_together_are_bounded_and_the_caller_with_the_most_loses(monkeypatch):
    monkeypatch.setattr(unread_messages, "MAX_CALLER_BYTES", 400_000)
    monkeypatch.setattr(unread_messages, "MAX_ALL_BYTES", 1_000_000)

    async def fill():
        unread = UnreadMessages(Queue())
        for i in range(50):
            unread[f"page{i}"] = None
            unread[f"page{i}"].put_nowait(answer(300_000 if i == 1 else 100_000))
            assert unread._bytes <= 1_100_000
        return [name for name in unread if unread[name].is_dropped]

    dropped = asyncio.run(fill())
    assert "page1" in dropped
    assert len(dropped) > 35


def test_page_whose_calls_were_read_is_forgotten_but_not_before_its_next_stream_may_open():
    async def crowd():
        queue, now = Queue(), [0.0]
        unread = UnreadMessages(queue, clock=lambda: now[0])
        for i in range(50):
            session = f"page{i}"
            queue.pending_event_ids_session[session] = {f"call{i}"}
            unread[session] = None
            unread[session].put_nowait(answer(10))
            assert unread.mark_reading(f"call{i}") == session
            await unread[session].get()
            queue.pending_event_ids_session[session].clear()
            unread.end_reading(session)
        # The browser opens its next stream before or after the end of the last one is noted.
        assert len(unread) == 50
        now[0] = UNREAD_SECONDS
        unread["another"] = None
        # A call sends a notice after its page has gone.
        unread["page0"].put_nowait(answer(10))
        assert queue.cleaned == [], "a page that makes its next call now would lose it"
        return list(unread), list(unread._unread), len(queue.pending_event_ids_session), unread._bytes

    assert asyncio.run(crowd()) == (["another"], ["another"], 0, 0)


def test_page_that_stops_reading_counts_as_unread_again():
    async def stop():
        now, queue = [0.0], Queue()
        unread = UnreadMessages(queue, clock=lambda: now[0])
        queue.pending_event_ids_session["page"] = {"call"}
        unread["page"] = None
        unread.end_reading(unread.mark_reading("page"))
        assert list(unread) == ["page"]
        now[0] = UNREAD_SECONDS
        unread["other"] = None
        return list(unread)

    assert asyncio.run(stop()) == ["other"]


def test_dropped_page_gets_an_error_at_once():
    async def wait():
        unread = UnreadMessages(Queue())
        unread["page"] = None
        reading = asyncio.create_task(unread["page"].get())
        await asyncio.sleep(0)
        del unread["page"]
        with pytest.raises(PageDroppedError):
            await asyncio.wait_for(reading, 1)

    asyncio.run(wait())


def test_size_counts_texts_at_any_depth():
    assert size_of({"a": [{"b": "x" * 1_000}, ("é" * 1_000, None)]}) > 2_000
    assert size_of("😀" * 1_000) > 4_000
