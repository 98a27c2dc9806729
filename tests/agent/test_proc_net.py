"""The kernel's text files: captured ones, hostile names in them, and nothing but the sources' errors."""

import contextlib
import socket

import pytest
from fleetnet_agent.records import Family, Protocol, SocketType, State
from fleetnet_agent.sources import proc_net
from fleetnet_agent.sources.source import MalformedError, SourceError
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import captured


def test_raw_sockets_have_the_number_of_their_protocol_as_port() -> None:
    (four,) = proc_net.decode_inet(captured.PROC_RAW, Protocol.RAW)
    (six,) = proc_net.decode_inet(captured.PROC_RAW6, Protocol.RAW)
    assert (four.family, four.state, four.local_port) == (Family.IPV4, State.CLOSE, socket.IPPROTO_ICMP)
    assert (four.local_address, four.remote_address) == (bytes([127, 0, 0, 1]), b"")
    assert (six.family, six.state, six.local_port) == (Family.IPV6, State.ESTABLISHED, socket.IPPROTO_ICMPV6)
    assert six.remote_address == socket.inet_pton(socket.AF_INET6, "::1")
    assert (four.name, four.inode, four.uid) == (3805299, 3805299, 0)


def test_queues_stand_in_the_order_send_and_receive() -> None:
    (one,) = proc_net.decode_inet(captured.PROC_RAW.replace(b"00000000:00000000", b"00000100:00000300"), Protocol.RAW)
    assert (one.recv_queue, one.send_queue) == (0x300, 0x100)


def test_packet_sockets_have_type_interface_and_memory() -> None:
    bound, everywhere = proc_net.decode_packet(captured.PROC_PACKET)
    assert (bound.type, bound.local_port, bound.interface) == (SocketType.RAW, 0x0800, 1)
    assert (everywhere.type, everywhere.interface, everywhere.recv_queue) == (SocketType.DGRAM, 0, 768)


def test_unix_sockets_are_told_but_for_those_that_no_process_has_yet() -> None:
    end, bound, listener = proc_net.decode_unix(captured.PROC_UNIX)
    assert [one.state for one in (end, bound, listener)] == [State.ESTABLISHED, State.ESTABLISHED, State.LISTEN]
    assert [one.path for one in (end, bound, listener)] == [b"", b"/run/fam.sock", b"\0abs-\xc3\xbc@x"]
    assert (bound.type, bound.uid) == (SocketType.DGRAM, None)


def test_a_name_with_a_line_feed_makes_no_socket() -> None:
    hostile = captured.PROC_UNIX.replace(b"/run/fam.sock", b"/run/a\nb: 1 2 3\n")
    assert [one.path for one in proc_net.decode_unix(hostile)][1] == b"/run/a\nb: 1 2 3\n"


@pytest.mark.parametrize("decode", [proc_net.decode_packet, lambda text: proc_net.decode_inet(text, Protocol.RAW)])
def test_a_line_that_is_not_understood_is_malformed_and_not_left_out(decode: object) -> None:
    with pytest.raises(MalformedError):
        list(decode(b"heading\nnothing of the sort\n"))  # type: ignore[operator]  # one of the two above


def test_an_empty_file_has_no_sockets() -> None:
    heading = captured.PROC_RAW.split(b"\n")[0] + b"\n"
    assert list(proc_net.decode_inet(heading, Protocol.RAW)) == []
    assert list(proc_net.decode_unix(b"Num RefCount\n")) == []
    assert list(proc_net.decode_packet(b"sk RefCnt\n")) == []


def test_the_protocols_of_the_kernel_are_those_that_it_lists() -> None:
    assert {"TCP", "UNIX", "UDP-Lite"} < proc_net.protocols_of(captured.PROC_PROTOCOLS)
    assert "protocol" not in proc_net.protocols_of(captured.PROC_PROTOCOLS)


FILES = [captured.PROC_RAW, captured.PROC_RAW6, captured.PROC_PACKET, captured.PROC_UNIX, captured.PROC_PROTOCOLS]


@settings(max_examples=300)
@given(st.data())
def test_no_text_raises_anything_but_the_sources_errors(data: st.DataObject) -> None:
    base = bytearray(data.draw(st.sampled_from(FILES)))
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(base) - 1), st.integers(0, 255)), max_size=8)):
        base[at] = value
    check(bytes(base[: data.draw(st.integers(0, len(base)))]))


@given(st.binary(max_size=300))
def test_noise_raises_nothing_but_the_sources_errors(noise: bytes) -> None:
    check(noise)
    check(b"heading\n" + noise)


def check(text: bytes) -> None:
    with contextlib.suppress(SourceError):
        assert all(one.inode for one in proc_net.decode_inet(text, Protocol.RAW))
    with contextlib.suppress(SourceError):
        for one in proc_net.decode_inet(text, Protocol.TCP, nameless=True):
            assert one.name == one.inode or len(one.name) in (12, 36)  # type: ignore[arg-type]  # a name is no number then
    with contextlib.suppress(SourceError):
        assert all(one.inode for one in proc_net.decode_packet(text))
    with contextlib.suppress(SourceError):
        assert all(one.inode and len(one.path) <= 108 for one in proc_net.decode_unix(text))
    proc_net.protocols_of(text)
