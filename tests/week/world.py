"""What is open on a host at every moment of some days, drawn from a seed: the truth that history is held against.

Listeners that are restarted once a day, connections that end in TIME_WAIT or stay in CLOSE_WAIT until their service is
restarted, short ones that no look sees, and boots that end everything. Pure: any process that draws from the same seed
has the same host, so an agent that was killed leaves nothing to remember.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from agent.scripted_watch import holder, process, tcp
from fleetnet_agent.records import Socket, State

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 1440 * MINUTE_US
FOR_EVER_US = 1 << 62

TIME_WAIT_US = 60 * SECOND_US  # TCP_TIMEWAIT_LEN, include/net/tcp.h
OFF_US = 3 * MINUTE_US  # how long a host is off when it boots
SERVICES = {22: "sshd", 80: "nginx", 443: "nginx", 5432: "postgres", 8080: "java", 9100: "node_exporter"}
_HOLDERS = {port: holder(process(800 + port, name)) for port, name in SERVICES.items()}
_MEAN_LIFE_US = 90 * MINUTE_US
_STAYS_IN_CLOSE_WAIT = 0.1  # the share of connections whose peer has closed, and whose service never does

Change = tuple[int, State | None]
"""From when on, and in which state; None where it is gone."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much happens."""

    steady: int = 40  # connections as old as the boot
    a_day: int = 250  # connections that begin in a day
    brief_a_day: int = 500  # and those of less than two seconds


@dataclass(frozen=True, slots=True)
class Life:
    """A socket from its beginning to its end."""

    socket: Socket  # in its first state
    changes: tuple[Change, ...]  # ascending; the last is its end, if it has one


@dataclass(frozen=True, slots=True)
class World:
    """A host from `begin_us` to `end_us`, after which nothing changes any more; host's wall clock."""

    seed: int
    begin_us: int
    end_us: int
    boots_us: tuple[int, ...]  # when it goes down; it is up again OFF_US later
    size: Size

    def lives(self) -> list[Life]:
        """Of all sockets, ascending by when they began."""
        draw = random.Random(self.seed)
        up = zip(
            (self.begin_us, *(boot + OFF_US for boot in self.boots_us)), (*self.boots_us, FOR_EVER_US), strict=True
        )
        drawn = [life for start, stop in up for life in self._of_one_boot(draw, start, stop)]
        drawn.sort(key=lambda life: life[1][0][0])
        return [_life(number, port, changes) for number, (port, changes) in enumerate(drawn)]

    def boot_at(self, at_us: int) -> tuple[int, int]:
        """The boot of a moment: its number, from 1, and when it began."""
        past = [boot + OFF_US for boot in self.boots_us if boot <= at_us]
        return 1 + len(past), past[-1] if past else self.begin_us - DAY_US

    def _of_one_boot(self, draw: random.Random, start_us: int, stop_us: int) -> Iterator[tuple[int, list[Change]]]:
        last_us = min(stop_us, self.end_us)
        days = (last_us - start_us) / DAY_US
        for port in SERVICES:
            runs = list(_runs(draw, port, start_us, stop_us, last_us))
            yield from ((port, self._cut([(up, State.LISTEN), (down, None)])) for up, down in runs)
            # A service that is never restarted has no connections but the steady ones: sshd.
            for _ in range(round(self.size.a_day * days / (len(SERVICES) - 1)) if len(runs) > 1 else 0):
                began_us = draw.randrange(start_us, last_us)
                down_us = next((down for up, down in runs if up < began_us < down), None)
                if down_us is not None:
                    yield port, self._cut(_connection(draw, began_us, down_us, stop_us))
        for _ in range(self.size.steady):
            yield 22, self._cut([(start_us, State.ESTABLISHED), (stop_us, None)])
        for _ in range(round(self.size.brief_a_day * days)):
            began_us = draw.randrange(start_us, last_us - 2 * SECOND_US)
            ended_us = began_us + draw.randrange(10_000, 2 * SECOND_US)
            yield 443, [(began_us, State.ESTABLISHED), (ended_us, None)]

    def _cut(self, changes: list[Change]) -> list[Change]:
        return [change for change in changes if change[0] <= self.end_us]


def _runs(draw: random.Random, port: int, start_us: int, stop_us: int, last_us: int) -> Iterator[tuple[int, int]]:
    """From when to when a service runs."""
    up_us, hour_us = start_us, draw.randrange(DAY_US // 4, DAY_US)
    while port != 22 and (down_us := start_us + hour_us) < last_us:
        yield up_us, down_us
        up_us, hour_us = down_us + draw.randrange(SECOND_US, 20 * MINUTE_US), hour_us + DAY_US
    yield up_us, stop_us


def _connection(draw: random.Random, began_us: int, down_us: int, stop_us: int) -> list[Change]:
    """One to a service that goes down at some time, and all of it with it but TIME_WAIT, which only a boot ends."""
    ended_us = began_us + SECOND_US + int(draw.expovariate(1 / _MEAN_LIFE_US))
    if ended_us >= down_us:
        return [(began_us, State.ESTABLISHED), (down_us, None)]
    if draw.random() < _STAYS_IN_CLOSE_WAIT:
        return [(began_us, State.ESTABLISHED), (ended_us, State.CLOSE_WAIT), (down_us, None)]
    gone_us = min(ended_us + TIME_WAIT_US, stop_us)
    return [(began_us, State.ESTABLISHED), (ended_us, State.TIME_WAIT), (gone_us, None)]


def _life(number: int, port: int, changes: list[Change]) -> Life:
    state = changes[0][1]
    assert state is not None
    socket = replace(tcp(number, state, _HOLDERS[port]), local_port=port)
    if state is State.LISTEN:
        socket = replace(socket, local_address=bytes(4), remote_address=b"", remote_port=0)
    return Life(socket, tuple(changes))
