"""Slows down guesses at the password: per address, and a little for everybody while many addresses guess.

A right password from an address that has not failed lately is let in at once, whatever others do.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

FREE_FAILURES = 5  # of an address, before it has to wait
LONGEST_WAIT_SECONDS = 300.0
FORGOTTEN_SECONDS = 900.0  # after these without a try, an address begins anew
MOST_ADDRESSES = 10_000  # that are remembered, the latest ones
_CROWD = 50  # failures of all addresses within FORGOTTEN_SECONDS, from which on every try is delayed
_CROWD_DELAY_SECONDS = 1.0


@dataclass
class _Failures:
    count: int
    last: float


def _group(address: str) -> str:
    """Return an IPv4 address as it is, an IPv6 address as its /64, which one customer has as a whole."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    return str(ip_network(f"{parsed}/64", strict=False)) if parsed.version == 6 else str(parsed)


class SignInThrottle:
    """Counts failed tries to sign in.

    A try counts as failed from its beginning until it succeeds, so that tries sent at once do not pass together.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait_seconds(self, address: str) -> float:
        """Return how long an address has to wait before its next try; 0 when it may try now."""
        found = self._found(_group(address))
        if found is None or found.count < FREE_FAILURES:
            return 0.0
        wait = min(2.0 ** (found.count - FREE_FAILURES + 1), LONGEST_WAIT_SECONDS)
        return max(0.0, found.last + wait - self._clock())

    def begin(self, address: str) -> float:
        """Count a try and return the seconds by which its answer is delayed."""
        group, now = _group(address), self._clock()
        found = self._found(group) or _Failures(0, now)
        found.count, found.last = found.count + 1, now
        self._failures[group] = found
        self._failures.move_to_end(group)
        while len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)
        lately = sum(f.count for f in self._failures.values() if now - f.last < FORGOTTEN_SECONDS)
        return _CROWD_DELAY_SECONDS if lately > _CROWD else 0.0

    def succeed(self, address: str) -> None:
        """Forget the failures of an address that signed in."""
        self._failures.pop(_group(address), None)

    def _found(self, group: str) -> _Failures | None:
        found = self._failures.get(group)
        if found is not None and self._clock() - found.last >= FORGOTTEN_SECONDS:
            del self._failures[group]
            return None
        return found
