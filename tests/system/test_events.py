"""Connections that no look ever saw, in the collector's history."""

import json
import re
from collections import Counter

import pytest
from system import archive, oracles
from system.archive import Interval
from system.laboratory import REPORT_PORT, Laboratory

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import Program, until

pytestmark = pytest.mark.root

COUNT = 2_000
WITHIN_S = 30.0


def ledger(program: Program) -> Counter[tuple[str, int, str, int]]:
    line = program.wait_for(r"^ledger (.*)$", within_s=WITHIN_S)[1]
    return Counter(tuple(each) for each in json.loads(line))


def told(intervals: list[Interval]) -> Counter[tuple[str, int, str, int]]:
    """Sockets, each once however many states it went through, by their addresses."""
    by_socket = {interval.socket_id: interval.name for interval in intervals}
    return Counter((name[2], name[3], name[4] or "", name[5] or 0) for name in by_socket.values())


def start(lab: Laboratory, fleet: Fleet, host: Host) -> Program:
    fleet.enroll(host.name, fleet.place)  # from elsewhere, so that it leaves no TIME_WAIT on the host
    agent = fleet.start_agent(host.name, host)
    fleet.wait_until_fresh(host.name)
    return agent


def test_every_short_connection_is_in_history_exactly_once_with_the_addresses_that_the_kernel_gives(
    lab: Laboratory,
) -> None:
    host = lab.fabric.add_host("short")
    fleet = lab.fleet()
    agent = start(lab, fleet, host)
    short = lab.start(host, "short", str(COUNT), host.address)
    short.wait_for("^ready")
    # The second half is made while looks go on, the first as fast as can be.
    short.tell("")
    made = ledger(short)
    assert sum(made.values()) == COUNT // 3 * 5 + 4  # two sockets where both ends are here, one where it was refused

    def agrees_with_ss() -> bool:
        items = fleet.expect(0, "netstat", "short", "-tuan", "-o", "json").items
        return oracles.of_items(items) == oracles.of_ss(host)

    until(agrees_with_ss, within_s=WITHIN_S, what="an answer equal to that of ss")
    agent.stop()
    fleet.collector.stop()

    kept = archive.read(fleet.data, "short")
    assert kept.gaps == []
    assert kept.doubled() == []
    mine = [
        interval
        for interval in kept.intervals
        if interval.name[0] == "tcp"
        and interval.state != "LISTEN"
        and REPORT_PORT not in (interval.name[3], interval.name[5])
    ]
    assert told(mine) - made == Counter()
    assert made - told(mine) == Counter()
    brief = [interval for interval in mine if interval.state == "CLOSE"]
    assert brief
    assert all(interval.opened_at_us == interval.closed_at_us for interval in brief)


def test_where_the_buffer_is_too_small_the_gap_says_exactly_how_many_ends_were_lost(lab: Laboratory) -> None:
    host = lab.fabric.add_host("short")
    fleet = lab.fleet()
    lab.programs.environment["FLEETNET_AGENT_EVENTS_BUFFER_BYTES"] = "1"
    agent = start(lab, fleet, host)
    short = lab.start(host, "short", str(COUNT), host.address)
    short.wait_for("^ready")
    short.tell("")
    made = ledger(short)

    def settled() -> bool:
        items = fleet.expect(0, "netstat", "short", "-tuan", "-o", "json").items
        return oracles.of_items(items) == oracles.of_ss(host)

    until(settled, within_s=WITHIN_S, what="an answer equal to that of ss")
    agent.stop()
    fleet.collector.stop()
    kept = archive.read(fleet.data, "short")
    assert kept.gaps
    lost = sum(int(re.match(r"(\d+) events of closed sockets lost", gap.reason)[1]) for gap in kept.gaps)  # type: ignore[index]  # it matches, or the test fails
    assert lost > 0
    print(lost, len(made))
