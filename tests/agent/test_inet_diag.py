"""The codec of inet_diag: captured dumps, everything that may go wrong in them, and nothing but its own errors."""

import contextlib
import gc
import itertools
import socket
import struct
import sys

import pytest
from agent.diag_messages import attribute, encode, framed, listener, sighting
from fleetnet_agent.records import Family, Protocol, State
from fleetnet_agent.sources import inet_diag, sock_diag
from fleetnet_agent.sources.inet_detail import INET_DIAG_INFO
from fleetnet_agent.sources.source import (
    InconsistentError,
    MalformedError,
    RefusedError,
    Sighting,
    SourceError,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import captured

SMALLEST = inet_diag.CODEC.smallest_bytes


def decoded(datagram: bytes, protocol: Protocol = Protocol.TCP) -> list[Sighting]:
    part = inet_diag.read_part(memoryview(datagram))
    sightings = [inet_diag.decode(message, protocol) for message in part.messages]
    assert [one.name for one in sightings] == part.cookies
    return sightings


def line(one: Sighting) -> str:
    def endpoint(address: bytes, port: int) -> str:
        # Not ipaddress, which writes IPv4-mapped addresses otherwise from one Python to the next.
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        return f"{socket.inet_ntop(family, address) if address else '*'} {port}"

    remote = endpoint(one.remote_address, one.remote_port)
    return f"{one.state.name} {endpoint(one.local_address, one.local_port)} > {remote}"


def test_a_captured_dump_of_tcp_shows_what_was_open() -> None:
    assert list(map(line, decoded(captured.TCP))) == [
        "LISTEN :: 9000 > * 0",
        "LISTEN 127.0.0.1 8080 > * 0",
        "LISTEN ::1 8443 > * 0",
        "ESTABLISHED 127.0.0.1 8080 > 127.0.0.1 40001",
        "ESTABLISHED 127.0.0.1 8080 > 127.0.0.1 40002",
        "CLOSE_WAIT ::ffff:127.0.0.1 9000 > ::ffff:127.0.0.1 40003",
        "ESTABLISHED 127.0.0.1 40001 > 127.0.0.1 8080",
        "ESTABLISHED 127.0.0.1 40002 > 127.0.0.1 8080",
        "FIN_WAIT1 127.0.0.1 40003 > 127.0.0.1 9000",
    ]


def test_queues_inodes_uids_and_control_groups_come_along() -> None:
    dual, plain, v6only, accepted, waiting, *_ = decoded(captured.TCP)
    assert (plain.recv_queue, plain.send_queue) == (1, 5)  # one connection waits; the backlog
    assert (accepted.recv_queue, accepted.inode, accepted.uid, accepted.cgroup_id) == (5, 660568, 0, 1)
    assert (waiting.inode, waiting.uid) == (0, 0)
    assert [one.v6only for one in (dual, plain, v6only)] == [False, None, True]


def test_a_mapped_address_keeps_its_sixteen_bytes() -> None:
    mapped = decoded(captured.TCP)[5]
    assert mapped.family is Family.IPV6
    assert mapped.local_address == bytes(10) + b"\xff\xff" + bytes([127, 0, 0, 1])


def test_time_wait_has_no_uid_no_inode_and_no_control_group() -> None:
    (one,) = decoded(captured.TIME_WAIT)
    assert (one.state, one.uid, one.inode, one.cgroup_id) == (State.TIME_WAIT, None, 0, 0)


def test_a_connection_request_has_no_uid_for_the_kernel_fills_in_zero() -> None:
    request = encode(sighting(1, state=State.SYN_RECV, inode=0, uid=0))
    assert inet_diag.decode(request, Protocol.TCP).uid is None


def test_what_is_left_of_a_connection_in_fin_wait2_has_no_uid_either() -> None:
    left = encode(sighting(1, state=State.FIN_WAIT2, inode=0, uid=0), timer=3)
    assert inet_diag.decode(left, Protocol.TCP).uid is None


def test_a_captured_dump_of_udp_shows_bound_and_connected_sockets() -> None:
    bound, connected = decoded(captured.UDP6, Protocol.UDP)
    assert line(bound) == "CLOSE :: 5354 > * 0"
    assert bound.v6only is False
    assert line(connected) == "ESTABLISHED ::1 5355 > ::1 5354"


def test_the_end_of_a_dump_is_told() -> None:
    assert inet_diag.read_part(memoryview(captured.DONE)).last
    assert not inet_diag.read_part(memoryview(captured.TCP)).last
    together = inet_diag.read_part(memoryview(captured.TCP + captured.DONE))
    assert together.last
    assert len(together.messages) == 9


def test_an_error_inside_the_end_of_a_dump_is_a_refusal_and_not_an_empty_table() -> None:
    with pytest.raises(RefusedError, match="ENOENT"):
        inet_diag.read_part(memoryview(captured.NO_HANDLER))


@pytest.mark.parametrize(("number", "error"), [(-22, RefusedError), (-1, RefusedError), (-12, SourceError)])
def test_an_error_message_is_raised_as_what_it_means(number: int, error: type[SourceError]) -> None:
    with pytest.raises(SourceError) as raised:
        inet_diag.read_part(memoryview(framed(struct.pack("=i", number), kind=2)))
    assert raised.type is error


@pytest.mark.parametrize("kind", [18, 3])
def test_a_dump_that_the_kernel_marks_as_inconsistent_is_to_be_read_again(kind: int) -> None:
    message = encode(sighting(1)) if kind == 18 else bytes(4)
    with pytest.raises(InconsistentError):
        inet_diag.read_part(memoryview(framed(message, kind=kind, flags=0x12)))


def test_a_mark_on_one_message_among_equal_ones_is_not_overlooked() -> None:
    good = [framed(encode(sighting(cookie))) for cookie in range(5)]
    with pytest.raises(InconsistentError):
        inet_diag.read_part(memoryview(b"".join([*good, framed(encode(sighting(9)), flags=0x12)])))


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(captured.TCP[:40], id="cut in a message"),
        pytest.param(captured.TCP + b"\1\2\3", id="rest too small for a header"),
        pytest.param(bytes(16), id="length 0"),
        pytest.param(framed(b"", kind=18), id="no socket in a socket message"),
        pytest.param(framed(b"\1\0", kind=2), id="error without its number"),
        pytest.param(framed(bytes(72), kind=99), id="unknown type"),
        pytest.param(framed(bytes(4), kind=4), id="overrun"),
    ],
)
def test_a_datagram_that_is_not_what_the_header_files_say_is_malformed(datagram: bytes) -> None:
    with pytest.raises(MalformedError):
        inet_diag.read_part(memoryview(datagram))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(encode(sighting(1))[:71], id="cut"),
        pytest.param(b"\7" + encode(sighting(1))[1:], id="unknown family"),
        pytest.param(b"\2\x0d" + encode(sighting(1))[2:], id="unknown state"),
        pytest.param(encode(sighting(1)) + struct.pack("=HHI", 200, 21, 0), id="attribute longer than the message"),
        pytest.param(encode(sighting(1)) + struct.pack("=HHI", 3, 21, 0), id="attribute shorter than its header"),
    ],
)
def test_a_message_that_is_not_what_the_header_files_say_is_malformed(message: bytes) -> None:
    with pytest.raises(MalformedError):
        inet_diag.decode(message, Protocol.TCP)


