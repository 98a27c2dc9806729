"""Records become batches: bounded, standing alone, every row exactly once."""

import dataclasses
import enum

import pytest
from agent.scripted_watch import WHOLE, ScriptedWatch, holder, process, tcp
from fleetnet_agent import bounded, records
from fleetnet_agent.digest import digest_of
from fleetnet_agent.records import (
    Brief,
    Closed,
    Difference,
    Gap,
    Holder,
    OwnerStatus,
    Process,
    Protocol,
    Snapshot,
    SocketKey,
    State,
)
from fleetnet_agent.wire.batches import MAX_BATCH_ROWS, PART_ROWS, difference_batches, snapshot_batches
from fleetnet_agent.wire.sockets import MAX_OWNERS
from fleetnet_proto.v1 import report_pb2, sockets_pb2

ONE_MIB = 1 << 20
LOOK_US = 1_700_000_000_000_000


def decoded(body: bytes) -> report_pb2.Batch:
    return report_pb2.Batch.FromString(body)


def difference(**what: object) -> Difference:
    return Difference(LOOK_US + 1, LOOK_US, **what)  # type: ignore[arg-type]  # a test's shorthand


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (records.Protocol, sockets_pb2.Protocol),
        (records.Family, sockets_pb2.Family),
        (records.State, sockets_pb2.State),
        (records.SocketType, sockets_pb2.SocketType),
        (records.OwnerStatus, sockets_pb2.OwnerStatus),
        (records.Source, sockets_pb2.Source),
    ],
)
def test_the_numbers_of_the_records_are_those_of_the_wire(ours: type[enum.IntEnum], theirs: type) -> None:
    on_the_wire = {name.removeprefix(f"{_prefix(theirs)}_"): number for name, number in theirs.items() if number}  # type: ignore[attr-defined]  # the generated wrapper
    assert {it.name: it.value for it in ours} == on_the_wire


def _prefix(wrapper: type) -> str:
    first = next(name for name, number in wrapper.items() if number == 0)  # type: ignore[attr-defined]  # likewise
    return str(first).removesuffix("_UNSPECIFIED")


def test_a_snapshot_of_50000_sockets_comes_in_parts_under_one_mebibyte() -> None:
    holders = [holder(process(100 + n, f"worker{n}")) for n in range(500)]
    sockets = tuple(tcp(n, held_by=holders[n % 500]) for n in range(50_000))
    parts = list(snapshot_batches(Snapshot(LOOK_US, sockets, (WHOLE,))))

    assert len(parts) == 50_000 // PART_ROWS
    assert max(len(body) for body, _ in parts) < ONE_MIB
    assert [last for _, last in parts] == [False] * (len(parts) - 1) + [True]
    batches = [decoded(body) for body, _ in parts]
    assert [b.snapshot.part for b in batches] == list(range(len(parts)))
    assert [b.snapshot.last for b in batches] == [last for _, last in parts]
    assert [s.key.cookie for b in batches for s in b.opened] == [s.key.cookie for s in sockets]
    assert [len(b.sources) for b in batches] == [0] * (len(parts) - 1) + [1]


def test_every_part_stands_alone_with_its_own_processes_and_holders() -> None:
    sockets = tuple(tcp(n, held_by=holder(process(n % 7), process(n % 7 + 1))) for n in range(30_000))
    for body, _ in snapshot_batches(Snapshot(LOOK_US, sockets, ())):
        batch = decoded(body)
        by_cookie = {s.key.cookie: s for s in sockets}
        for row in batch.opened:
            owners = [batch.processes[i].pid for i in batch.holders[row.holder].owners]
            assert owners == [p.pid for p in by_cookie[row.key.cookie].holder.owners]
        assert len(batch.processes) == len({p.pid for p in batch.processes}) <= 8
        assert len(batch.holders) == 7


def test_rows_of_a_snapshot_were_open_before_its_look() -> None:
    [(body, _)] = snapshot_batches(Snapshot(LOOK_US, (tcp(1),), ()))
    [row] = decoded(body).opened
    assert (row.opened_at_us, row.opened_at_is) == (LOOK_US, sockets_pb2.OPENED_AT_IS_BEFORE)


def test_an_empty_host_still_makes_one_part_which_is_the_last() -> None:
    [(body, last)] = snapshot_batches(Snapshot(LOOK_US, (), (WHOLE,)))
    assert last
    assert decoded(body).snapshot.last
    assert decoded(body).HasField("snapshot")


