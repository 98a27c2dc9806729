"""What a host kept is checked and bounded before anything else sees it."""

from collections.abc import Callable

import pytest
from fleetnet_proto.v1 import network_pb2, report_pb2, sockets_pb2
from fleetnet_server import records
from fleetnet_server.errors import BadBatch
from fleetnet_server.rpc import bounds, translate_report, translate_sockets

from server import messages

FROM_US, TO_US = 1_767_323_045_000_000, 1_767_326_645_000_000
GAP = report_pb2.Gap(from_us=FROM_US, to_us=TO_US)
EXACT = sockets_pb2.CLOSED_AT_IS_EXACT


def batch(*sockets: report_pb2.PastSocket) -> report_pb2.Batch:
    return messages.backlog(7, GAP, *sockets)


def backlog(message: report_pb2.Batch) -> records.Backlog:
    told = translate_report.batch(message).backlog
    assert told is not None
    return told


def test_a_backlog_comes_through_with_the_boot_it_is_about() -> None:
    message = batch(messages.past(messages.listener(443), FROM_US + 5, FROM_US + 9))
    message.backlog.boot_id = b"\x07" * 16
    message.backlog.last = True
    key = sockets_pb2.SocketKey(protocol=sockets_pb2.PROTOCOL_UDP, cookie=9)
    message.backlog.ended.add(key=key, closed_at_us=FROM_US + 3, closed_at_is=EXACT)
    got = backlog(message)
    assert (got.from_us, got.to_us, got.boot_id, got.last) == (FROM_US, TO_US, b"\x07" * 16, True)
    [past] = got.sockets
    assert (past.socket.local_port, past.socket.holder.unit) == (443, "nginx.service")
    assert (past.socket.opened_at_us, past.closed_at_us, past.closed_at_is) == (FROM_US + 5, FROM_US + 9, EXACT)
    assert got.ended == (records.ClosedSocket(records.SocketKey(0, 17, 9, 0, b""), FROM_US + 3, EXACT),)


def test_of_a_socket_that_was_open_at_the_end_of_the_gap_there_is_no_end() -> None:
    [past] = backlog(batch(messages.past(messages.listener(443), FROM_US + 5))).sockets
    assert (past.closed_at_us, past.closed_at_is) == (0, 0)


def test_one_socket_may_have_been_in_several_states() -> None:
    one = messages.listener(443)
    got = backlog(batch(messages.past(one, FROM_US + 1, FROM_US + 2), messages.past(one, FROM_US + 3)))
    assert [past.socket.opened_at_us for past in got.sockets] == [FROM_US + 1, FROM_US + 3]


@pytest.mark.parametrize(
    ("opened_at_us", "closed_at_us", "kept"),
    [
        (TO_US + 9, TO_US + 10, (TO_US, TO_US)),
        (FROM_US + 9, TO_US + 1, (FROM_US + 9, TO_US)),
        (FROM_US + 9, FROM_US + 5, (FROM_US + 9, FROM_US + 9)),
        (2**63 - 1, 2**63 - 1, (TO_US, TO_US)),
        (1, 2, (1, 2)),
    ],
)
def test_times_are_brought_into_their_range(opened_at_us: int, closed_at_us: int, kept: tuple[int, int]) -> None:
    [past] = backlog(batch(messages.past(messages.listener(443), opened_at_us, closed_at_us))).sockets
    assert (past.socket.opened_at_us, past.closed_at_us) == kept


def test_a_gap_that_a_clock_turned_round_is_named_in_order_as_it_was_recorded() -> None:
    message = batch()
    message.backlog.from_us, message.backlog.to_us = TO_US, FROM_US
    got = backlog(message)
    declared = messages.batch(1)
    declared.gaps.add(from_us=TO_US, to_us=FROM_US, reason="collector unreachable", kept=True)
    [gap] = translate_report.batch(declared).gaps
    assert (got.from_us, got.to_us) == (gap.from_us, gap.to_us) == (FROM_US, TO_US)
    assert gap.kept


