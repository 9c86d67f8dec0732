"""HTTP client for a judge's server: replies of bounded size and time, and only from the server that the owner named.

The server may be anybody's, and its replies are read in this process. A redirect would send prompts and answers to an
address that the owner did not name, such as one inside this machine's network, so it is a reply without a verdict.
Compressed replies are refused, because a kilobyte may unfold to a megabyte. httpx bounds each wait for a part of a
reply, and a server that sends a byte per minute, of its headers or of its body, keeps it for ever. Here the waits of
one request have one time together, which the network streams of httpcore hold.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

MAX_REPLY_BYTES = 2**20
_PLAIN = "identity"
# A piece is sent within one wait, so that a server that receives slowly is left in time, too.
_PIECE_BYTES = 2**14


class UnboundedReply(Exception):
    """A reply exceeds a limit; the text says which."""


class _Clock(threading.local):
    """End of the request that this thread makes, in seconds of `time.monotonic`."""

    ends = float("inf")

    def __init__(self, seconds: float):
        self.seconds = seconds

    def begin(self, _: httpx.Request) -> None:
        self.ends = time.monotonic() + self.seconds

    def left(self, timeout: float | None) -> float:
        """Return how long the next wait may take.

        Args:
            timeout: Limit of this wait alone; None if there is none.

        Raises:
            httpcore.ReadTimeout: The time is over, as after a wait that was too long.
        """
        left = self.ends - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(f"the reply did not end within {self.seconds:g} seconds")
        return left if timeout is None else min(left, timeout)


class _TimedStream(httpcore.NetworkStream):
    """A connection whose waits end with the time of the request that uses it."""

    def __init__(self, stream: httpcore.NetworkStream, clock: _Clock):
        self._stream, self._clock = stream, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE_BYTES):
            self._stream.write(buffer[start : start + _PIECE_BYTES], self._clock.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._clock.left(timeout))
        return _TimedStream(stream, self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _TimedBackend(httpcore.NetworkBackend):
    """The network, with connections that hold the time of a request."""

    def __init__(self, clock: _Clock):
        self._network, self._clock = httpcore.SyncBackend(), clock

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
        socket_options: Iterable | None = None,
    ) -> httpcore.NetworkStream:  # fmt: skip
        timeout = self._clock.left(timeout)
        return _TimedStream(self._network.connect_tcp(host, port, timeout, local_address, socket_options), self._clock)


class _BoundedStream(httpx.SyncByteStream):
    """The body of a response, which ends with an error beyond its size."""

    def __init__(self, stream: Any):
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for part in self._stream:
            size += len(part)
            if size > MAX_REPLY_BYTES:
                raise UnboundedReply(f"the reply has more than {MAX_REPLY_BYTES:,} bytes")
            yield part

    def close(self) -> None:
        self._stream.close()


def make_client(seconds: float) -> httpx.Client:
    """Return a client that bounds every reply; proxies are those of the environment, as for other programs.

    Args:
        seconds: How long a request may take, from its connection to the last byte of the reply.
    """

    def bound(response: httpx.Response) -> None:
        if response.headers.get("content-encoding", _PLAIN).strip().lower() not in ("", _PLAIN):
            raise UnboundedReply("the reply is compressed, which was not asked for")
        response.stream = _BoundedStream(response.stream)

    clock = _Clock(seconds)
    client = httpx.Client(
        timeout=seconds,
        follow_redirects=False,
        headers={"accept-encoding": _PLAIN},
        event_hooks={"request": [clock.begin], "response": [bound]},
    )
    # httpx has no argument for the network; the proxies of the environment have a transport each, or None.
    for transport in filter(None, (client._transport, *client._mounts.values())):
        transport._pool._network_backend = _TimedBackend(clock)
    return client
