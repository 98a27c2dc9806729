"""What a host reports is checked, bounded and resolved before anything else sees it."""

import math
from collections.abc import Callable

import pytest
from fleetnet_proto.v1 import report_pb2, sockets_pb2
from fleetnet_server import records
from fleetnet_server.errors import BadBatch
from fleetnet_server.rpc import translate_report
from fleetnet_server.services import pieces
from hypothesis import given
from hypothesis import strategies as st

from server import messages

LOOK_US = 1_767_323_045_000_000


def batch(*sockets: sockets_pb2.Socket) -> report_pb2.Batch:
    message = messages.batch(1, *(sockets or (messages.listener(443),)))
    message.look_at_us = LOOK_US
    message.previous_look_at_us = LOOK_US - 1_000_000
    return message


def stored(message: report_pb2.Batch) -> int:
    return sum(piece.rows for piece in pieces.cut(translate_report.batch(message)))


def test_owners_count_in_what_a_batch_costs_to_read_to_store_and_to_be_allowed() -> None:
    message = batch()
    before = translate_report.parts(message), stored(message)
    assert translate_report.owners_beyond(message) == 0
    message.processes.extend(messages.process() for _ in range(999))
    for pid, process in enumerate(message.processes):
        process.pid = pid
    message.holders[0].owners[:] = range(1_000)
    assert translate_report.owners_beyond(message) == 999
    assert translate_report.parts(message) == before[0] + 999 + 999  # processes, and that each holds it
    assert stored(message) == before[1] + 999


def test_a_batch_comes_through_with_everything_resolved() -> None:
    message = batch()
    message.closed.append(
        sockets_pb2.ClosedSocket(key=sockets_pb2.SocketKey(protocol=sockets_pb2.PROTOCOL_UDP, cookie=9))
    )
    message.sources.append(report_pb2.SourceStatus(name="tcp", ok=True))
    message.gaps.append(report_pb2.Gap(from_us=LOOK_US - 5, to_us=LOOK_US - 1, reason="queue full"))
    process = records.Process(812, 1_700_000_000_000_000, "nginx", "/usr/sbin/nginx", "nginx")
    holder = records.Holder(0, "root", "nginx.service", "", sockets_pb2.OWNER_STATUS_KNOWN, (process,))
    assert translate_report.batch(message) == records.Batch(
        boot_id=messages.BOOT_ID,
        epoch=1,
        sequence=1,
        look_at_us=LOOK_US,
        previous_look_at_us=LOOK_US - 1_000_000,
        snapshot=None,
        opened=(
            records.Socket(
                key=records.SocketKey(0, 6, 443, 0, b""),
                family=4,
                state=10,
                local_address=bytes(4),
                local_port=443,
                remote_address=b"",
                remote_port=0,
                interface="",
                v6only=None,
                recv_queue=0,
                send_queue=511,
                inode=12_345,
                source=1,
                holder=holder,
                opened_at_us=LOOK_US,
                opened_at_is=sockets_pb2.OPENED_AT_IS_SEEN,
            ),
        ),
        changed=(),
        closed=(records.ClosedSocket(records.SocketKey(0, 17, 9, 0, b""), LOOK_US, sockets_pb2.CLOSED_AT_IS_SEEN),),
        sources=(records.SourceStatus("tcp", True, ""),),
        gaps=(records.Gap(LOOK_US - 5, LOOK_US - 1, "queue full"),),
    )


def test_sockets_of_one_holder_share_its_record() -> None:
    got = translate_report.batch(batch(messages.listener(80), messages.listener(443)))
    assert got.opened[0].holder is got.opened[1].holder


def _set(path: str, value: object) -> Callable[[report_pb2.Batch], None]:
    """Sets a field of the batch, or (with a dot) of its first socket, process or holder."""

    def change(message: report_pb2.Batch) -> None:
        target: object = message
        *steps, name = path.split(".")
        for step in steps:
            target = getattr(target, step)[0] if step != "key" else getattr(target, step)
        setattr(target, name, value)

    return change


def _snapshot_with_ends(message: report_pb2.Batch) -> None:
    message.snapshot.last = True
    message.closed.append(sockets_pb2.ClosedSocket(key=message.opened[0].key))


def _as_unix(**more: object) -> Callable[[report_pb2.Batch], None]:
    """Makes the first socket of the batch a UNIX socket, with some of its fields so."""

    def change(message: report_pb2.Batch) -> None:
        message.opened[0].CopyFrom(unix(**more))

    return change


