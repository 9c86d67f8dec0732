"""Closing of connections that send no request, or read no answer, and would use up the process's descriptors.

uvicorn waits for the headers of a request without a limit: a few hundred connections that send a byte now and then use
up the descriptors of a process, and the page can be reached no more. A task in the server's loop checks all
connections every second. Connections with a request in progress are limited by the middleware; this task closes them
only if the caller does not read the answer for `READ_SECONDS`, also after the request was given up. A caller who reads
a few bytes now and then is never silent that long: `limit_wait` bounds the wait of all parts of an answer together.
"""

import asyncio
import heapq
import resource
import time
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn import Server

from core.web.sign_in import network_of

# Seconds in which the headers of a request must have arrived.
HEADER_SECONDS = 20.0
# Seconds for which the rest of an answer may wait for its reader.
READ_SECONDS = 120.0
# Bytes per second at which a stream is read at least, on average over the time that it waits for its reader.
MIN_BYTES_PER_SECOND = 4096
# Connections without a request at a time. Of too many, the oldest of the network with the most are closed first.
MAX_WAITING = 256
_SWEEP_SECONDS = 1.0
_DESCRIPTORS = 65_536


class SlowConnections:
    """Times since when connections have had no request, or an answer that its caller does not read."""

    def __init__(self) -> None:
        """Create it without connections."""
        self._since: dict[Any, float] = {}
        self._unread_since: dict[Any, float] = {}

    def sweep(self, connections: set[Any], now: float) -> list[Any]:
        """Close connections that have sent no request or read nothing for too long, or that are too many.

        Args:
            connections: uvicorn's protocols of all connections.
            now: Time on the monotonic clock.

        Returns:
            The protocols that were closed.
        """
        waiting = [protocol for protocol in connections if _is_waiting(protocol)]
        self._since = {protocol: self._since.get(protocol, now) for protocol in waiting}
        closed = [protocol for protocol, since in self._since.items() if now - since >= HEADER_SECONDS]
        closed += self._excess([protocol for protocol in waiting if protocol not in closed])
        unread = [protocol for protocol in connections if _is_unread(protocol)]
        self._unread_since = {protocol: self._unread_since.get(protocol, now) for protocol in unread}
        closed += [protocol for protocol, since in self._unread_since.items() if now - since >= READ_SECONDS]
        for protocol in closed:
            # Closing would wait until the caller has read the rest.
            protocol.transport.abort()
        return closed

    def _excess(self, waiting: list[Any]) -> list[Any]:
        """Return the connections that are too many."""
        by_network: dict[str, list[Any]] = {}
        # The oldest are at the end.
        for protocol in sorted(waiting, key=self._since.__getitem__, reverse=True):
            by_network.setdefault(_network(protocol), []).append(protocol)
        crowds = [(-len(protocols), network) for network, protocols in by_network.items()]
        heapq.heapify(crowds)
        closed = []
        for _ in range(len(waiting) - MAX_WAITING):
            count, network = heapq.heappop(crowds)
            closed.append(by_network[network].pop())
            heapq.heappush(crowds, (count + 1, network))
        return closed


class SlowReaderError(Exception):
    """The caller reads an answer too slowly, so the rest is not sent."""


def limit_wait(send: Callable[[dict], Awaitable[None]]) -> Callable[[dict], Awaitable[None]]:
    """Return an ASGI send that gives an answer up whose caller reads it too slowly.

    While a message waits for its reader, the source of the next one holds whatever it uses. The wait of all messages
    together may last `READ_SECONDS`, and longer by what `MIN_BYTES_PER_SECOND` allows for the bytes that were sent.

    Args:
        send: ASGI send; what it returns raises SlowReaderError.
    """
    waited, sent = 0.0, 0

    async def send_in_time(message: dict) -> None:
        nonlocal waited, sent
        began, left = time.monotonic(), READ_SECONDS + sent / MIN_BYTES_PER_SECOND - waited
        try:
            await asyncio.wait_for(send(message), max(0.0, left))
        except TimeoutError as error:
            raise SlowReaderError(f"{sent:,} bytes were read while the answer waited {waited + left:.0f} s") from error
        waited += time.monotonic() - began
        sent += len(message.get("body", b""))

    return send_in_time


def close_slow_connections(server: Server) -> None:
    """Start the task in the loop of a server that has started, and let the process have more descriptors.

    Args:
        server: uvicorn's server.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    asyncio.run_coroutine_threadsafe(_watch(server), server.servers[0].get_loop())


async def _watch(server: Server) -> None:
    slow = SlowConnections()
    while not server.should_exit:
        slow.sweep(server.server_state.connections, time.monotonic())
        await asyncio.sleep(_SWEEP_SECONDS)


def _is_waiting(protocol: Any) -> bool:
    """Return whether no request is under way on a connection."""
    return protocol.cycle is None or protocol.cycle.response_complete


def _is_unread(protocol: Any) -> bool:
    """Return whether an answer waits for its reader, or the end of a connection that was closed."""
    return protocol.flow.write_paused or protocol.transport.is_closing()


def _network(protocol: Any) -> str:
    return network_of(protocol.client[0] if protocol.client else "", False)
