"""Turns of one caller's requests, so that many at once delay the caller's own and not those of others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from studio.origin import RefusalError

MAX_AT_ONCE = 4
MAX_WAITING = 50
# Seconds in which the body of a call must have arrived.
BODY_SECONDS = 30.0


class Turns:
    """Lets a few requests of each caller be worked on at once, and a bounded number wait."""

    def __init__(self) -> None:
        """Create it without any request."""
        # By caller: the free turns, and the number of requests that have or await one.
        self._callers: dict[str, tuple[asyncio.Semaphore, list[None]]] = {}

    @asynccontextmanager
    async def take(self, caller: str) -> AsyncIterator[None]:
        """Wait for a turn, and keep it during the body of the with statement.

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


async def read_body(receive: Callable[[], Awaitable[dict[str, Any]]]) -> bytes:
    """Return the whole body of a request, whose size was checked.

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
