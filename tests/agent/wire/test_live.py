"""Live looks become parts: bounded, standing alone, every item exactly once."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

from agent.scripted_watch import holder, process, tcp
from fleetnet_agent.records import (
    InterfaceCounters,
    LiveItem,
    LiveSocket,
    LiveWanted,
    SocketMemory,
    Statistic,
    TcpInfo,
    Timer,
    Trouble,
)
from fleetnet_agent.wire import live
from fleetnet_proto.v1 import live_pb2

ONE_MIB = 1 << 20
INFO = replace(TcpInfo(*range(1, 18)), congestion_control="cubic")
MEMORY = SocketMemory(*range(21, 30))
COUNTERS = InterfaceCounters(5, "eth0", 1500, 0x1043, *range(2**40, 2**40 + 10))


def parts(*items: LiveItem) -> list[live_pb2.LivePart]:
    clock = itertools.count(1_700_000_000_000_000)
    return [live_pb2.LivePart.FromString(body) for body in live.live_parts(7, items, lambda: next(clock))]


def values(message: object) -> list[object]:
    return [getattr(message, field.name) for field in message.DESCRIPTOR.fields]  # type: ignore[attr-defined]  # any message


def test_every_number_has_its_field() -> None:
    statistic = Statistic(5, "TcpExt", "ListenDrops", -3)
    [part] = parts(LiveSocket(tcp(1), Timer(2, 60_000, 1), INFO, MEMORY), COUNTERS, statistic)
    [row] = part.sockets
    assert (row.socket.key.cookie, row.socket.local_port) == (1_000_001, 443)
    assert values(row.timer) == [2, 60_000, 1]
    assert values(row.tcp) == [getattr(INFO, name) for name in INFO.__slots__]
    assert values(row.memory) == [getattr(MEMORY, name) for name in MEMORY.__slots__]
    assert values(part.interfaces[0]) == [getattr(COUNTERS, name) for name in COUNTERS.__slots__]
    assert values(part.statistics[0]) == [5, "TcpExt", "ListenDrops", -3]
    assert (part.request, part.look_at_us, part.last, part.trouble) == (7, 1_700_000_000_000_000, True, "")


def test_what_is_not_there_is_absent() -> None:
    [part] = parts(LiveSocket(tcp(1)))
    assert not any(part.sockets[0].HasField(name) for name in ("timer", "tcp", "memory"))


def test_the_fields_of_the_records_are_those_of_the_wire() -> None:
    for ours, theirs in (
        (TcpInfo, live_pb2.TcpInfo),
        (SocketMemory, live_pb2.SocketMemory),
        (Timer, live_pb2.Timer),
        (InterfaceCounters, live_pb2.InterfaceCounters),
        (Statistic, live_pb2.Statistic),
        (LiveWanted, live_pb2.LiveWanted),
    ):
        assert list(ours.__slots__) == [field.name for field in theirs.DESCRIPTOR.fields]


def test_nothing_wanted_is_one_part_and_the_last() -> None:
    [part] = parts()
    assert part.last
    assert not part.sockets


def test_many_sockets_come_in_parts_that_stand_alone() -> None:
    holders = [holder(process(100 + n, f"worker{n}")) for n in range(50)]
    found = parts(*(LiveSocket(tcp(n, held_by=holders[n % 50]), None, INFO, MEMORY) for n in range(5_000)))
    assert len(found) > 2
    assert max(part.ByteSize() for part in found) < ONE_MIB
    assert [part.last for part in found] == [False] * (len(found) - 1) + [True]
    assert [row.socket.key.cookie for part in found for row in part.sockets] == [1_000_000 + n for n in range(5_000)]
    assert len({part.look_at_us for part in found}) == len(found), "each tells when it was read"
    for part in found:
        for row in part.sockets:
            owners = part.holders[row.socket.holder].owners
            assert [part.processes[owner].pid for owner in owners] == [100 + (row.socket.key.cookie - 1_000_000) % 50]


def test_a_holder_beyond_all_bounds_still_fits_a_part() -> None:
    crowd = holder(*(process(pid, "x" * 5_000) for pid in range(20_000)))
    found = parts(LiveSocket(tcp(1)), LiveSocket(tcp(2, held_by=crowd), None, INFO), LiveSocket(tcp(3, held_by=crowd)))
    assert max(part.ByteSize() for part in found) < ONE_MIB
    assert sum(len(part.sockets) for part in found) == 3


def test_many_counters_come_in_parts() -> None:
    found = parts(*(Statistic(0, "Tcp" * 50, f"{n}" * 50, n) for n in range(10_000)), *[COUNTERS] * 10_000)
    assert max(part.ByteSize() for part in found) < ONE_MIB
    assert sum(len(part.statistics) for part in found) == 10_000
    assert sum(len(part.interfaces) for part in found) == 10_000


def test_trouble_is_told_in_the_last_part_and_bounded() -> None:
    found = parts(Trouble("udp was not read"), LiveSocket(tcp(1)), *[Trouble("\udcff" * 1_000)] * 50)
    assert len(found) == 1
    assert found[0].trouble.startswith("udp was not read; ")
    assert len(found[0].trouble.encode()) <= 512


def test_a_part_is_made_when_it_is_asked_for() -> None:
    taken = 0

    def items() -> Iterator[LiveItem]:
        nonlocal taken
        for number in range(20_000):
            taken += 1
            yield LiveSocket(tcp(number), None, INFO, MEMORY)

    making = live.live_parts(7, items(), lambda: 1)
    assert taken == 0
    next(making)
    assert 0 < taken < 5_000


def test_a_refusal_is_a_last_part_with_a_sentence() -> None:
    part = live_pb2.LivePart.FromString(live.live_refusal(9, 5, "too soon", 0.2501))
    assert part == live_pb2.LivePart(
        request=9, look_at_us=5, last=True, trouble="too soon", refused=True, retry_after_ms=251
    )