def test_an_answer_to_an_exact_question_is_found_by_its_sequence_number() -> None:
    answers = sock_diag.read_answers(captured.NOT_THERE + framed(encode(sighting(3)), kind=20, sequence=8), SMALLEST)
    assert answers == {12: 2, 8: encode(sighting(3))}


addresses = st.sampled_from([4, 16]).flatmap(lambda width: st.tuples(*[st.binary(min_size=width, max_size=width)] * 2))
numbers = st.integers(0, 2**32 - 1)


@st.composite
def sightings(draw: st.DrawFn) -> Sighting:
    local, remote = draw(addresses)
    remote_port = draw(st.integers(0, 65535))
    state = draw(st.sampled_from(State))
    inode = draw(numbers)
    left = state is State.TIME_WAIT or (state is State.SYN_RECV and inode == 0)
    return Sighting(
        name=draw(st.integers(0, 2**64 - 1)),
        protocol=Protocol.TCP,
        family=Family.IPV4 if len(local) == 4 else Family.IPV6,
        state=state,
        local_address=local,
        local_port=draw(st.integers(0, 65535)),
        remote_address=remote if remote_port or any(remote) else b"",
        remote_port=remote_port,
        interface=draw(numbers),
        v6only=draw(st.none() | st.booleans()),
        recv_queue=draw(numbers),
        send_queue=draw(numbers),
        uid=None if left else draw(numbers),
        inode=inode,
        cgroup_id=draw(st.integers(0, 2**64 - 1)),
    )


@given(sightings())
def test_what_is_encoded_is_decoded_to_the_same(one: Sighting) -> None:
    assert inet_diag.decode(encode(one), Protocol.TCP) == one


