"""Throttle of wrong passwords and API keys: per address, and slightly for everyone while many addresses guess.

After five failures an address waits 2, 4, 8 ... seconds, at most 300. So does a /48 network of IPv6 after forty: its
owner has 65,536 networks that each count as one address. A correct password from an address that has not failed lately
is accepted, at most one second later while many addresses guess.

Behind a proxy the address is the one that the proxy added to `X-Forwarded-For`. Where only the proxy's own address is
known, which the owner shares with everybody, attempts are delayed and not refused, and a few are answered at a time.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers

from core.web.addresses import group_of, is_private, is_private_address, normal_address, site_of
from core.web.origin import RefusalError

FREE_FAILURES = 5
# Several customers may share a /48 network of IPv6.
FREE_FAILURES_OF_SITE = 40
MAX_WAIT_SECONDS = 300.0
# An address without an attempt for this long starts again with free failures.
FORGET_SECONDS = 900.0
# The latest ones are kept, so that memory stays bounded.
MAX_ADDRESSES = 10_000
# More failures than this, of all addresses within FORGET_SECONDS, delay every attempt.
_CROWD_FAILURES = 50
_CROWD_DELAY_SECONDS = 1.0
# Delay of attempts from an address that is a proxy's, and how many of them wait at once: together four per second.
MAX_SHARED_DELAY_SECONDS = 5.0
MAX_SHARED_ATTEMPTS = 20


@dataclass
class _Failures:
    """Failed attempts of one address: their number and the time of the last, in seconds."""

    count: int
    last: float


def network_of(address: str, is_shared: bool) -> str:
    """Return the network that identifies a caller, from what `address_of` returns; "" if many callers share it.

    Of IPv6 it is the /48: who has one could otherwise be 65,536 callers, with less each than anybody else.
    """
    return "" if is_shared else site_of(address) or group_of(address)


def address_of(scope: dict, behind_proxy: bool) -> tuple[str, bool]:
    """Return the address of a request, and whether it is a proxy's, so that many callers share it.

    It is the last public address of `X-Forwarded-For`, which a proxy has added. Private addresses after it belong to
    further proxies, and those before it may be invented by the caller. The header is used only if the connection comes
    from the server's own network, as that of a proxy does.

    Args:
        scope: ASGI scope of the request.
        behind_proxy: Whether the settings name a proxy, as on a Space.
    """
    address = normal_address(scope["client"][0]) if scope.get("client") else "unknown"
    if not behind_proxy or not is_private(address):
        return address, False
    forwarded = [each.strip() for each in ",".join(Headers(scope=scope).getlist("x-forwarded-for")).split(",")]
    # uvicorn has replaced the address of a proxy on this machine by the last entry. That is a caller's own only where
    # no other entry is before it; otherwise a further proxy has added those.
    if len(forwarded) == 1 and normal_address(forwarded[0]) == address:
        return address, False
    while forwarded and is_private_address(forwarded[-1]):
        forwarded.pop()
    is_public = bool(forwarded) and not is_private(forwarded[-1])
    return (normal_address(forwarded[-1]), False) if is_public else (address, True)


class SignInThrottle:
    """Counter of failed attempts to sign in.

    An attempt counts as failed from its beginning until it succeeds, so that attempts sent at the same time do not pass
    together.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """Create an empty counter; `clock` returns seconds."""
        self._clock = clock
        # By address, and by /48 network of IPv6.
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._sites: OrderedDict[str, _Failures] = OrderedDict()
        self._shared_attempts = 0

    async def admit(self, address: str, is_shared: bool) -> None:
        """Wait until an attempt may be answered.

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
        if self._shared_attempts >= MAX_SHARED_ATTEMPTS:
            raise RefusalError(
                429, "Too many passwords are tried through the same proxy at the moment. Try again in a few seconds."
            )
        self._shared_attempts += 1
        try:
            await asyncio.sleep(max(self.begin(address), min(wait, MAX_SHARED_DELAY_SECONDS)))
        finally:
            self._shared_attempts -= 1

    def wait_seconds(self, address: str) -> float:
        """Return how long an address has to wait before its next attempt; 0 if it may be made now."""
        wait = self._wait(self._failures, group_of(address), FREE_FAILURES)
        site = site_of(address)
        return max(wait, self._wait(self._sites, site, FREE_FAILURES_OF_SITE)) if site else wait

    def begin(self, address: str) -> float:
        """Count an attempt and return the seconds by which its answer is delayed."""
        now = self._clock()
        self._count(self._failures, group_of(address))
        if site := site_of(address):
            self._count(self._sites, site)
        lately = sum(f.count for f in self._failures.values() if now - f.last < FORGET_SECONDS)
        return _CROWD_DELAY_SECONDS if lately > _CROWD_FAILURES else 0.0

    def succeed(self, address: str) -> None:
        """Forget the failures of an address that signed in."""
        own, site = self._failures.pop(group_of(address), None), self._sites.get(site_of(address) or "")
        if own is not None and site is not None:
            site.count = max(0, site.count - own.count)

    def _wait(self, failures: OrderedDict[str, _Failures], group: str, free: int) -> float:
        found = self._found(failures, group)
        if found is None or found.count < free:
            return 0.0
        # A power that is out of reach would be too large for a number.
        wait = min(2.0 ** min(found.count - free + 1, 30), MAX_WAIT_SECONDS)
        return max(0.0, found.last + wait - self._clock())

    def _count(self, failures: OrderedDict[str, _Failures], group: str) -> None:
        found = self._found(failures, group) or _Failures(0, 0.0)
        found.count, found.last = found.count + 1, self._clock()
        failures[group] = found
        failures.move_to_end(group)
        while len(failures) > MAX_ADDRESSES:
            failures.popitem(last=False)

    def _found(self, failures: OrderedDict[str, _Failures], group: str) -> _Failures | None:
        found = failures.get(group)
        if found is not None and self._clock() - found.last >= FORGET_SECONDS:
            del failures[group]
            return None
        return found
