"""The codec of unix_diag: a captured dump, what may be wrong in one, and nothing but its own errors."""

import contextlib
import dataclasses
import struct

import pytest
from agent.diag_messages import framed
from agent.family_messages import encode_unix, unix
from fleetnet_agent.records import Protocol, SocketType, State
from fleetnet_agent.sources import sock_diag, unix_diag
from fleetnet_agent.sources.source import InconsistentError, MalformedError, RefusedError, Sighting, SourceError
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import captured

CODEC = unix_diag.CODEC


def decoded(datagram: bytes) -> list[Sighting]:
    part = unix_diag.read_part(memoryview(datagram))
    sightings = [unix_diag.decode(message, Protocol.UNIX) for message in part.messages]
    assert [one.name for one in sightings] == part.cookies
    assert [one.inode for one in sightings] == [unix_diag.inode_of(message) for message in part.messages]
    return sightings


def test_a_captured_dump_shows_what_was_open() -> None:
    bound, client, one, waiting, other, listener = decoded(captured.UNIX)
    assert [each.type for each in (bound, waiting, one)] == [SocketType.DGRAM, SocketType.STREAM, SocketType.SEQPACKET]
    assert (bound.path, bound.recv_queue, bound.uid) == (b"/run/fam.sock", 5, 0)
    assert (client.peer_inode, client.path) == (bound.inode, b"")
    assert client.send_queue > 0
    assert (one.peer_inode, other.peer_inode, other.recv_queue) == (other.inode, one.inode, 3)
    assert waiting.peer_inode == 0
    assert (listener.state, listener.recv_queue, listener.send_queue) == (State.LISTEN, 1, 5)


def test_an_abstract_name_keeps_all_its_bytes_and_a_pathname_loses_the_one_that_ends_it() -> None:
    assert decoded(captured.UNIX)[-1].path == b"\0abs-\xc3\xbc\0x"
    assert decoded(framed(encode_unix(unix(1, path=b"/run/a")), kind=20))[0].path == b"/run/a"


def test_a_name_is_never_longer_than_the_kernel_lets_it_be() -> None:
    assert len(decoded(framed(encode_unix(unix(1, path=b"/" * 300)), kind=20))[0].path) == 108


def test_a_kernel_that_tells_no_uid_leaves_it_unknown() -> None:
    assert decoded(framed(encode_unix(unix(1, uid=None)), kind=20))[0].uid is None


def test_an_exact_question_names_inode_and_cookie() -> None:
    request = unix_diag.get_request(encode_unix(unix(2**40 + 7, inode=55)), Protocol.UNIX, 9)
    assert struct.unpack_from("=IHHI", request) == (len(request), 20, 1, 9)
    assert struct.unpack_from("=BBHIIIQ", request, 16)[4:] == (55, 0x55, 2**40 + 7)


def test_an_error_inside_the_end_of_a_dump_is_a_refusal_and_a_mark_makes_it_to_be_read_again() -> None:
    with pytest.raises(RefusedError, match="ENOENT"):
        unix_diag.read_part(memoryview(captured.NO_HANDLER))
    with pytest.raises(InconsistentError):
        unix_diag.read_part(memoryview(framed(encode_unix(unix(1)), kind=20, flags=0x12)))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(encode_unix(unix(1))[:15], id="cut"),
        pytest.param(b"\2" + encode_unix(unix(1))[1:], id="another family"),
        pytest.param(encode_unix(unix(1, state=State.TIME_WAIT)), id="a state that no UNIX socket has"),
        pytest.param(encode_unix(unix(1)) + struct.pack("=HHI", 200, 7, 0), id="attribute longer than the message"),
    ],
)
def test_a_message_that_is_not_what_the_header_files_say_is_malformed(message: bytes) -> None:
    with pytest.raises(MalformedError):
        unix_diag.decode(message, Protocol.UNIX)


def test_queues_and_half_closing_are_no_lasting_difference() -> None:
    one = unix(1)
    assert unix_diag.differs_in_timers_only(encode_unix(one), encode_unix(one, shutdown=3))
    assert not unix_diag.differs_lastingly(encode_unix(one), encode_unix(unix(1, recv_queue=9, send_queue=9)))
    assert not unix_diag.differs_in_timers_only(encode_unix(one), encode_unix(unix(1, recv_queue=9)))


@pytest.mark.parametrize(
    "field", [{"state": State.CLOSE}, {"uid": 5}, {"inode": 5}, {"peer_inode": 5}, {"path": b"/a"}, {"peer_inode": 0}]
)
def test_anything_else_is_a_lasting_difference(field: dict[str, object]) -> None:
    assert unix_diag.differs_lastingly(encode_unix(unix(1)), encode_unix(unix(1, **field)))
    assert not unix_diag.differs_in_timers_only(encode_unix(unix(1)), encode_unix(unix(1, **field)))


numbers = st.integers(0, 2**32 - 1)
names = st.binary(max_size=107).map(lambda name: name and b"\0" + name) | st.binary(max_size=107).map(
    lambda name: name.replace(b"\0", b"/")
)


@st.composite
def sightings(draw: st.DrawFn) -> Sighting:
    return dataclasses.replace(
        unix(draw(st.integers(0, 2**64 - 1))),
        state=draw(st.sampled_from([State.ESTABLISHED, State.CLOSE, State.LISTEN])),
        type=draw(st.sampled_from(SocketType)),
        path=draw(names),
        inode=draw(numbers),
        peer_inode=draw(numbers),
        uid=draw(st.none() | numbers),
        recv_queue=draw(numbers),
        send_queue=draw(numbers),
    )


@given(st.lists(sightings(), max_size=8))
def test_what_is_encoded_is_decoded_to_the_same(many: list[Sighting]) -> None:
    assert decoded(b"".join(framed(encode_unix(one), kind=20) for one in many)) == many
    assert [CODEC.queues_of(encode_unix(one)) for one in many] == [(one.recv_queue, one.send_queue) for one in many]


@settings(max_examples=300)
@given(st.data())
def test_no_bytes_raise_anything_but_the_sources_errors(data: st.DataObject) -> None:
    base = bytearray(captured.UNIX)
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(base) - 1), st.integers(0, 255)), max_size=8)):
        base[at] = value
    datagram = bytes(base[: data.draw(st.integers(0, len(base)))])
    with contextlib.suppress(SourceError):
        for message in unix_diag.read_part(memoryview(datagram)).messages:
            check_one(message)
    with contextlib.suppress(SourceError):
        sock_diag.read_answers(datagram, CODEC.smallest_bytes)


@given(st.binary(max_size=200))
def test_noise_raises_nothing_but_the_sources_errors(noise: bytes) -> None:
    with contextlib.suppress(SourceError):
        unix_diag.read_part(memoryview(noise))
    check_one(noise)


def check_one(message: bytes) -> None:
    """What was decoded once, the rest of the codec takes without an error."""
    with contextlib.suppress(SourceError):
        one = unix_diag.decode(message, Protocol.UNIX)
        assert len(one.path) <= 108
        assert CODEC.queues_of(message) == (one.recv_queue, one.send_queue)
        assert CODEC.differs_in_timers_only(message, message)
        assert not CODEC.differs_lastingly(message, message)
