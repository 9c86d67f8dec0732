"""studio/sign_in.py: how long an address waits after wrong passwords."""

import pytest

from studio.sign_in import FORGOTTEN_SECONDS, FREE_FAILURES, LONGEST_WAIT_SECONDS, MOST_ADDRESSES, SignInThrottle


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


def test_first_failures_are_free_and_waits_double_up_to_five_minutes(throttle, clock):
    fail(throttle, "1.2.3.4", FREE_FAILURES - 1)
    assert throttle.wait_seconds("1.2.3.4") == 0
    waits = []
    for _ in range(10):
        throttle.begin("1.2.3.4")
        waits.append(throttle.wait_seconds("1.2.3.4"))
        clock.now += waits[-1]
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS]


def test_thirty_guesses_take_over_an_hour(throttle, clock):
    for _ in range(30):
        clock.now += throttle.wait_seconds("1.2.3.4")
        throttle.begin("1.2.3.4")
    assert clock.now > 3600


def test_right_password_from_elsewhere_is_let_in_at_once(throttle):
    fail(throttle, "1.2.3.4", 30)
    assert throttle.wait_seconds("5.6.7.8") == 0
    assert throttle.wait_seconds("1.2.3.4") > 0


def test_success_or_a_quarter_of_an_hour_forgets_the_failures(throttle, clock):
    fail(throttle, "1.2.3.4", 20)
    throttle.succeed("1.2.3.4")
    assert throttle.wait_seconds("1.2.3.4") == 0
    fail(throttle, "1.2.3.4", 20)
    clock.now += FORGOTTEN_SECONDS
    assert throttle.wait_seconds("1.2.3.4") == 0


def test_addresses_of_one_ipv6_network_are_one(throttle):
    fail(throttle, "2001:db8:1:2::1", 9)
    assert throttle.wait_seconds("2001:db8:1:2:ffff::9") > 0
    assert throttle.wait_seconds("2001:db8:1:3::1") == 0


def test_crowd_of_addresses_delays_every_try_and_takes_bounded_memory(throttle):
    assert throttle.begin("1.2.3.4") == 0
    for i in range(MOST_ADDRESSES + 50):
        throttle.begin(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
    assert throttle.begin("5.6.7.8") == 1
    assert len(throttle._failures) == MOST_ADDRESSES
