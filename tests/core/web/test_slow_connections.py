"""Connections that send no request, or none to the end, are closed; those with a request under way are not."""

import asyncio
import contextlib
import socket
import threading
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import uvicorn

from core.web import request_limits, slow_connections
from core.web.origin import RefusalError
from core.web.request_limits import limit_time
from core.web.slow_connections import HEADER_SECONDS, MAX_WAITING, READ_SECONDS, SlowConnections, close_slow_connections


@dataclass(eq=False)
class Connection:
    """A connection as uvicorn's protocol shows it: without a request, or with one that is answered or not."""

    address: str = "10.0.0.1"
    is_answered: bool | None = None

    def __post_init__(self):
        self.client, self.flow = (self.address, 1), SimpleNamespace(write_paused=False)
        self.transport = SimpleNamespace(abort=lambda: None, is_closing=lambda: False)
        self.cycle = None if self.is_answered is None else SimpleNamespace(response_complete=self.is_answered)


def test_connection_without_a_request_is_closed_in_time():
    slow, idle, answered, working = (
        SlowConnections(),
        Connection(),
        Connection(is_answered=True),
        Connection(is_answered=False),
    )
    everyone = {idle, answered, working}
    assert slow.sweep(everyone, 0.0) == []
    assert slow.sweep(everyone, HEADER_SECONDS - 1) == []
    assert set(slow.sweep(everyone, HEADER_SECONDS)) == {idle, answered}


def test_time_begins_again_after_a_request():
    slow, one = SlowConnections(), Connection()
    slow.sweep({one}, 0.0)
    one.cycle = SimpleNamespace(response_complete=False)
    assert slow.sweep({one}, HEADER_SECONDS + 1) == []
    one.cycle.response_complete = True
    assert slow.sweep({one}, HEADER_SECONDS + 2) == []
    assert slow.sweep({one}, 2 * HEADER_SECONDS + 2) == [one]


def test_connection_whose_answer_is_not_read_is_closed_in_time():
    slow, stuck, slowly = SlowConnections(), Connection(is_answered=False), Connection(is_answered=False)
    left = Connection(is_answered=False)
    stuck.flow.write_paused = slowly.flow.write_paused = True
    left.transport.is_closing = lambda: True
    everyone = {stuck, slowly, left}
    assert slow.sweep(everyone, 0.0) == []
    slowly.flow.write_paused = False
    assert slow.sweep(everyone, READ_SECONDS - 1) == []
    slowly.flow.write_paused = True
    assert set(slow.sweep(everyone, READ_SECONDS)) == {stuck, left}


def test_of_too_many_connections_the_oldest_of_the_largest_network_are_closed_first():
    slow, guest = SlowConnections(), Connection("10.9.9.9")
    old = [Connection() for _ in range(MAX_WAITING - 1)]
    assert slow.sweep({guest, *old}, 0.0) == []
    new = [Connection() for _ in range(10)]
    closed = slow.sweep({guest, *old, *new}, 1.0)
    assert len(closed) == 10
    assert set(closed) <= set(old)


async def stream(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await ENDS.wait()
    await send({"type": "http.response.body", "body": b"last"})


ENDS = asyncio.Event()


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setattr(slow_connections, "HEADER_SECONDS", 0.2)
    monkeypatch.setattr(slow_connections, "_SWEEP_SECONDS", 0.05)
    server = uvicorn.Server(uvicorn.Config(stream, port=0, log_level="critical", lifespan="off", loop="asyncio"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    waited = threading.Event()
    while not server.started:
        waited.wait(0.01)
    close_slow_connections(server)
    yield server
    server.should_exit = True
    thread.join(10)


def test_half_open_requests_are_closed_while_an_answer_goes_on(served):
    address = served.servers[0].sockets[0].getsockname()[:2]
    working, idle, half = (socket.create_connection(address, timeout=10) for _ in range(3))
    working.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    half.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-")
    while b"first" not in working.recv(4096):
        pass
    for each in (idle, half):
        with contextlib.suppress(ConnectionResetError):
            assert each.recv(1) == b""
    served.servers[0].get_loop().call_soon_threadsafe(ENDS.set)
    assert b"last" in working.recv(4096)
    for each in (working, idle, half):
        each.close()


def test_limit_time_refuses_a_slow_body_and_lets_the_caller_stay(monkeypatch):
    monkeypatch.setattr(request_limits, "BODY_SECONDS", 0.1)
    parts = [{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.request", "body": b"b"}]

    async def never():
        await asyncio.sleep(60)

    async def given(messages):
        left = iter(messages)

        async def receive():
            message = next(left, None)
            return message if message else await asyncio.sleep(0.3) or {"type": "http.disconnect"}

        limited = limit_time(receive)
        return [await limited() for _ in range(3)]

    assert [message["type"] for message in asyncio.run(given(parts))][-1] == "http.disconnect"
    with pytest.raises(RefusalError, match="did not arrive within"):
        asyncio.run(given(parts[:1]))
