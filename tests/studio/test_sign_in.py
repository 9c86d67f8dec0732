"""Waiting times after wrong passwords."""

import pytest

from studio.sign_in import FORGET_SECONDS, FREE_FAILURES, MAX_ADDRESSES, MAX_WAIT_SECONDS, SignInThrottle


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


def test_many_addresses_delay_every_try_and_take_bounded_memory(throttle):
    assert throttle.begin("1.2.3.4") == 0
    for i in range(MAX_ADDRESSES + 50):
        throttle.begin(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
    assert throttle.begin("5.6.7.8") == 1
    assert len(throttle._failures) == MAX_ADDRESSES
