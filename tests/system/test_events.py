"""Connections that no look ever saw, in the collector's history."""

import json
import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass

import pytest
from system import oracles
from system.archive import Archive, Interval, read
from system.laboratory import REPORT_PORT, Laboratory

from demo.fabric import Host
from demo.programs import Program, until

pytestmark = pytest.mark.root

COUNT = 2_000
WITHIN_S = 90.0

Addresses = tuple[str, int, str, int]


def ledger(program: Program) -> Counter[Addresses]:
    line = program.wait_for(r"^ledger (.*)$", within_s=WITHIN_S)[1]
    return Counter((local, local_port, remote, port) for local, local_port, remote, port in json.loads(line))


def connections(archive: Archive) -> dict[int, list[Interval]]:
    """The intervals of each connection, not those of agent and collector."""
    found: dict[int, list[Interval]] = defaultdict(list)
    for interval in archive.intervals:
        protocol, _, _, local_port, remote, remote_port = interval.name
        if protocol == "tcp" and remote and REPORT_PORT not in (local_port, remote_port):
            found[interval.socket_id].append(interval)
    return found


def addresses(found: dict[int, list[Interval]], made: Counter[Addresses]) -> Counter[Addresses]:
    """Connections, each once however many states it went through, in the words of the ledger.

    What the kernel forgets of a connection that was reset here is known all the same if a look saw it before.
    """
    counted: Counter[Addresses] = Counter()
    for intervals in found.values():
        _, _, local, local_port, remote, remote_port = intervals[0].name
        whole = (local, local_port, remote or "", remote_port or 0)
        counted[whole if whole in made else ("0.0.0.0", local_port, remote or "", 0)] += 1
    return counted


def ended_by_event(intervals: list[Interval]) -> bool:
    """True if the event of this socket came: without it nothing about its end is exact."""
    return any(each.closed_exactly or (each.opened_exactly and each.state == "TIME_WAIT") for each in intervals)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was made, what the collector has of it in the end, and how many events the kernel says it dropped."""

    made: Counter[Addresses]
    kept: Archive
    dropped: int
    begun_us: int


def dropped_on(host: Host) -> int:
    """The column Drops of those who listen to all four groups of destroyed sockets: of the agent, then."""
    rows = [line.split() for line in host.run("cat", "/proc/net/netlink").splitlines()]
    (drops,) = [int(row[8]) for row in rows if row[1] == "4" and row[3] == "0000000f"]
    return drops


def told_as_lost(kept: Archive, since_us: int) -> int:
    """How many events the gaps that ended since then say were lost."""
    gaps = [gap for gap in kept.gaps if gap.to_us > since_us]
    told = [re.match(r"(\d+) events of closed sockets lost", gap.reason) for gap in gaps]
    assert all(told), kept.gaps
    return sum(int(match[1]) for match in told if match)


def make_short_connections(lab: Laboratory, *agent_options: str) -> Outcome:
    """Make them, wait until ss and the collector agree on what is left and on what was lost, and end all."""
    host = lab.fabric.add_host("short")
    fleet = lab.fleet()
    fleet.enroll("short", fleet.place)  # from elsewhere, so that it leaves no TIME_WAIT on the host
    agent = fleet.start_agent("short", host, *agent_options)
    fleet.wait_until_fresh("short")
    # Before that, what a connection of the agent's own lost is told.
    before, begun_us = dropped_on(host), time.time_ns() // 1000
    short = lab.start(host, "short", str(COUNT), host.address)
    made = ledger(short)

    def agrees_with_ss() -> bool:
        items = fleet.expect(0, "netstat", "short", "-tuan", "-o", "json").items
        return oracles.of_items(items) == oracles.of_ss(host)

    until(agrees_with_ss, within_s=WITHIN_S, what="an answer equal to that of ss")
    # While both are there: the agent's own connection ends with it, and that event may be lost as well.
    until(
        lambda: told_as_lost(read(fleet.data, "short"), begun_us) == dropped_on(host) - before,
        within_s=WITHIN_S,
        what="gaps with the kernel's own count",
    )
    dropped = dropped_on(host) - before
    agent.stop()
    fleet.collector.stop()
    return Outcome(made, read(fleet.data, "short"), dropped, begun_us)


def test_every_short_connection_is_in_history_exactly_once_with_the_addresses_that_the_kernel_gives(
    lab: Laboratory,
) -> None:
    outcome = make_short_connections(lab)
    made, kept = outcome.made, outcome.kept
    assert sum(made.values()) > COUNT  # of those that were not refused both ends are on this host
    assert kept.gaps == []
    assert kept.doubled() == []
    found = connections(kept)
    assert addresses(found, made) - made == Counter()
    assert made - addresses(found, made) == Counter()
    brief = [each for intervals in found.values() for each in intervals if each.state == "CLOSE"]
    assert brief
    assert all(each.opened_at_us == each.closed_at_us for each in brief)


def test_where_the_buffer_is_too_small_the_gap_says_exactly_how_many_ends_were_lost(lab: Laboratory) -> None:
    outcome = make_short_connections(lab, "--events-buffer-bytes", "1")
    made, kept = outcome.made, outcome.kept
    assert kept.doubled() == []
    found = connections(kept)
    assert addresses(found, made) - made == Counter()
    lost = outcome.dropped
    assert told_as_lost(kept, outcome.begun_us) >= lost
    assert lost > COUNT // 2, "the kernel's least buffer holds a few events"
    # An event that came after a look had found its TIME_WAIT makes nothing more exact, so a few may not show.
    came = sum(made.values()) - lost
    assert came - 10 <= sum(map(ended_by_event, found.values())) <= came
