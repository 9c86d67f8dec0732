"""Throttle of password tries: per address, and slightly for everyone while many addresses guess.

After five failures an address waits 2, 4, 8 ... seconds, at most 300. A correct password from an address that has not
failed lately is accepted, at most one second later while many addresses guess.

Behind a proxy the address is the one that the proxy added to `X-Forwarded-For`. Where only the proxy's own address is
known, which the owner shares with everybody, tries are delayed and not refused, and a few are answered at a time.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from starlette.datastructures import Headers

from studio.origin import RefusalError

FREE_FAILURES = 5
MAX_WAIT_SECONDS = 300.0
# An address without a try for this long starts again with free failures.
FORGET_SECONDS = 900.0
# The latest ones are kept, so that memory stays bounded.
MAX_ADDRESSES = 10_000
# More failures than this, of all addresses within FORGET_SECONDS, delay every try.
_CROWD_FAILURES = 50
_CROWD_DELAY_SECONDS = 1.0
# Of tries from an address that is a proxy's: their delay, and how many wait at once, which makes four in a second.
MAX_SHARED_DELAY_SECONDS = 5.0
MAX_SHARED_TRIES = 20


@dataclass
class _Failures:
    """Failed tries of one address: their number and the time of the last, in seconds."""

    count: int
    last: float


def _group(address: str) -> str:
    """Return an IPv4 address unchanged, and the /64 network of an IPv6 address, which one customer owns as a whole."""
    try:
        parsed = ip_address(address)
    except ValueError:
        # Not an address, such as "unknown": kept short.
        return address[:64]
    return str(ip_network(f"{parsed}/64", strict=False)) if parsed.version == 6 else str(parsed)


def network_of(address: str, is_shared: bool) -> str:
    """Return the network by which callers are told apart, from what `address_of` returns; "" if many share it."""
    return "" if is_shared else _group(address)


def address_of(scope: dict, behind_proxy: bool) -> tuple[str, bool]:
    """Return the address of a request, and whether it is a proxy's, so that many callers share it.

    It is the last public address of `X-Forwarded-For`, which a proxy has added; private ones after it are further
    proxies', and the caller may have sent those before. The header counts where the connection comes from the server's
    own network, as a proxy's does.

    Args:
        scope: ASGI scope of the request.
        behind_proxy: Whether the settings name a proxy, as on a Space.
    """
    address = scope["client"][0] if scope.get("client") else "unknown"
    if not behind_proxy or not _is_private(address):
        return address, False
    forwarded = [each.strip() for each in ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")]
    # uvicorn has replaced the address of a proxy on this machine already.
    if forwarded[-1] == address:
        return address, False
    while forwarded and _is_proxy(forwarded[-1]):
        forwarded.pop()
    is_public = bool(forwarded) and not _is_private(forwarded[-1])
    return (forwarded[-1], False) if is_public else (address, True)


def _is_proxy(address: str) -> bool:
    """Return whether an entry of `X-Forwarded-For` is the address of a further proxy, and no word such as "unknown"."""
    try:
        ip_address(address)
    except ValueError:
        return False
    return _is_private(address)


def _is_private(address: str) -> bool:
    """Return whether an address belongs to a network of one's own, or is none."""
    try:
        return not ip_address(address).is_global
    except ValueError:
        return True


class SignInThrottle:
    """Counter of failed tries to sign in.

    A try counts as failed from its beginning until it succeeds, so that tries sent at the same time do not pass
    together.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """Create an empty counter; `clock` returns seconds."""
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._shared_tries = 0

    async def admit(self, address: str, is_shared: bool) -> None:
        """Wait until a try may be answered.

        Args:
            address: The caller's address.
            is_shared: Whether it is a proxy's.

        Raises:
            RefusalError: It comes too soon after failed ones.
        """
        wait = self.wait_seconds(address)
        if not is_shared:
            if wait:
                raise RefusalError(
                    429, f"Too many wrong passwords came from your address. Try again in {math.ceil(wait)} seconds."
                )
            await asyncio.sleep(self.begin(address))
            return
        if self._shared_tries >= MAX_SHARED_TRIES:
            raise RefusalError(
                429, "Too many passwords are tried through the same proxy at the moment. Try again in a few seconds."
            )
        self._shared_tries += 1
        try:
            await asyncio.sleep(max(self.begin(address), min(wait, MAX_SHARED_DELAY_SECONDS)))
        finally:
            self._shared_tries -= 1

    def wait_seconds(self, address: str) -> float:
        """Return how long an address has to wait before its next try; 0 if it may try now."""
        found = self._found(_group(address))
        if found is None or found.count < FREE_FAILURES:
            return 0.0
        wait = min(2.0 ** (found.count - FREE_FAILURES + 1), MAX_WAIT_SECONDS)
        return max(0.0, found.last + wait - self._clock())

    def begin(self, address: str) -> float:
        """Count a try and return the seconds by which its answer is delayed."""
        group, now = _group(address), self._clock()
        found = self._found(group) or _Failures(0, now)
        found.count, found.last = found.count + 1, now
        self._failures[group] = found
        self._failures.move_to_end(group)
        while len(self._failures) > MAX_ADDRESSES:
            self._failures.popitem(last=False)
        lately = sum(f.count for f in self._failures.values() if now - f.last < FORGET_SECONDS)
        return _CROWD_DELAY_SECONDS if lately > _CROWD_FAILURES else 0.0

    def succeed(self, address: str) -> None:
        """Forget the failures of an address that signed in."""
        self._failures.pop(_group(address), None)

    def _found(self, group: str) -> _Failures | None:
        found = self._failures.get(group)
        if found is not None and self._clock() - found.last >= FORGET_SECONDS:
            del self._failures[group]
            return None
        return found
