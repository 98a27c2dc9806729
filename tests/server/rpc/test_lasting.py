"""What streams, reports and questions leave behind in a collector: nothing that adds up. Counted in cycles, so that no
time matters; `make soak` is the long run."""

import time
from pathlib import Path

import pytest
from inside import Growth, Held, Inside
from server.agents import DEADLINE_S, Identity, ReportStream
from server.running import Running, ports_of

from bench.growth import taken_bytes
from server import messages

pytestmark = pytest.mark.slow

CYCLES = 40
LAPS = 4
STAYS_LOOKS = 200  # some seconds: one that was opened after the first lap, and stays, is waited for in vain
# Of a lap, in at least one of those after the first: a leak grows in each, a thread that is started does not. A row in
# a dictionary of what has ended is three blocks, a stream 40. SQLite's cache of what a cycle has written is up to
# 1 KiB, a stream with its connection 90.
BLOCKS_A_CYCLE = 1
BYTES_A_CYCLE = 4 * 1024


def live_once(collector: Running, identity: Identity, number: int) -> None:
    """An agent connects, tells its sockets, is asked about, and leaves, in peace or without a word."""
    with collector.channel(identity) as channel:
        stream = ReportStream(channel)
        told = stream.open(messages.hello()).committed_sequence
        stay = [messages.listener(port) for port in range(1_000, 1_020)]
        new = messages.listener(443, cookie=10_000 + number)
        stream.send(batch=messages.batch(told + 1, *stay, new, snapshot=True))
        stream.send(batch=messages.batch(told + 2))
        stream.await_ack(told + 2)
        assert len(ports_of(collector, identity.host)) == 21
        if number % 2:
            stream.done_writing()
            stream.receive_all()
        stream.close()


def look_when_all_have_left(collector: Running, inside: Inside, descriptors: int | None) -> Held:
    """Once there are so many descriptors at most, or their number stays for a while; with None, once it stays."""
    deadline_s = time.monotonic() + DEADLINE_S
    held = inside.look(collector.process.pid)
    stays = 0
    while time.monotonic() < deadline_s and stays < (1 if descriptors is None else STAYS_LOOKS):
        before, held = held, inside.look(collector.process.pid)
        stays = stays + 1 if held.descriptors == before.descriptors else 0
        if descriptors is not None and held.descriptors <= descriptors:
            break
    return held


def test_streams_that_end_leave_nothing_behind(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = Inside(tmp_path)
    for name, value in inside.environment.items():
        monkeypatch.setenv(name, value)
    collector = Running(data)
    try:
        # So many that none connects as often as is held against a host.
        identities = [collector.join(f"web{number}") for number in range(20)]
        laps: list[Held] = []
        for number in range(LAPS * CYCLES):
            live_once(collector, identities[number % len(identities)], number)
            if (number + 1) % CYCLES == 0:
                laps.append(look_when_all_have_left(collector, inside, laps[0].descriptors if laps else None))
        least = Growth.least(laps)
        assert least.descriptors <= 0, least
        assert least.blocks < CYCLES * BLOCKS_A_CYCLE, least
        assert least.bytes < CYCLES * BYTES_A_CYCLE, least
    finally:
        collector.kill()


def _refused(collector: Running, identity: Identity, epoch: int, *, twice: bool) -> None:
    """A report of most of a MiB, which comes before its turn or names nothing, and the end of its stream."""
    batch = messages.batch(2, messages.listener(1), epoch=epoch)
    for cookie in range(2, 18_000):
        batch.opened.add().CopyFrom(batch.opened[0])
        batch.opened[-1].key.cookie = cookie
    if twice:
        batch.sequence = 0
        batch.opened[0].key.cookie = 2
    with collector.channel(identity) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello(epoch))
        stream.send(batch=batch)
        stream.receive_rest()
        stream.close()


@pytest.mark.parametrize("twice", [False, True], ids=["before its turn", "names nothing"])
def test_reports_that_are_refused_are_gone_at_once(data: Path, twice: bool) -> None:
    # As messages and records each takes some 5 MB. Python looks for garbage once a minute, and a host may be refused
    # thirty times until then: so nothing of it may have to be looked for.
    collector = Running(data)
    try:
        identity = collector.join("web1")
        taken = []
        for epoch in range(1, 22):
            _refused(collector, identity, epoch, twice=twice)
            taken.append(taken_bytes(collector.process.pid))
        assert taken[-1] - taken[4] < 40 * 1024 * 1024
    finally:
        collector.kill()