def unix(**more: object) -> sockets_pb2.Socket:
    fields: dict[str, object] = {
        "key": sockets_pb2.SocketKey(protocol=sockets_pb2.PROTOCOL_UNIX, cookie=5),
        "family": sockets_pb2.FAMILY_UNIX,
        "state": sockets_pb2.STATE_LISTEN,
        "source": sockets_pb2.SOURCE_DIAG,
        "type": sockets_pb2.SOCKET_TYPE_STREAM,
    }
    return sockets_pb2.Socket(**{**fields, **more})  # type: ignore[arg-type]  # the caller names fields


def _twice(message: report_pb2.Batch) -> None:
    message.changed.append(message.opened[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("boot_id", b"short"), "boot id has 5 bytes"),
        (_set("epoch", 0), "epoch is 0"),
        (_set("sequence", 0), "sequence number is 0"),
        (_set("sequence", 2**63), "above"),
        (_set("look_at_us", 0), "time that must be there"),
        (_set("look_at_us", -1), "time that must be there"),
        (_set("opened.family", 5), "family 5"),
        (_set("opened.state", 0), "state 0"),
        (_set("opened.state", 12), "state 12"),
        (_set("opened.local_address", bytes(16)), "addresses of 16 and 0 bytes"),
        (_set("opened.local_address", b""), "addresses of 0 and 0 bytes"),
        (_set("opened.remote_address", bytes(5)), "addresses of 4 and 5 bytes"),
        (_set("opened.local_port", 65_536), "port 65536 is above"),
        (_set("opened.remote_port", 1), "remote port and no remote address"),
        (_set("opened.holder", 1), "a holder that is not in the batch"),
        (_set("opened.source", 0), "source 0"),
        (_set("opened.inode", 2**63), "inode"),
        (_set("opened.opened_at_us", LOOK_US), "opened_at_is 0"),
        (_set("opened.opened_at_is", 5), "opened_at_is 5"),
        (_set("opened.key.protocol", 1), "protocol 1,"),
        (_set("opened.key.cookie", 2**64 - 1), "cookie"),
        (_set("opened.key.cookie", 0), "neither cookie nor inode nor addresses"),
        (_set("opened.key.netns", 2**63), "namespace"),
        (_set("holders.owner_status", 0), "owner status 0"),
        (_set("holders.owner_status", 9), "owner status 9"),
        (_set("processes.pid", 2**31), "pid"),
        (lambda message: message.holders[0].owners.append(1), "a process that is not in the batch"),
        (lambda message: message.opened.extend([message.opened[0]] * 65_536), "65537 rows; at most 65536"),
        (lambda message: message.holders[0].owners.extend([0] * 262_144), "262145 owners"),
        (lambda message: message.sources.extend([report_pb2.SourceStatus()] * 65), "65 sources"),
        (lambda message: message.gaps.extend([report_pb2.Gap()] * 1_025), "1025 gaps"),
        (_snapshot_with_ends, "changed or closed sockets"),
        (_set("opened.source", 4), "source 4"),
        (_set("opened.key.protocol", 256), "protocol 256 has family 4"),
        (_set("opened.family", 17), "protocol 6 has family 17"),
        (_set("opened.type", 4), "type 4"),
        (_set("opened.path", b"/run/x"), "no UNIX socket has a path"),
        (_set("opened.peer_inode", 1), "no UNIX socket has a path or the inode"),
        (_as_unix(path=b"x" * 109), "path of 109 bytes; at most 108"),
        (_as_unix(local_port=1), "a UNIX socket has a port"),
        (_as_unix(local_address=bytes(4)), "addresses of 4 and 0 bytes"),
        (_as_unix(remote_port=1), "remote port and no remote address"),
        (_as_unix(peer_inode=2**63), "inode of the other end"),
        (_as_unix(key=sockets_pb2.SocketKey(protocol=sockets_pb2.PROTOCOL_UNIX, four_tuple=bytes(12))), "neither"),
        (_twice, "named twice"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(change: Callable[[report_pb2.Batch], None], words: str) -> None:
    message = batch()
    change(message)
    with pytest.raises(BadBatch, match=words):
        translate_report.batch(message)


def test_sockets_without_addresses_come_through() -> None:
    packet = sockets_pb2.Socket(
        key=sockets_pb2.SocketKey(netns=7, protocol=sockets_pb2.PROTOCOL_PACKET, cookie=6),
        family=sockets_pb2.FAMILY_PACKET,
        state=sockets_pb2.STATE_CLOSE,
        local_port=0x0003,
        interface="eth0",
        source=sockets_pb2.SOURCE_PROC,
        type=sockets_pb2.SOCKET_TYPE_RAW,
    )
    message = batch(unix(path=b"\0" + b"x" * 107, peer_inode=9), packet)
    message.holders[0].runtime = "docker"
    got = translate_report.batch(message).opened
    assert [(s.key.protocol, s.family, s.type, s.local_address, s.local_port) for s in got] == [
        (256, 1, 1, b"", 0),
        (257, 17, 3, b"", 3),
    ]
    assert (got[0].path, got[0].peer_inode, got[0].holder.runtime) == (b"\0" + b"x" * 107, 9, "docker")


def test_long_names_are_cut_with_a_mark_and_cost_no_socket() -> None:
    message = batch()
    message.processes[0].exe = "/" + "x" * 5_000
    message.holders[0].unit = "u" * 5_000
    holder = translate_report.batch(message).opened[0].holder
    assert len(holder.owners[0].exe) == 1_024
    assert holder.owners[0].exe.endswith("x…")
    assert len(holder.unit) == 256


def test_no_text_holds_a_nul_which_postgresql_cannot_keep() -> None:
    message = batch()
    message.processes[0].name = "a\0b"
    assert translate_report.batch(message).opened[0].holder.owners[0].name == "a\N{REPLACEMENT CHARACTER}b"


def test_times_are_brought_into_their_range() -> None:
    message = batch()
    message.previous_look_at_us = LOOK_US + 5
    message.opened[0].opened_at_us = LOOK_US + 5
    message.opened[0].opened_at_is = sockets_pb2.OPENED_AT_IS_EXACT
    message.gaps.append(report_pb2.Gap(from_us=9, to_us=7))
    got = translate_report.batch(message)
    assert got.previous_look_at_us == LOOK_US
    assert got.opened[0].opened_at_us == LOOK_US
    assert (got.gaps[0].from_us, got.gaps[0].to_us) == (7, 9)


def test_a_socket_without_cookie_is_named_by_its_inode_and_without_both_by_its_addresses() -> None:
    by_inode, by_addresses = messages.listener(80), messages.listener(443)
    by_inode.key.cookie, by_inode.key.inode, by_inode.inode = 0, 77, 0
    by_addresses.key.cookie, by_addresses.key.four_tuple = 0, bytes(12)
    got = translate_report.batch(batch(by_inode, by_addresses)).opened
    assert got[0].key == records.SocketKey(0, 6, 0, 77, b"")
    assert got[0].inode == 77
    assert got[1].key == records.SocketKey(0, 6, 0, 0, bytes(12))


@given(st.integers(1, 2**64 - 1), st.integers(1, 2**64 - 1))
def test_epochs_fit_a_signed_number_and_stay_different(one: int, other: int) -> None:
    def kept(epoch: int) -> int:
        hello = messages.hello(epoch)
        return translate_report.hello(hello).epoch

    assert -(2**63) <= kept(one) < 2**63
    assert (kept(one) == kept(other)) == (one == other)


@pytest.mark.parametrize("interval", [math.nan, -1.0, -math.inf])
def test_an_interval_that_is_none_becomes_zero(interval: float) -> None:
    hello = messages.hello()
    hello.interval_s = interval
    assert translate_report.hello(hello).interval_s == 0.0


def test_a_hello_with_a_wrong_boot_id_or_machine_id_is_refused() -> None:
    hello = messages.hello()
    hello.boot_id = b""
    with pytest.raises(BadBatch, match="boot id"):
        translate_report.hello(hello)
    hello = messages.hello()
    hello.machine_id_hash = b"x"
    with pytest.raises(BadBatch, match="machine id"):
        translate_report.hello(hello)


@given(st.binary(max_size=300))
def test_no_message_at_all_gets_through_unchecked_or_breaks_the_translation(raw: bytes) -> None:
    message = report_pb2.Batch()
    try:
        message.ParseFromString(raw)
    except Exception:  # protobuf has several kinds; none of them is our subject
        return
    try:
        translate_report.batch(message)
    except BadBatch as error:
        assert str(error)  # noqa: PT017  # either outcome is right; a third is what this looks for
