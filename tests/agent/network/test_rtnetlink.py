"""The netlink around interfaces and routes: whole or nothing, and no other exception than those of a source."""

import contextlib
import errno
import struct

import pytest
from agent.network.messages import ADDRESS4, ADDRESSES, OBJECTS, ROUTES4, ROUTES6, VETH, attribute, datagram, number
from fleetnet_agent.network import rtnetlink
from fleetnet_agent.network.rtnetlink import RTM_NEWADDR, RTM_NEWLINK, attributes, number_of, read_part
from fleetnet_agent.sources.source import MalformedError, RefusedError, SourceError
from hypothesis import given
from hypothesis import strategies as st


def test_a_datagram_gives_its_messages_and_says_whether_it_was_the_last() -> None:
    part = read_part(datagram(RTM_NEWADDR, *ADDRESSES), RTM_NEWADDR, 7)
    assert (part.bodies, part.last) == (ADDRESSES, False)
    part = read_part(datagram(RTM_NEWADDR, ADDRESS4, done=0), RTM_NEWADDR, 7)
    assert (part.bodies, part.last) == ([ADDRESS4], True)


def test_messages_of_another_request_are_not_taken_for_answers() -> None:
    assert read_part(datagram(RTM_NEWADDR, ADDRESS4, sequence=6, done=0), RTM_NEWADDR, 7) == rtnetlink.Part(
        [], False, False
    )


def test_a_table_that_changed_while_it_was_read_is_marked() -> None:
    assert not read_part(datagram(RTM_NEWADDR, ADDRESS4, done=0), RTM_NEWADDR, 7).spoiled
    for changed in (datagram(RTM_NEWADDR, ADDRESS4, flags=0x12), datagram(RTM_NEWADDR, flags=0x12, done=0)):
        assert read_part(changed, RTM_NEWADDR, 7).spoiled


@pytest.mark.parametrize(
    ("number_", "error"),
    [(errno.EPERM, RefusedError), (errno.EOPNOTSUPP, RefusedError), (errno.ENOBUFS, SourceError)],
)
def test_an_error_inside_the_end_of_a_dump_is_no_empty_table(number_: int, error: type[SourceError]) -> None:
    with pytest.raises(error):
        read_part(datagram(RTM_NEWADDR, done=number_), RTM_NEWADDR, 7)
    refusal = struct.pack("=IHHIIi", 36, 2, 0, 7, 0, -number_) + bytes(16)
    with pytest.raises(error):
        read_part(refusal, RTM_NEWADDR, 7)


def test_a_message_of_another_kind_has_no_place_in_a_dump() -> None:
    with pytest.raises(MalformedError, match="type 16"):
        read_part(datagram(RTM_NEWLINK, VETH), RTM_NEWADDR, 7)


def test_requests_are_whole_netlink_messages_that_ask_for_a_dump() -> None:
    for request in (rtnetlink.LINKS, rtnetlink.ADDRESSES, rtnetlink.NEXT_HOPS, rtnetlink.routes_of(10)):
        size, kind, flags, sequence, port = struct.unpack_from("=IHHII", request.encode(9))
        assert (size, kind, flags, sequence, port) == (len(request.encode(9)), request.kind, 0x301, 9, 0)


def test_attributes_are_found_by_type_without_the_bits_that_say_how_they_are_nested() -> None:
    found = attributes(b"head" + number(4, 1500) + attribute(0x8000 | 18, b"nested"), 4)
    assert (number_of(found, 4), number_of(found, 5), number_of(found, 6, 42)) == (1500, 0, 42)
    assert found[18] == b"nested"


def test_an_attribute_that_claims_too_much_is_refused() -> None:
    for size in (0, 3, 9, 65535):
        with pytest.raises(MalformedError):
            attributes(struct.pack("=HH4x", size, 1), 0)
    with pytest.raises(MalformedError):
        number_of({4: b"\1\2"}, 4)


WHOLE = datagram(RTM_NEWADDR, *ADDRESSES, VETH, *ROUTES4, *ROUTES6, *OBJECTS, done=0)


@given(st.one_of(st.binary(max_size=200), st.builds(WHOLE.__getitem__, st.builds(slice, st.integers(0, len(WHOLE))))))
def test_no_bytes_raise_anything_but_a_source_error(data: bytes) -> None:
    with contextlib.suppress(SourceError):
        read_part(data, RTM_NEWADDR, 7)


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4))
def test_no_damage_raises_anything_but_a_source_error(at: int, damage: bytes) -> None:
    damaged = WHOLE[:at] + damage + WHOLE[at + len(damage) :]
    with contextlib.suppress(SourceError):
        part = read_part(damaged, RTM_NEWADDR, 7)
        assert sum(map(len, part.bodies)) <= len(damaged)