@given(st.lists(sightings(), max_size=12))
def test_messages_of_equal_and_of_different_lengths_are_read_alike(many: list[Sighting]) -> None:
    datagram = b"".join(framed(encode(one)) for one in many)
    assert decoded(datagram) == many


@given(st.lists(sightings(), max_size=12, unique_by=lambda one: one.name), st.data())
def test_news_are_the_messages_that_are_not_the_known_ones(many: list[Sighting], data: st.DataObject) -> None:
    messages = {one.name: encode(one) for one in many}
    known = {
        name: data.draw(st.sampled_from([message, message, message[:-1] + bytes([message[-1] ^ 1])]))
        for name, message in messages.items()
        if isinstance(name, int) and data.draw(st.booleans())
    }
    for some in (messages, {name: one for name, one in messages.items() if len(one) == len(encode(many[0]))}):
        part = inet_diag.read_part(memoryview(b"".join(map(framed, some.values()))))
        assert part.news(known) == {name: one for name, one in some.items() if known.get(int(name)) != one}


@given(st.integers(1, 40), st.sampled_from([{}, {"cgroup_id": 0}, {"v6only": True}]))
def test_cookies_of_equally_long_messages_are_found_whatever_the_length(count: int, fields: dict[str, object]) -> None:
    many = [sighting(cookie << 33, **fields) for cookie in range(count)]
    assert decoded(b"".join(framed(encode(one)) for one in many)) == many


@settings(max_examples=300)
@given(st.data())
def test_no_bytes_raise_anything_but_the_sources_errors(data: st.DataObject) -> None:
    base = bytearray(data.draw(st.sampled_from([captured.TCP, captured.UDP6, captured.TIME_WAIT, captured.NOT_THERE])))
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(base) - 1), st.integers(0, 255)), max_size=8)):
        base[at] = value
    datagram = bytes(base[: data.draw(st.integers(0, len(base)))])
    with contextlib.suppress(SourceError):
        for message in inet_diag.read_part(memoryview(datagram)).messages:
            with contextlib.suppress(SourceError):
                inet_diag.decode(message, Protocol.TCP)
    with contextlib.suppress(SourceError):
        sock_diag.read_answers(datagram, SMALLEST)
    with contextlib.suppress(SourceError):
        sock_diag.sequence_of(datagram)


@given(st.binary(max_size=200))
def test_noise_raises_nothing_but_the_sources_errors(noise: bytes) -> None:
    for read in (
        lambda: inet_diag.read_part(memoryview(noise)),
        lambda: sock_diag.read_answers(noise, SMALLEST),
        lambda: inet_diag.decode(noise, Protocol.UDP),
    ):
        with contextlib.suppress(SourceError):
            read()


def test_timers_alone_are_no_lasting_difference() -> None:
    one = sighting(1)
    assert inet_diag.differs_in_timers_only(encode(one), encode(one, timer=1, expires=500))
    assert not inet_diag.differs_lastingly(encode(one), encode(one, timer=1, expires=500))


def test_queues_are_no_lasting_difference_but_a_listeners_backlog_is() -> None:
    assert not inet_diag.differs_lastingly(encode(sighting(1)), encode(sighting(1, recv_queue=9, send_queue=9)))
    assert not inet_diag.differs_in_timers_only(encode(sighting(1)), encode(sighting(1, recv_queue=9)))
    assert not inet_diag.differs_lastingly(encode(listener(1)), encode(listener(1, recv_queue=9)))
    assert inet_diag.differs_lastingly(encode(listener(1)), encode(listener(1, send_queue=9)))


@pytest.mark.parametrize(
    "field", [{"state": State.CLOSE_WAIT}, {"uid": 5}, {"inode": 5}, {"cgroup_id": 5}, {"local_port": 5}]
)
def test_anything_else_is_a_lasting_difference(field: dict[str, object]) -> None:
    assert inet_diag.differs_lastingly(encode(sighting(1)), encode(sighting(1, **field)))


def test_what_was_asked_for_in_detail_is_not_remembered() -> None:
    infos = itertools.count()  # of tcp_info no two are alike, whatever the control group

    def decode_some() -> int:
        for number in itertools.islice(infos, 300):
            details = attribute(INET_DIAG_INFO, struct.pack("=I228x", number))
            inet_diag.decode(encode(sighting(1)) + details, Protocol.TCP)
        gc.collect()
        return sys.getallocatedblocks()

    before = decode_some()
    assert decode_some() - before < 300
