"""Waiting times after wrong passwords."""

import asyncio

import pytest

from core.web.origin import RefusalError
from core.web.sign_in import (
    FORGET_SECONDS,
    FREE_FAILURES,
    FREE_FAILURES_OF_SITE,
    MAX_ADDRESSES,
    MAX_SHARED_ATTEMPTS,
    MAX_SHARED_DELAY_SECONDS,
    MAX_WAIT_SECONDS,
    SignInThrottle,
    address_of,
    network_of,
)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def throttle(clock):
    return SignInThrottle(clock)


def fail(throttle, address: str, times: int) -> None:
    for _ in range(times):
        throttle.begin(address)


def test_waits_double_after_free_failures_up_to_five_minutes(throttle, clock):
    fail(throttle, "1.2.3.4", FREE_FAILURES - 1)
    assert throttle.wait_seconds("1.2.3.4") == 0
    waits = []
    for _ in range(10):
        throttle.begin("1.2.3.4")
        waits.append(throttle.wait_seconds("1.2.3.4"))
        clock.now += waits[-1]
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, MAX_WAIT_SECONDS, MAX_WAIT_SECONDS]


def test_thirty_guesses_take_more_than_an_hour(throttle, clock):
    for _ in range(30):
        clock.now += throttle.wait_seconds("1.2.3.4")
        throttle.begin("1.2.3.4")
    assert clock.now > 3600


def test_other_address_does_not_wait(throttle):
    fail(throttle, "1.2.3.4", 30)
    assert throttle.wait_seconds("5.6.7.8") == 0
    assert throttle.wait_seconds("1.2.3.4") > 0


def test_failures_are_forgotten_after_success_or_a_quarter_of_an_hour(throttle, clock):
    fail(throttle, "1.2.3.4", 20)
    throttle.succeed("1.2.3.4")
    assert throttle.wait_seconds("1.2.3.4") == 0
    fail(throttle, "1.2.3.4", 20)
    clock.now += FORGET_SECONDS
    assert throttle.wait_seconds("1.2.3.4") == 0


def test_addresses_of_one_ipv6_network_count_together(throttle):
    fail(throttle, "2001:db8:1:2::1", 9)
    assert throttle.wait_seconds("2001:db8:1:2:ffff::9") > 0
    assert throttle.wait_seconds("2001:db8:1:3::1") == 0


@pytest.mark.parametrize("network", ["2001:db8:1:{:x}::1", "2002:808:808:{:x}::{:x}"])
def test_owner_of_many_ipv6_networks_guesses_no_more_than_one_network(throttle, clock, network):
    """A /48 has 65,536 networks; one of 6to4 belongs to each IPv4 address."""
    guesses = 0
    for number in range(5_000):
        address = network.format(number, number)
        guesses += throttle.wait_seconds(address) == 0
        if throttle.wait_seconds(address) == 0:
            throttle.begin(address)
        clock.now += 0.1
    assert FREE_FAILURES_OF_SITE <= guesses < FREE_FAILURES_OF_SITE + 10
    assert throttle.wait_seconds("2001:db8:2::1") == throttle.wait_seconds("8.8.8.8") == 0
    assert len({network_of(network.format(number, number), False) for number in range(100)}) == 1


def test_success_in_a_shared_network_forgets_only_the_own_failures(throttle):
    for number in range(FREE_FAILURES_OF_SITE - 2):
        throttle.begin(f"2001:db8:1:{number:x}::1")
    fail(throttle, "2001:db8:1:ffff::1", 1)
    throttle.succeed("2001:db8:1:ffff::1")
    fail(throttle, "2001:db8:1:fffe::1", 1)
    assert throttle.wait_seconds("2001:db8:1:fffd::1") == 0
    fail(throttle, "2001:db8:1:fffc::1", 1)
    assert throttle.wait_seconds("2001:db8:1:fffd::1") > 0


def test_wait_after_thousands_of_failures_is_a_number(throttle):
    fail(throttle, "1.2.3.4", 5_000)
    assert throttle.wait_seconds("1.2.3.4") == MAX_WAIT_SECONDS


@pytest.mark.parametrize("spelling", ["::ffff:{}", "::FFFF:{}", "64:ff9b::{}", "0:0:0:0:0:ffff:{}"])
def test_ipv4_callers_in_the_spelling_of_ipv6_count_each_by_itself(throttle, spelling):
    fail(throttle, spelling.format("5.6.7.8"), 9)
    assert throttle.wait_seconds(spelling.format("8.8.4.4")) == 0
    assert throttle.wait_seconds("::1") == 0
    assert throttle.wait_seconds("5.6.7.8") > 0
    throttle.succeed("5.6.7.8")
    assert throttle.wait_seconds(spelling.format("5.6.7.8")) == 0