def test_gaps_travel_on_the_last_part() -> None:
    sockets = tuple(tcp(n) for n in range(20_000))
    gap = Gap(LOOK_US - 9, LOOK_US, "collector unreachable, queue full")
    batches = [decoded(body) for body, _ in snapshot_batches(Snapshot(LOOK_US, sockets, ()), [gap])]
    assert len(batches) > 1
    assert not any(b.gaps for b in batches[:-1])
    assert [(g.from_us, g.to_us, g.reason) for g in batches[-1].gaps] == [(gap.from_us, gap.to_us, gap.reason)]


def test_a_difference_says_what_opened_changed_and_closed() -> None:
    batches = list(
        difference_batches(
            difference(
                opened=(tcp(1),), changed=(tcp(2, State.CLOSE_WAIT),), closed=(Closed(tcp(3).key),), sources=(WHOLE,)
            )
        )
    )
    [batch] = [decoded(body) for body in batches]
    assert [row.key.cookie for row in batch.opened] == [1_000_001]
    assert [(row.key.cookie, row.state) for row in batch.changed] == [(1_000_002, sockets_pb2.STATE_CLOSE_WAIT)]
    assert [row.key.cookie for row in batch.closed] == [1_000_003]
    assert (batch.look_at_us, batch.previous_look_at_us) == (LOOK_US + 1, LOOK_US)
    assert not batch.HasField("snapshot")
    assert batch.opened[0].opened_at_us == 0
    assert [s.name for s in batch.sources] == ["tcp"]


@pytest.mark.parametrize(
    ("closed", "at_us", "how"),
    [
        (Closed(tcp(3).key), 0, sockets_pb2.CLOSED_AT_IS_UNSPECIFIED),
        (Closed(tcp(3).key, LOOK_US - 5), LOOK_US - 5, sockets_pb2.CLOSED_AT_IS_EXACT),
        (Closed(tcp(3).key, before_us=LOOK_US - 7), LOOK_US - 7, sockets_pb2.CLOSED_AT_IS_SEEN),
    ],
    ids=["found gone", "told by the kernel", "gone by then"],
)
def test_an_end_says_how_its_time_is_known(closed: Closed, at_us: int, how: int) -> None:
    [body] = difference_batches(difference(closed=(closed,)))
    [row] = decoded(body).closed
    assert (row.closed_at_us, row.closed_at_is) == (at_us, how)


def test_a_large_difference_is_split_and_loses_nothing() -> None:
    opened = tuple(tcp(n) for n in range(15_000))
    closed = tuple(Closed(tcp(n).key) for n in range(20_000, 60_000))
    batches = [decoded(body) for body in difference_batches(difference(opened=opened, closed=closed))]
    assert len(batches) > 1
    assert max(b.ByteSize() for b in batches) < ONE_MIB
    assert [r.key.cookie for b in batches for r in b.opened] == [s.key.cookie for s in opened]
    assert [r.key.cookie for b in batches for r in b.closed] == [one.key.cookie for one in closed]


def test_a_socket_arrives_as_it_was_known() -> None:
    known = tcp(1, State.LISTEN)
    [body] = difference_batches(difference(opened=(known,)))
    batch = decoded(body)
    [row] = batch.opened
    assert (row.family, row.state, row.local_address, row.local_port) == (4, 10, known.local_address, 443)
    assert (row.remote_address, row.remote_port, row.inode) == (known.remote_address, known.remote_port, known.inode)
    assert not row.HasField("v6only")
    [held] = batch.holders
    assert (held.uid, held.user, held.unit, held.owner_status) == (0, "root", "nginx.service", 1)
    assert [p.exe for p in batch.processes] == ["/usr/sbin/nginx"]


def test_an_unknown_uid_is_absent_and_not_0() -> None:
    gone = Holder(None, "", "", "", OwnerStatus.GONE, ())
    [body] = difference_batches(difference(opened=(tcp(1, State.TIME_WAIT, gone),)))
    assert not decoded(body).holders[0].HasField("uid")


def test_hostile_text_is_bounded_and_made_utf8() -> None:
    hostile = Process(1, 2, "a\udcff" * 500, "/x" * 5000, "\N{PILE OF POO}" * 300)
    [body] = difference_batches(difference(opened=(tcp(1, held_by=holder(hostile)),)))
    [sent] = decoded(body).processes
    assert sent.name.startswith("a?a?")
    assert max(len(sent.name), len(sent.program.encode())) <= bounded.NAME_BYTES
    assert len(sent.exe) <= bounded.PATH_BYTES


