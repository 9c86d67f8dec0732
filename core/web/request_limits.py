"""Limits of HTTP requests per caller, so that many requests of one caller delay only that caller."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from core.web.origin import RefusalError

MAX_AT_ONCE = 4
MAX_WAITING = 50
# Bytes that all bodies of one caller that are being received may declare together.
MAX_BODY_BYTES = 2**22
# Seconds in which the body of a call must have arrived.
BODY_SECONDS = 30.0


class RequestLimits:
    """Limits of each caller: a few requests run at once, and a bounded number wait."""

    def __init__(self) -> None:
        """Create it without any request."""
        # How many more requests may run, and the requests that run or wait, by caller.
        self._callers: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}
        # Declared bytes of the bodies that are being received, by caller.
        self._bodies: Counter[str] = Counter()

    @asynccontextmanager
    async def admit(self, caller: str) -> AsyncIterator[None]:
        """Wait until a request of the caller may run, and count it during the body of the with statement.

        Args:
            caller: Name of the caller, or the address of one without a name.

        Raises:
            RefusalError: Too many requests of the caller wait already.
        """
        free, requests = self._callers.setdefault(caller, (asyncio.Semaphore(MAX_AT_ONCE), []))
        if len(requests) >= MAX_AT_ONCE + MAX_WAITING:
            raise RefusalError(
                429, f"{MAX_WAITING} of your requests wait already. Send the next ones when some have ended."
            )
        requests.append(None)
        try:
            async with free:
                yield
        finally:
            requests.pop()
            if not requests:
                del self._callers[caller]

    async def read(self, caller: str, size: int, receive: Callable[[], Awaitable[dict[str, Any]]]) -> bytes:
        """Return the whole body of a request.

        Args:
            caller: As for `admit`.
            size: Declared bytes of the body.
            receive: ASGI receive.

        Raises:
            RefusalError: It did not arrive in time, more than the declared bytes arrived, or the caller's bodies that
                are being received declare too many bytes.
        """
        if self._bodies[caller] + size > MAX_BODY_BYTES:
            raise RefusalError(
                429, f"More than {MAX_BODY_BYTES:,} bytes of your calls are under way. Send the next ones when some "
                "have arrived.",
            )  # fmt: skip
        self._bodies[caller] += size
        try:
            return await read_body(limit_bytes(receive, size))
        finally:
            self._bodies[caller] -= size
            if not self._bodies[caller]:
                del self._bodies[caller]


def limit_bytes(receive: Callable[[], Awaitable[dict[str, Any]]], limit: int) -> Callable[[], Awaitable[dict]]:
    """Return an ASGI receive that counts the bytes of a body as they arrive, whatever the headers declare.

    Args:
        receive: ASGI receive.
        limit: Bytes that may arrive; the next ones raise RefusalError.
    """
    arrived = 0

    async def receive_counted() -> dict[str, Any]:
        nonlocal arrived
        message = await receive()
        arrived += len(message.get("body", b""))
        if arrived > limit:
            raise RefusalError(
                413, f"More than the {limit:,} bytes that were declared or are allowed arrived as the body of this "
                "request. Send it with its size as content-length.",
            )  # fmt: skip
        return message

    return receive_counted


def limit_time(receive: Callable[[], Awaitable[dict[str, Any]]]) -> Callable[[], Awaitable[dict]]:
    """Return an ASGI receive whose body must have arrived within BODY_SECONDS; the caller may stay longer.

    Args:
        receive: ASGI receive.
    """
    ends, is_whole = time.monotonic() + BODY_SECONDS, False

    async def receive_in_time() -> dict[str, Any]:
        nonlocal is_whole
        if is_whole:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, ends - time.monotonic()))
        except TimeoutError as error:
            raise RefusalError(
                408, f"The body of this request did not arrive within {BODY_SECONDS:.0f} seconds. Send it again."
            ) from error
        is_whole = not message.get("more_body", False)
        return message

    return receive_in_time


async def read_body(receive: Callable[[], Awaitable[dict[str, Any]]]) -> bytes:
    """Return the whole body of a request, whose size `receive` limits.

    Raises:
        RefusalError: It did not arrive in time.
    """

    async def read() -> bytes:
        parts: list[bytes] = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            # A caller who has left sends no more.
            if not message.get("more_body", False):
                return b"".join(parts)

    try:
        return await asyncio.wait_for(read(), BODY_SECONDS)
    except TimeoutError as error:
        raise RefusalError(
            408, f"The body of this call did not arrive within {BODY_SECONDS:.0f} seconds. Send it again."
        ) from error
