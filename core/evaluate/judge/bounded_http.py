"""HTTP client for a judge's server: replies of bounded size and time, and only from the server that the owner named.

The server may be anybody's, and its replies are read in this process. A redirect would send prompts and answers to an
address that the owner did not name, such as one inside this machine's network, so it is a reply without a verdict.
Compressed replies are refused, because a kilobyte may unfold to a megabyte.
"""

import time
from collections.abc import Iterator
from typing import Any

import httpx

MAX_REPLY_BYTES = 2**20
_PLAIN = "identity"


class UnboundedReply(Exception):
    """A reply exceeds a limit; the text says which."""


class _BoundedStream(httpx.SyncByteStream):
    """The body of a response, which ends with an error beyond its size or time."""

    def __init__(self, stream: Any, seconds: float):
        self._stream, self._seconds = stream, seconds

    def __iter__(self) -> Iterator[bytes]:
        size, end = 0, time.monotonic() + self._seconds
        for part in self._stream:
            size += len(part)
            if size > MAX_REPLY_BYTES:
                raise UnboundedReply(f"the reply has more than {MAX_REPLY_BYTES:,} bytes")
            # Each part may arrive in time, and the reply still never end.
            if time.monotonic() > end:
                raise UnboundedReply(f"the reply did not end within {self._seconds:g} seconds")
            yield part

    def close(self) -> None:
        self._stream.close()


def make_client(seconds: float) -> httpx.Client:
    """Return a client that bounds every reply; proxies are those of the environment, as for other programs.

    Args:
        seconds: How long a reply may take, from its first byte to its last, and each wait for a part of it.
    """

    def bound(response: httpx.Response) -> None:
        if response.headers.get("content-encoding", _PLAIN).strip().lower() not in ("", _PLAIN):
            raise UnboundedReply("the reply is compressed, which was not asked for")
        response.stream = _BoundedStream(response.stream, seconds)

    return httpx.Client(
        timeout=seconds, follow_redirects=False, headers={"accept-encoding": _PLAIN}, event_hooks={"response": [bound]}
    )