def test_a_socket_with_countless_owners_still_fits_into_a_batch() -> None:
    crowd = holder(*(Process(n, n, "\N{PILE OF POO}" * 99, "/\N{PILE OF POO}" * 999, "p" * 99) for n in range(5000)))
    bodies = list(difference_batches(difference(opened=(tcp(1, held_by=crowd), tcp(2, held_by=crowd)))))
    assert max(map(len, bodies)) < ONE_MIB
    first = decoded(bodies[0])
    assert len(first.holders[0].owners) == 5000
    assert not any(owner.exe for owner in first.processes), "without their paths all of them fit"


def test_without_a_cookie_the_key_carries_the_inode() -> None:
    plain = dataclasses.replace(tcp(1), key=SocketKey(0, Protocol.UDP, 0, inode=77), inode=77)
    [body] = difference_batches(difference(opened=(plain,)))
    [row] = decoded(body).opened
    assert (row.key.inode, row.inode, row.key.protocol) == (77, 0, sockets_pb2.PROTOCOL_UDP)


def test_a_beat_holds_no_rows() -> None:
    [body] = difference_batches(Difference(LOOK_US, LOOK_US - 5))
    batch = decoded(body)
    assert (batch.look_at_us, batch.previous_look_at_us) == (LOOK_US, LOOK_US - 5)
    assert {field.name for field, _ in batch.ListFields()} == {"look_at_us", "previous_look_at_us"}


def test_differences_applied_to_a_snapshot_give_the_next_snapshot() -> None:
    watch = ScriptedWatch(*(tcp(n) for n in range(10)))
    watch.look()
    table = {s.key.cookie: s for body, _ in snapshot_batches(watch.snapshot()) for s in decoded(body).opened}
    watch.close(tcp(3))
    watch.open(tcp(4, State.CLOSE_WAIT), tcp(11))
    for body in difference_batches(watch.look()):
        batch = decoded(body)
        table |= {s.key.cookie: s for s in (*batch.opened, *batch.changed)}
        for row in batch.closed:
            del table[row.key.cookie]
    assert {c: int(s.state) for c, s in table.items()} == {s.key.cookie: int(s.state) for s in watch.snapshot().sockets}


def test_a_brief_socket_is_opened_and_closed_at_one_moment_in_one_batch() -> None:
    briefs = tuple(Brief.of(tcp(n, State.CLOSE), LOOK_US - n) for n in range(20_000))
    batches = [decoded(body) for body in difference_batches(difference(brief=briefs))]
    assert len(batches) > 1
    assert max(b.ByteSize() for b in batches) < ONE_MIB
    for batch in batches:
        assert [row.key for row in batch.opened] == [row.key for row in batch.closed]
        assert [row.opened_at_us for row in batch.opened] == [row.closed_at_us for row in batch.closed]
        assert {row.opened_at_is for row in batch.opened} == {sockets_pb2.OPENED_AT_IS_UNSEEN}
        assert {row.closed_at_is for row in batch.closed} == {sockets_pb2.CLOSED_AT_IS_EXACT}
    assert [row.closed_at_us for b in batches for row in b.closed] == [brief.at_us for brief in briefs]


def test_times_that_the_kernel_told_are_exact_and_the_rest_is_the_looks() -> None:
    entered, seen = tcp(1, State.TIME_WAIT), tcp(2, State.TIME_WAIT)
    closed = (Closed(tcp(3).key, LOOK_US - 3), Closed(tcp(4).key))
    [body] = difference_batches(
        difference(opened=(seen,), changed=(entered,), closed=closed, entered_at_us={entered.key: LOOK_US - 1})
    )
    batch = decoded(body)
    assert [(row.opened_at_us, row.opened_at_is) for row in (*batch.changed, *batch.opened)] == [
        (LOOK_US - 1, sockets_pb2.OPENED_AT_IS_EXACT),
        (0, sockets_pb2.OPENED_AT_IS_UNSPECIFIED),
    ]
    assert [(row.closed_at_us, row.closed_at_is) for row in batch.closed] == [
        (LOOK_US - 3, sockets_pb2.CLOSED_AT_IS_EXACT),
        (0, sockets_pb2.CLOSED_AT_IS_UNSPECIFIED),
    ]


