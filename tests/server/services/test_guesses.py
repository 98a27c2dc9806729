"""How many refused tokens one address may show, and all together."""

import pytest
from fleetnet_server.errors import TooMuchAtOnce
from fleetnet_server.services.guesses import MOST_SOURCES, OF_ALL_AT_ONCE, OF_ONE_AT_ONCE, Guesses


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guesses(clock: Clock) -> Guesses:
    return Guesses(clock)


def refused(guesses: Guesses, peer: str, times: int) -> None:
    for _ in range(times):
        guesses.check(peer)
        guesses.refused(peer)


def test_who_has_shown_too_many_is_turned_away_until_time_has_passed_and_others_are_not(
    guesses: Guesses, clock: Clock
) -> None:
    refused(guesses, "ipv4:192.0.2.1:50000", OF_ONE_AT_ONCE)
    with pytest.raises(TooMuchAtOnce, match="come back in a minute"):
        guesses.check("ipv4:192.0.2.1:50001")
    guesses.check("ipv4:192.0.2.2:50000")
    clock.now_s += 1.0
    refused(guesses, "ipv4:192.0.2.1:50002", 1)
    with pytest.raises(TooMuchAtOnce):
        guesses.check("ipv4:192.0.2.1:50003")


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("ipv6:%5B2001:db8::1%5D:1", "ipv6:%5B2001:db8::ffff:2%5D:9", "ipv6:%5B2001:db8:0:1::1%5D:1"),
        ("ipv6:[::ffff:192.0.2.1]:1", "ipv4:192.0.2.1:2", "ipv4:192.0.2.3:2"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "ipv6:%5Bfe80::2%25eth0%5D:1", "ipv6:%5Bfe81::1%5D:1"),
        ("unix:", "nonsense", "ipv4:192.0.2.1:1"),
    ],
)
def test_an_address_is_that_of_a_machine(guesses: Guesses, one: str, same: str, other: str) -> None:
    refused(guesses, one, OF_ONE_AT_ONCE)
    with pytest.raises(TooMuchAtOnce):
        guesses.check(same)
    guesses.check(other)


def test_all_addresses_together_are_bounded_and_so_is_what_is_remembered_of_them(
    guesses: Guesses, clock: Clock
) -> None:
    for number in range(OF_ALL_AT_ONCE):
        refused(guesses, f"ipv4:198.18.{number >> 8}.{number & 255}:1", 1)
    with pytest.raises(TooMuchAtOnce):
        guesses.check("ipv4:192.0.2.9:1")
    for number in range(2 * MOST_SOURCES):
        clock.now_s += 0.05  # so that few of them are forgettable
        refused(guesses, f"ipv4:10.{number >> 16}.{number >> 8 & 255}.{number & 255}:1", 1)
    assert len(guesses._of) <= MOST_SOURCES
