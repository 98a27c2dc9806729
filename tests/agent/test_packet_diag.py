"""The codec of packet_diag: a captured dump, what may be wrong in one, and nothing but its own errors."""

import contextlib
import dataclasses
import struct

import pytest
from agent.diag_messages import framed
from agent.family_messages import encode_packet, packet
from fleetnet_agent.records import Family, Protocol, SocketType, State
from fleetnet_agent.sources import packet_diag
from fleetnet_agent.sources.source import MalformedError, RefusedError, Sighting, SourceError
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import captured

CODEC = packet_diag.CODEC


def decoded(datagram: bytes) -> list[Sighting]:
    part = packet_diag.read_part(memoryview(datagram))
    sightings = [packet_diag.decode(message, Protocol.PACKET) for message in part.messages]
    assert [one.name for one in sightings] == part.cookies
    assert [one.inode for one in sightings] == [packet_diag.inode_of(message) for message in part.messages]
    return sightings


def test_a_captured_dump_shows_what_was_open() -> None:
    bound, everywhere = decoded(captured.PACKET)
    assert (bound.type, bound.local_port, bound.interface) == (SocketType.RAW, 0x0800, 1)
    assert (everywhere.type, everywhere.local_port, everywhere.interface) == (SocketType.DGRAM, 3, 0)
    assert {(one.family, one.state, one.uid) for one in (bound, everywhere)} == {(Family.PACKET, State.CLOSE, 0)}


def test_a_kernel_without_them_is_a_refusal() -> None:
    with pytest.raises(RefusedError):
        packet_diag.read_part(memoryview(captured.NO_HANDLER))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(encode_packet(packet(1))[:15], id="cut"),
        pytest.param(b"\2" + encode_packet(packet(1))[1:], id="another family"),
        pytest.param(encode_packet(packet(1)) + struct.pack("=HHI", 2, 5, 0), id="attribute shorter than its header"),
    ],
)
def test_a_message_that_is_not_what_the_header_files_say_is_malformed(message: bytes) -> None:
    with pytest.raises(MalformedError):
        packet_diag.decode(message, Protocol.PACKET)


def test_memory_alone_is_no_lasting_difference_and_what_is_not_told_of_it_none_at_all() -> None:
    one = encode_packet(packet(1))
    assert CODEC.differs_in_timers_only(one, encode_packet(packet(1), drops=7))
    assert not CODEC.differs_lastingly(one, encode_packet(packet(1, recv_queue=768), drops=7))
    assert not CODEC.differs_in_timers_only(one, encode_packet(packet(1, recv_queue=768)))


@pytest.mark.parametrize("field", [{"local_port": 3}, {"uid": 5}, {"inode": 5}, {"interface": 5}, {"uid": None}])
def test_anything_else_is_a_lasting_difference(field: dict[str, object]) -> None:
    assert CODEC.differs_lastingly(encode_packet(packet(1)), encode_packet(packet(1, **field)))
    assert not CODEC.differs_in_timers_only(encode_packet(packet(1)), encode_packet(packet(1, **field)))


numbers = st.integers(0, 2**32 - 1)


@st.composite
def sightings(draw: st.DrawFn) -> Sighting:
    return dataclasses.replace(
        packet(draw(st.integers(0, 2**64 - 1))),
        type=draw(st.sampled_from(SocketType)),
        local_port=draw(st.integers(0, 65535)),
        interface=draw(numbers),
        inode=draw(numbers),
        uid=draw(st.none() | numbers),
        recv_queue=draw(numbers),
    )


@given(st.lists(sightings(), max_size=8))
def test_what_is_encoded_is_decoded_to_the_same(many: list[Sighting]) -> None:
    assert decoded(b"".join(framed(encode_packet(one), kind=20) for one in many)) == many


@settings(max_examples=200)
@given(st.data())
def test_no_bytes_raise_anything_but_the_sources_errors(data: st.DataObject) -> None:
    base = bytearray(captured.PACKET)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(base) - 1), st.integers(0, 255)), max_size=8)):
        base[at] = value
    with contextlib.suppress(SourceError):
        for message in packet_diag.read_part(memoryview(base[: data.draw(st.integers(0, len(base)))])).messages:
            check_one(message)


@given(st.binary(max_size=200))
def test_noise_raises_nothing_but_the_sources_errors(noise: bytes) -> None:
    with contextlib.suppress(SourceError):
        packet_diag.read_part(memoryview(noise))
    check_one(noise)


def check_one(message: bytes) -> None:
    """What was decoded once, the rest of the codec takes without an error."""
    with contextlib.suppress(SourceError):
        one = packet_diag.decode(message, Protocol.PACKET)
        assert CODEC.queues_of(message) == (one.recv_queue, 0)
        assert CODEC.state_of(message) == one.state
        assert CODEC.differs_in_timers_only(message, message)
        assert not CODEC.differs_lastingly(message, message)