WRONG: dict[str, Callable[[report_pb2.Batch], object]] = {
    "a new socket besides": lambda b: b.opened.append(messages.listener(80)),
    "a changed socket besides": lambda b: b.changed.append(messages.listener(80)),
    "an ended socket besides": lambda b: b.closed.add(
        key=sockets_pb2.SocketKey(protocol=sockets_pb2.PROTOCOL_TCP, cookie=1)
    ),
    "a source besides": lambda b: b.sources.add(name="tcp", ok=True),
    "a gap besides": lambda b: b.gaps.add(from_us=1, to_us=2),
    "a namespace besides": lambda b: b.namespaces.append(network_pb2.Namespace(netns=1)),
    "a namespace that is gone besides": lambda b: b.namespaces_gone.append(1),
    "a part of a snapshot": lambda b: b.snapshot.CopyFrom(report_pb2.SnapshotPart(part=0, last=True)),
    "a boot of 15 bytes": lambda b: setattr(b.backlog, "boot_id", b"x" * 15),
    "no boot": lambda b: setattr(b.backlog, "boot_id", b""),
    "no beginning of the gap": lambda b: setattr(b.backlog, "from_us", 0),
    "an end of the gap before 1970": lambda b: setattr(b.backlog, "to_us", -1),
    "a socket without a beginning": lambda b: setattr(b.backlog.sockets[0].socket, "opened_at_us", 0),
    "a socket that ended before 1970": lambda b: setattr(b.backlog.sockets[0], "closed_at_us", -1),
    "an end known in no way": lambda b: setattr(b.backlog.sockets[0], "closed_at_is", 0),
    "an end known in a way of a later version": lambda b: setattr(b.backlog.sockets[0], "closed_at_is", 9),
    "a beginning known in no way": lambda b: setattr(b.backlog.sockets[0].socket, "opened_at_is", 0),
    "a holder that is not there": lambda b: setattr(b.backlog.sockets[0].socket, "holder", 1),
    "an end without a time": lambda b: b.backlog.ended.add(
        key=sockets_pb2.SocketKey(protocol=sockets_pb2.PROTOCOL_TCP, cookie=1), closed_at_is=EXACT
    ),
    "an end of nothing": lambda b: b.backlog.ended.add(closed_at_us=FROM_US + 1, closed_at_is=EXACT),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_is_refused(what: str) -> None:
    message = batch(messages.past(messages.listener(443), FROM_US + 5, FROM_US + 9))
    translate_report.batch(message)
    WRONG[what](message)
    with pytest.raises(BadBatch):
        translate_report.batch(message)


@pytest.mark.parametrize("last", [True, False])
def test_of_what_cannot_be_read_is_known_what_it_told_of_and_whether_more_was_to_come(*, last: bool) -> None:
    message = batch()
    message.backlog.last, message.backlog.boot_id = last, b"none"
    refused = translate_report.refused(message, "it is bad")
    assert (refused.past_us, refused.past_last) == ((FROM_US, TO_US), last)


def test_sockets_of_the_past_are_rows_like_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translate_report, "MAX_ROWS", 2)
    message = batch(*(messages.past(messages.listener(port), FROM_US + 5) for port in (80, 443)))
    assert len(backlog(message).sockets) == 2
    message.backlog.ended.add(
        key=sockets_pb2.SocketKey(protocol=sockets_pb2.PROTOCOL_TCP, cookie=1),
        closed_at_us=FROM_US + 1,
        closed_at_is=EXACT,
    )
    with pytest.raises(BadBatch, match="3 rows"):
        translate_report.batch(message)
    assert translate_report.parts(message) == 2 + 1 + 2  # with a process and a holder


def test_what_a_holder_may_have_is_bounded_in_the_past_too() -> None:
    message = batch(messages.past(messages.listener(443), FROM_US + 5))
    message.holders[0].owners.extend([0] * translate_sockets.MAX_OWNERS)
    with pytest.raises(BadBatch, match="owners"):
        translate_report.batch(message)


def test_a_digest_and_the_clock_that_nothing_sets_come_through() -> None:
    message = messages.batch(1)
    assert (translate_report.batch(message).digest, translate_report.batch(message).look_boottime_us) == (None, 0)
    message.digest.sockets, message.digest.sum = 3, 2**64 - 1
    message.look_boottime_us = 77
    got = translate_report.batch(message)
    assert (got.digest, got.look_boottime_us) == (records.Digest(3, 2**64 - 1), 77)
    message.look_boottime_us = 2**63 - 1
    assert translate_report.batch(message).look_boottime_us == bounds.LAST_US
    message.look_boottime_us = -5
    assert translate_report.batch(message).look_boottime_us == 0
    message.digest.sockets = 2**64 - 1
    with pytest.raises(BadBatch):
        translate_report.batch(message)
