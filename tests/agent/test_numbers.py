"""Numbers of network namespaces: the messages about them, and the kernel itself."""

import contextlib
import os
import struct
import subprocess
import uuid
from collections.abc import Iterator

import pytest
from fleetnet_agent.helper.numbers import (
    NLMSG_DONE,
    NLMSG_ERROR,
    RTM_DELNSID,
    RTM_NEWNSID,
    MalformedError,
    NumberNews,
    Numbers,
    Told,
    read,
)
from hypothesis import given
from hypothesis import strategies as st


def message(kind: int, body: bytes, sequence: int = 7) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 0) + body


def numbered(number: int) -> bytes:
    return bytes(4) + struct.pack("=HHi", 8, 1, number)


def test_messages_are_read_one_after_the_other() -> None:
    data = message(RTM_NEWNSID, numbered(5)) + message(RTM_DELNSID, numbered(0)) + message(NLMSG_DONE, bytes(4))
    assert read(data) == [Told(RTM_NEWNSID, 7, 5), Told(RTM_DELNSID, 7, 0), Told(NLMSG_DONE, 7, 0)]


def test_an_error_is_its_positive_number() -> None:
    assert read(message(NLMSG_ERROR, struct.pack("=i", -13))) == [Told(NLMSG_ERROR, 7, 13)]


@given(st.binary(max_size=80))
def test_noise_raises_nothing_but_malformed(noise: bytes) -> None:
    with contextlib.suppress(MalformedError):
        read(noise)


WHOLE = message(RTM_NEWNSID, bytes(4) + struct.pack("=HHi", 8, 9, 1) + struct.pack("=HHi", 8, 1, 5))


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.integers(0, len(WHOLE)))
def test_a_damaged_message_raises_nothing_but_malformed(at: int, value: int, cut: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] = value
    with contextlib.suppress(MalformedError):
        read(bytes(damaged[:cut]))


@pytest.mark.parametrize("body", [b"", bytes(4), bytes(4) + struct.pack("=HH", 4, 1), bytes(4) + b"\xff\xff\1\0"])
def test_a_message_without_its_number_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        read(message(RTM_NEWNSID, body))


@pytest.fixture
def numbers() -> Iterator[Numbers]:
    opened = Numbers()
    yield opened
    opened.close()


@pytest.mark.root
def test_a_namespace_is_given_a_number_and_loses_it_when_it_ends(numbers: Numbers) -> None:
    news = NumberNews()
    name = f"fleetnet-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with open(f"/run/netns/{name}") as namespace:
            assert numbers.of(namespace.fileno()) is None
            numbers.give(namespace.fileno())
            number = numbers.of(namespace.fileno())
            numbers.give(namespace.fileno())  # twice is once
            assert numbers.of(namespace.fileno()) == number
        assert number is not None
        assert number in numbers.all()
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    while number in numbers.all():
        pass
    told = news.take()
    assert told is not None
    assert [given for of, given in told if of == number] == [True, False]
    news.close()
    with pytest.raises(OSError, match="Bad file"):
        numbers.of(-1)