def test_many_addresses_delay_every_try_and_take_bounded_memory(throttle):
    assert throttle.begin("1.2.3.4") == 0
    for i in range(MAX_ADDRESSES + 50):
        throttle.begin(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
    assert throttle.begin("5.6.7.8") == 1
    assert len(throttle._failures) == MAX_ADDRESSES


# Python counts the networks of examples as private, so the public ones are real.
OWN, PROXY, INNER, PUBLIC, OTHER = "127.0.0.1", "10.0.0.7", "10.0.0.8", "8.8.8.8", "9.9.9.9"
NEAR = [OWN, "127.0.0.2", "::1", "::ffff:127.0.0.1", "fe80::1", "fd00::7"]


@pytest.mark.parametrize(
    ("client", "forwarded", "behind_proxy", "expected"),
    [
        (PUBLIC, [], False, (PUBLIC, False)),
        (PUBLIC, [OTHER], False, (PUBLIC, False)),
        (PROXY, [OTHER], False, (PROXY, False)),
        # A caller who is no proxy names any address.
        (PUBLIC, [OTHER], True, (PUBLIC, False)),
        (PROXY, [PUBLIC], True, (PUBLIC, False)),
        ("100.64.0.9", [PUBLIC], True, (PUBLIC, False)),
        (OWN, [PUBLIC], True, (PUBLIC, False)),
        # The caller has sent all but the last one.
        (PROXY, [f"{OTHER}, {PUBLIC}"], True, (PUBLIC, False)),
        (PROXY, [OTHER, PUBLIC], True, (PUBLIC, False)),
        # The last one is a further proxy's.
        (PROXY, [f"{OTHER}, {PUBLIC}, {INNER}"], True, (PUBLIC, False)),
        (PROXY, [f"{PUBLIC}, unknown, {INNER}"], True, (PROXY, True)),
        (PROXY, [INNER], True, (PROXY, True)),
        (PROXY, ["2606:4700::1111"], True, ("2606:4700::1111", False)),
        # uvicorn has replaced the proxy's address by the one that it names.
        (INNER, [INNER], True, (INNER, False)),
        (f"::ffff:{INNER}", [f"::ffff:{INNER}"], True, (INNER, False)),
        # uvicorn has replaced the address, and all callers share that of a further proxy.
        (INNER, [f"{PUBLIC}, {INNER}"], True, (PUBLIC, False)),
        (INNER, [PUBLIC, INNER], True, (PUBLIC, False)),
        (INNER, [f"{OTHER}, {PUBLIC}, {PROXY}, {INNER}"], True, (PUBLIC, False)),
        (INNER, [f"unknown, {INNER}"], True, (INNER, True)),
        (INNER, [f"{PROXY}, {INNER}"], True, (INNER, True)),
        # IPv4 in the spelling of IPv6.
        (f"::ffff:{PUBLIC}", [OTHER], True, (PUBLIC, False)),
        (f"::ffff:{PUBLIC}", [], False, (PUBLIC, False)),
        (f"::ffff:{PROXY}", [f"::ffff:{PUBLIC}"], True, (PUBLIC, False)),
        (PROXY, [f"::ffff:{OTHER}, ::ffff:{PUBLIC}, ::ffff:{INNER}"], True, (PUBLIC, False)),
        (f"::ffff:{INNER}", [f"::ffff:{PUBLIC}, ::FFFF:{INNER}"], True, (PUBLIC, False)),
        *(
            (near, [f"{PUBLIC}, {INNER}"], True, (PUBLIC, False))
            for near in (OWN, "127.0.0.2", "::1", "::ffff:127.0.0.1", "fe80::1%eth0", "fd00::7")
        ),
        *((PROXY, [f"{PUBLIC}, {near}"], True, (PUBLIC, False)) for near in NEAR),
        *((PROXY, [junk], True, (PROXY, True)) for junk in ("", "unknown", f"{PUBLIC},", f"{PUBLIC}:80", "x" * 9_000)),
        (PROXY, [], True, (PROXY, True)),
        (None, [], True, ("unknown", True)),
        (None, [], False, ("unknown", False)),
    ],
)
def test_address_is_the_one_that_the_nearest_proxy_names(client, forwarded, behind_proxy, expected):
    scope = {"type": "http", "client": client and (client, 1), "headers": [(b"x-forwarded-for", each.encode())
                                                                         for each in forwarded]}  # fmt: skip
    assert address_of(scope, behind_proxy) == expected


@pytest.fixture
def sleeps(monkeypatch):
    """Seconds that were slept, in no time."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr("core.web.sign_in.asyncio.sleep", sleep)
    return slept


def test_owner_who_shares_a_proxys_address_is_delayed_and_never_refused(throttle, sleeps):
    fail(throttle, PROXY, 100)
    for _ in range(100):
        asyncio.run(throttle.admit(PROXY, True))
    assert max(sleeps) == MAX_SHARED_DELAY_SECONDS
    with pytest.raises(RefusalError, match="came from your address"):
        asyncio.run(throttle.admit(PROXY, False))


def test_owner_behind_the_same_proxy_as_a_guesser_is_not_delayed(throttle, sleeps):
    fail(throttle, PUBLIC, 30)
    asyncio.run(throttle.admit(OTHER, False))
    assert sleeps == [0]


def test_few_tries_of_a_shared_address_wait_at_once(throttle):
    async def crowd():
        fail(throttle, PROXY, 10)
        tasks = [asyncio.create_task(throttle.admit(PROXY, True)) for _ in range(100)]
        await asyncio.sleep(0)
        refused = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return len(refused), [each for each in results if isinstance(each, RefusalError)]

    count, refusals = asyncio.run(crowd())
    assert count == len(refusals) == 100 - MAX_SHARED_ATTEMPTS
    assert "same proxy" in refusals[0].reason
    assert throttle._shared_attempts == 0
