"""What drivers say, from bytes and from this machine's loopback, which has no driver but a link."""

import socket
import struct

import pytest
from fleetnet_agent.network import ethtool
from fleetnet_agent.network.dump import open_own
from hypothesis import given
from hypothesis import strategies as st


def settings(speed: int, duplex: int, words: int = 3) -> bytes:
    """struct ethtool_link_settings and its three masks."""
    return struct.pack("=IIBBBBBBBb", 0x4C, speed, duplex, 0, 0, 0, 0, 0, 0, words).ljust(48 + 36, b"\0")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (settings(10_000, 1), (10_000, 2)),
        (settings(100, 0), (100, 1)),
        (settings(0xFFFFFFFF, 0xFF), (0, 0)),  # SPEED_UNKNOWN, DUPLEX_UNKNOWN
        (settings(1000, 7), (1000, 0)),
        (settings(1000, 1, words=-3), (0, 0)),  # only how large the masks would have to be
        (b"", (0, 0)),
        (settings(1000, 1)[:47], (0, 0)),
    ],
)
def test_speed_and_duplex_are_known_or_not(answer: bytes, said: tuple[int, int]) -> None:
    assert ethtool.decode_settings(answer) == said


def test_a_link_is_there_or_not_or_not_told() -> None:
    assert [ethtool.decode_link_value(a) for a in (struct.pack("=II", 10, 1), struct.pack("=II", 10, 0), b"")] == [
        True,
        False,
        None,
    ]


def test_the_name_of_a_driver_ends_at_its_zero() -> None:
    assert ethtool.decode_driver(struct.pack("=I32s", 3, b"virtio_net\0junk") + bytes(160)) == "virtio_net"
    assert ethtool.decode_driver(struct.pack("=I32s", 3, b"x" * 32)) == "x" * 32
    assert ethtool.decode_driver(b"") == ""


@given(st.binary(max_size=300))
def test_no_answer_raises(answer: bytes) -> None:
    speed, duplex = ethtool.decode_settings(answer)
    assert 0 <= speed < 2**32
    assert duplex in (0, 1, 2)
    ethtool.decode_link_value(answer)
    ethtool.decode_driver(answer)


def test_a_netlink_socket_is_as_good_for_asking_as_any() -> None:
    with open_own() as route, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        assert ethtool.ask(route.fileno(), "lo") == ethtool.ask(datagram.fileno(), "lo")
        assert ethtool.ask(route.fileno(), "lo").link is True


@pytest.mark.parametrize("name", ["nosuch0", "", "x" * 16, "a\0b", "\udcff"])
def test_what_is_no_interface_says_nothing(name: str) -> None:
    with open_own() as route:
        assert ethtool.ask(route.fileno(), name) == ethtool.Said()
