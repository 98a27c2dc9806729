"""What the first look at many sockets found: the same whether it is asked for at once, later, or never."""

import gc
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from agent.diag_messages import encode, listener, sighting, time_wait
from agent.scripted_kernel import ScriptedKernel
from fleetnet_agent.changes import MANY, DiagTable
from fleetnet_agent.host import this_host
from fleetnet_agent.late import LateRows, LateSightings
from fleetnet_agent.records import OwnerStatus, Socket, SocketKey, State
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.source import Count, MalformedError, Sighting
from fleetnet_agent.watch import Watch, open_watch
from hypothesis import given
from hypothesis import strategies as st

COUNT = MANY + 50


@pytest.fixture
def watch() -> Iterator[Watch]:
    with closing(open_watch(this_host(), helper_socket=None, namespaces="own")) as opened:
        yield opened


@pytest.fixture
def crowd() -> Iterator[list[socket.socket]]:
    """More UDP sockets than are read in one piece."""
    with ExitStack() as held:
        made = [held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(COUNT)]
        for one in made:
            one.bind(("127.0.0.1", 0))
        yield made


def by_inode(rows: Iterator[Socket] | list[Socket], of: list[socket.socket]) -> dict[int, Socket]:
    inodes = {os.fstat(one.fileno()).st_ino for one in of}
    return {row.inode: row for row in rows if row.inode in inodes}


def test_many_sockets_are_opened_as_few_are() -> None:
    kernel = ScriptedKernel()
    everything = [listener(1), time_wait(2), *(sighting(cookie) for cookie in range(3, COUNT))]
    kernel.put(*everything)
    table = DiagTable(kernel, kernel.find)
    opened = table.look().opened
    assert isinstance(opened, LateSightings)
    assert len(opened) == len(everything)
    assert list(opened) == everything == list(table.sightings())
    assert (opened[0], opened[-2:]) == (everything[0], tuple(everything[-2:]))
    assert opened.inodes == {one.inode for one in everything} - {0}
    assert opened.named({1, 5, 10**9, b"other"}) == [listener(1), sighting(5)]
    assert opened.holding({0, sighting(7).inode, 3}) == [sighting(7)]
    assert opened.without_inode() == [time_wait(2)]
    assert table.listeners() == [listener(1)]


def test_one_message_that_cannot_be_decoded_spoils_a_first_look_and_the_next_is_the_first_again() -> None:
    broken = {COUNT // 2}

    def encoded(one: Sighting) -> bytes:
        message = encode(one)
        return b"\x63" + message[1:] if one.name in broken else message

    kernel = ScriptedKernel(encoded=encoded)
    kernel.put(*(sighting(cookie) for cookie in range(1, COUNT)))
    table = DiagTable(kernel, kernel.find)
    with pytest.raises(MalformedError):
        table.look()
    assert len(table) == 0
    broken.clear()
    assert len(table.look().opened) == COUNT - 1


def test_where_those_that_are_unlike_can_be_decoded_all_can() -> None:
    message, like = encode(sighting(1)), encode(sighting(2, local_port=9, uid=3, recv_queue=8))
    of_other_family, cut = b"\x63" + message[1:], message[:-1]
    assert set(inet_diag.unlike([message, like])) == {like}
    for spoiled in (of_other_family, cut):
        assert spoiled in inet_diag.unlike([message, spoiled, like])


@pytest.mark.parametrize(
    ("before", "after", "dumps"),
    [
        (Count(COUNT, 5), Count(COUNT, 5), 1),
        (Count(COUNT, 5), Count(COUNT, 6), 2),  # something came and something went
        (Count(COUNT, 5), Count(COUNT + 1, 5), 2),
        (Count(COUNT + 1, 5), Count(COUNT + 1, 5), 2),  # the dump missed one
        (None, None, 2),
    ],
)
def test_a_first_look_reads_once_where_another_count_says_that_it_was_all(
    before: Count | None, after: Count | None, dumps: int
) -> None:
    kernel = ScriptedKernel()
    kernel.put(*(sighting(cookie) for cookie in range(1, COUNT + 1)))
    counts = iter([before, after])
    table = DiagTable(kernel, kernel.find, lambda: next(counts))
    assert len(table.look().opened) == COUNT
    assert kernel.dumps == dumps


def test_a_request_to_connect_is_in_no_count_and_makes_up_for_none_that_was_missed() -> None:
    kernel = ScriptedKernel()
    kernel.put(sighting(1, state=State.SYN_RECV, inode=0), *(sighting(cookie) for cookie in range(2, COUNT + 1)))
    kernel.missed, kernel.misses_until_dump = {7}, 1
    count = Count(COUNT - 1, 0)
    table = DiagTable(kernel, kernel.find, lambda: count)
    assert len(table.look().opened) == COUNT


@given(
    st.lists(st.builds(sighting, st.integers(1, 2**62), state=st.sampled_from(State), inode=st.integers(0, 2**32 - 1)))
)
def test_columns_are_what_each_message_says(many: list[Sighting]) -> None:
    messages = [encode(one) for one in many]
    assert inet_diag.inodes_of(messages) == [inet_diag.inode_of(message) for message in messages]
    assert inet_diag.states_of(messages) == [inet_diag.state_of(message) for message in messages]


def test_rows_are_made_when_they_are_asked_for_and_once() -> None:
    times: list[int] = []

    def made() -> Iterator[Socket]:
        times.append(1)
        return iter(())

    rows = LateRows(0, made)
    assert (len(rows), times) == (0, [])
    assert (list(rows), rows.made(), times) == ([], (), [1])


def test_a_first_look_that_nobody_asks_for_is_in_the_snapshot_all_the_same(
    watch: Watch, crowd: list[socket.socket]
) -> None:
    watch.look()
    gc.collect()
    watch.look(everything=True)
    rows = by_inode(list(watch.snapshot().sockets), crowd)
    assert len(rows) == len(crowd)
    assert {row.holder.owner_status for row in rows.values()} == {OwnerStatus.KNOWN}
    assert {owner.pid for row in rows.values() for owner in row.holder.owners} == {os.getpid()}
    assert not by_inode(list(watch.look(everything=True).changed), crowd)


def test_a_snapshot_stays_what_it_was_whatever_looks_come_after(watch: Watch, crowd: list[socket.socket]) -> None:
    watch.look()
    snapshot = watch.snapshot()
    rows = iter(snapshot.sockets)
    begun = [next(rows), next(rows)]
    closing = {os.fstat(one.fileno()).st_ino for one in crowd[:7]}
    for one in crowd[:7]:
        one.close()
    watch.look(everything=True)
    told = [*begun, *rows]
    assert told == list(snapshot.sockets)
    assert len(told) == len(snapshot.sockets)
    assert len(by_inode(told, crowd[7:])) == len(crowd) - 7
    assert not closing & {row.inode for row in watch.snapshot().sockets}


def test_a_first_look_that_is_asked_for_after_the_next_tells_what_it_saw(
    watch: Watch, crowd: list[socket.socket]
) -> None:
    first = watch.look()
    gone = [os.fstat(one.fileno()).st_ino for one in crowd[:7]]
    for one in crowd[:7]:
        one.close()
    second = watch.look(everything=True)
    told: dict[SocketKey, Socket] = {row.key: row for row in first.opened}
    assert {row.inode for row in told.values()} >= set(gone)
    told |= {row.key: row for row in (*second.opened, *second.changed)}
    for closed in second.closed:
        del told[closed.key]
    assert told == {row.key: row for row in watch.snapshot().sockets}
    assert not {row.inode for row in told.values()} & set(gone)