def test_the_gaps_of_a_difference_travel_once_on_its_last_batch() -> None:
    gap = Gap(LOOK_US - 9, LOOK_US, "7 events of closed sockets lost")
    sockets = tuple(tcp(n) for n in range(20_000))
    batches = [decoded(body) for body in difference_batches(difference(opened=sockets, gaps=(gap,)))]
    assert [len(b.gaps) for b in batches] == [0] * (len(batches) - 1) + [1]
    assert batches[-1].gaps[0].reason == gap.reason


def test_thousands_of_owners_of_one_socket_are_all_told_and_still_fit() -> None:
    owners = tuple(process(pid, f"worker{pid % 10}") for pid in range(1, MAX_OWNERS + 1))
    long_paths = tuple(dataclasses.replace(owner, exe="/" + "x" * 600) for owner in owners[:5_000])
    sockets = (tcp(1, held_by=holder(*owners)), tcp(2, held_by=holder(*long_paths)))
    bodies = list(difference_batches(difference(opened=sockets)))
    assert max(map(len, bodies)) < ONE_MIB
    told = [len(h.owners) for body in bodies for h in decoded(body).holders]
    assert told == [MAX_OWNERS, 5_000]


def test_no_batch_has_more_rows_than_a_collector_takes() -> None:
    closed = tuple(Closed(SocketKey(0, Protocol.TCP, n)) for n in range(1, 80_001))
    batches = [decoded(body) for body in difference_batches(difference(closed=closed))]
    assert max(len(batch.closed) for batch in batches) <= MAX_BATCH_ROWS
    assert [row.key.cookie for batch in batches for row in batch.closed] == list(range(1, 80_001))


def test_a_unix_socket_carries_type_name_and_peer_and_its_holder_what_runs_it() -> None:
    row = dataclasses.replace(
        tcp(1),
        key=SocketKey(0, Protocol.UNIX, cookie=0, inode=77),
        family=records.Family.UNIX,
        local_address=b"",
        remote_address=b"",
        inode=77,
        source=records.Source.PROC,
        holder=dataclasses.replace(holder(), container="c1", runtime="docker"),
        type=records.SocketType.SEQPACKET,
        path=b"\0" + b"x" * 200,
        peer_inode=78,
    )
    [body] = difference_batches(difference(opened=(row,)))
    [told] = decoded(body).opened
    assert (told.key.protocol, told.family, told.source) == (
        sockets_pb2.PROTOCOL_UNIX,
        sockets_pb2.FAMILY_UNIX,
        sockets_pb2.SOURCE_PROC,
    )
    assert (told.key.cookie, told.key.inode, told.inode) == (0, 77, 0)
    assert (told.type, told.path, told.peer_inode) == (
        sockets_pb2.SOCKET_TYPE_SEQPACKET,
        b"\0" + b"x" * 107,
        78,
    )
    [held] = decoded(body).holders
    assert (held.container, held.runtime) == ("c1", "docker")


def test_a_socket_of_another_kind_has_none_of_that() -> None:
    [body] = difference_batches(difference(opened=(tcp(1),)))
    [told] = decoded(body).opened
    assert (told.type, told.path, told.peer_inode) == (0, b"", 0)


def test_a_change_of_state_says_since_when_and_a_change_of_attributes_does_not() -> None:
    moved, handed_on = tcp(1, State.CLOSE_WAIT), tcp(2, held_by=holder(process(9)))
    [body] = difference_batches(difference(changed=(moved, handed_on), restated={moved.key}))
    first, second = decoded(body).changed
    assert (first.opened_at_us, first.opened_at_is) == (LOOK_US + 1, sockets_pb2.OPENED_AT_IS_SEEN)
    assert (second.opened_at_us, second.opened_at_is) == (0, sockets_pb2.OPENED_AT_IS_UNSPECIFIED)


def test_the_last_batch_alone_carries_the_digest() -> None:
    sockets = tuple(tcp(n) for n in range(20_001))
    told = [decoded(body) for body, _ in snapshot_batches(Snapshot(LOOK_US, sockets, (), look_boottime_us=7))]
    assert [batch.HasField("digest") for batch in told] == [False] * 4 + [True]
    digest = digest_of(sockets)
    assert (told[-1].digest.sockets, told[-1].digest.sum) == (20_001, digest.sum)
    assert [batch.look_boottime_us for batch in told] == [7] * 5
    told = [decoded(body) for body in difference_batches(difference(opened=sockets), digest)]
    assert [batch.HasField("digest") for batch in told] == [False, True]
