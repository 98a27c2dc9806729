"""Timers, tcp_info and memory from their bytes, on every kernel's sizes and on no kernel's."""

import contextlib
import struct

import pytest
from agent.diag_messages import attribute
from fleetnet_agent.records import Protocol, SocketMemory, TcpInfo, Timer
from fleetnet_agent.sources.inet_detail import DETAILS, Details, decode_details
from fleetnet_agent.sources.source import MalformedError
from hypothesis import given
from hypothesis import strategies as st

from agent import captured

HEAD = captured.CONNECTED_DETAILED[:72]
INFO, CONG, MEMORY = 2, 4, 7

# ss: timer:(keepalive,59sec,0) skmem:(r0,rb131072,t0,tb2626560,f0,w0,o0,bl0,d0) reno rto:204 rtt:0.019/0.01 mss:35328
# cwnd:10 bytes_sent:1000 bytes_acked:1001 segs_out:3 segs_in:2 delivery_rate 40374857136bps minrtt:0.007
CONNECTED = Details(
    timer=Timer(2, 59_896, 0),
    tcp=TcpInfo(
        rtt_us=19,
        rtt_variation_us=10,
        min_rtt_us=7,
        congestion_window=10,
        slow_start_threshold=0x7FFFFFFF,
        acknowledged_bytes=1001,
        sent_bytes=1000,
        sent_segments=3,
        received_segments=2,
        delivery_rate=5_046_857_142,
        last_sent_ms=104,
        last_received_ms=104,
        send_mss=35_328,
        retransmission_timeout_us=204_000,
        congestion_control="reno",
    ),
    memory=SocketMemory(receive_buffer_bytes=131_072, send_buffer_bytes=2_626_560),
)
# skmem:(r1832,rb131072,t0,tb3939840,f2264,w0,o0,bl0,d0) bytes_received:1000 segs_out:1 segs_in:3
ACCEPTED_MEMORY = SocketMemory(1832, 131_072, 0, 3_939_840, 2264)
# skmem:(r832,rb212992,t0,tb212992,f3264,w0,o0,bl0,d0)
UDP_MEMORY = SocketMemory(832, 212_992, 0, 212_992, 3264)


def attribute_of(message: bytes, kind: int) -> bytes:
    at = 72
    while True:
        size, found = struct.unpack_from("=HH", message, at)
        if found == kind:
            return message[at + 4 : at + size]
        at += (size + 3) & ~3


def decoded(*attributes: bytes, protocol: Protocol = Protocol.TCP) -> Details:
    return decode_details(HEAD + b"".join(attributes), protocol)


def test_the_mask_asks_for_tcp_info_congestion_control_and_memory() -> None:
    # idiag_ext: bit 0 is INET_DIAG_MEMINFO, which is 1
    assert DETAILS == 1 << 1 | 1 << 3 | 1 << 6


def test_a_captured_connection_shows_what_ss_showed() -> None:
    assert decode_details(captured.CONNECTED_DETAILED, Protocol.TCP) == CONNECTED


def test_the_other_end_has_received_and_not_read_all() -> None:
    found = decode_details(captured.ACCEPTED_DETAILED, Protocol.TCP)
    assert found.memory == ACCEPTED_MEMORY
    assert found.tcp
    assert (found.tcp.received_bytes, found.tcp.sent_segments, found.tcp.received_segments) == (1000, 1, 3)
    assert found.tcp.congestion_control == "bbr"


def test_a_captured_listener_has_no_timer_and_the_defaults_of_its_connections() -> None:
    found = decode_details(captured.LISTENING_DETAILED, Protocol.TCP)
    assert found.timer is None
    assert found.tcp == TcpInfo(congestion_window=10, congestion_control="bbr")
    assert found.memory == SocketMemory(receive_buffer_bytes=131_072, send_buffer_bytes=16_384)


def test_a_captured_socket_of_udp_has_memory_alone() -> None:
    found = decode_details(captured.UDP_DETAILED, Protocol.UDP)
    assert (found.timer, found.tcp) == (None, None)
    assert found.memory == UDP_MEMORY


def test_without_extensions_there_are_timers_alone() -> None:
    assert decoded() == Details(CONNECTED.timer, None, None)


@pytest.mark.parametrize("size", [104, 192, 232, 248, 280, 400])
def test_tcp_info_of_other_kernels_is_read_as_far_as_it_is_there(size: int) -> None:
    whole = attribute_of(captured.CONNECTED_DETAILED, INFO)
    found = decoded(attribute(INFO, whole[:size].ljust(min(size, 104), b"\0") + b"\xff" * max(0, size - len(whole))))
    assert found.tcp
    assert CONNECTED.tcp
    assert found.tcp.rtt_us == CONNECTED.tcp.rtt_us
    assert found.tcp.sent_segments == (CONNECTED.tcp.sent_segments if size >= 140 else 0)
    assert found.tcp.sent_bytes == (CONNECTED.tcp.sent_bytes if size >= 208 else 0)


def test_memory_of_a_kernel_that_counts_no_drops_is_read_without_them() -> None:
    found = decoded(attribute(MEMORY, struct.pack("=8I", *range(1, 9))))
    assert found.memory == SocketMemory(1, 2, 3, 4, 5, 6, 7, 8, 0)


def test_a_round_trip_that_was_never_measured_is_not_the_longest_there_is() -> None:
    info = bytearray(attribute_of(captured.CONNECTED_DETAILED, INFO))
    struct.pack_into("=I", info, 148, 0xFFFFFFFF)
    found = decoded(attribute(INFO, bytes(info)))
    assert found.tcp
    assert found.tcp.min_rtt_us == 0


def test_what_another_protocol_has_as_info_is_not_taken_for_tcp_info() -> None:
    assert decoded(attribute(INFO, b"\1" * 200), protocol=Protocol.SCTP).tcp is None


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_each_timer_has_its_number(kind: int) -> None:
    message = bytearray(HEAD)
    message[2], message[3] = kind, 5
    struct.pack_into("=I", message, 52, 204)
    assert decode_details(bytes(message), Protocol.TCP).timer == Timer(kind, 204, 5)


@given(st.binary(max_size=600), st.sampled_from(Protocol))
def test_no_bytes_do_anything_but_decode_or_be_refused(message: bytes, protocol: Protocol) -> None:
    with contextlib.suppress(MalformedError):
        decode_details(message, protocol)


@given(st.lists(st.tuples(st.sampled_from([INFO, CONG, MEMORY, 11, 21]), st.binary(max_size=300)), max_size=6))
def test_whole_attributes_of_any_size_are_taken(found: list[tuple[int, bytes]]) -> None:
    details = decoded(*(attribute(kind, value) for kind, value in found))
    assert (details.tcp is not None) == any(kind == INFO for kind, _ in found)
    assert (details.memory is not None) == any(kind == MEMORY for kind, _ in found)
    if details.tcp:
        assert len(details.tcp.congestion_control) <= 16


@given(st.integers(73, len(captured.CONNECTED_DETAILED) - 1))
def test_a_message_that_was_cut_invents_nothing(size: int) -> None:
    try:
        found = decode_details(captured.CONNECTED_DETAILED[:size], Protocol.TCP)
    except MalformedError:
        return
    assert found.timer == CONNECTED.timer
    assert found.memory in (None, CONNECTED.memory)
    if found.tcp:
        assert found.tcp.rtt_us == (CONNECTED.tcp.rtt_us if CONNECTED.tcp else None)
