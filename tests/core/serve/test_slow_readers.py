"""Callers who ask for a stream and read nothing of it, or a few bytes now and then, hold nothing for long."""

import contextlib
import json
import socket
import time

import pytest

from core.web import slow_connections

# Together with their log-probabilities, the answers are several times as large as the buffers.
ASKED = {"model": "tiny", "prompt": list(range(3, 20)), "max_tokens": 200, "stream": True, "logprobs": 5, "n": 4}
PATIENCE_SECONDS = 1.5


@pytest.fixture
def small_buffers(api, monkeypatch):
    """Let an answer wait for its reader soon: the kernel keeps little of it, and the server is patient for seconds."""
    monkeypatch.setattr(slow_connections, "READ_SECONDS", PATIENCE_SECONDS)
    listening = api.server.servers[0].sockets[0]
    before = listening.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    yield
    # Linux returns twice the size that was set.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, before // 2)


def ask(api):
    """Return a connection that has asked for a stream, with a small buffer of its own."""
    host, port = api.root.removeprefix("http://").split(":")
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.connect((host, int(port)))
    caller.settimeout(10)
    body = json.dumps(ASKED).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    caller.sendall(head.encode() + body)
    return caller


@pytest.mark.parametrize("reads", [False, True], ids=["nothing", "a little now and then"])
def test_reader_who_is_too_slow_loses_the_stream_and_delays_nobody(api, small_buffers, reads, monkeypatch):
    if reads:
        monkeypatch.setattr(slow_connections, "MIN_BYTES_PER_SECOND", 10**9)
        # The sweep, which closes silent connections, must not be what ends this one.
        monkeypatch.setattr(slow_connections, "_is_unread", lambda protocol: protocol.transport.is_closing())
    received = b""
    with ask(api) as caller, api.client() as other:
        while not api.engine._active:
            time.sleep(0.01)
        connections = set(api.server.server_state.connections)
        other.completions.create(model="tiny", prompt="A sea", max_tokens=2)
        deadline = time.monotonic() + 30
        while connections & api.server.server_state.connections or api.engine._active:
            assert time.monotonic() < deadline
            with contextlib.suppress(ConnectionError):
                received += caller.recv(200) if reads else b""
            time.sleep(0.05)
    assert b"[DONE]" not in received
    assert not reads or received.startswith(b"HTTP/1.1 200")
