"""A fleet and its collector in simulated time: the agents' own Backoff, the collector's own Admission, and a clock that
jumps to the next moment at which anything is due.

Ten minutes take the time of the attempts that are made in them. What a network and a database do is reduced to what
matters to those who come: refused, hanging and then cut off, sent away, or let in and acknowledged one after the other.
"""

import asyncio
import itertools
import random
import selectors
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from fleetnet_agent.uplink.backoff import Backoff
from fleetnet_agent.uplink.stream import WELCOME_TIMEOUT_S
from fleetnet_server.limits import Limits
from fleetnet_server.services.admission import Admission, Arrival
from fleetnet_server.services.load import Load
from fleetnet_server.services.quotas import Quotas

# Of a stream with its snapshot: the 200 a second that are let in by default.
STORING_S = 0.005


class _Jumping(selectors.SelectSelector):
    """Waits for nobody: what would be waited is added up."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits for something that will never be"
        self.now_s += max(0.0, timeout)
        return super().select(0)


class SimulatedTime(asyncio.SelectorEventLoop):
    """An event loop whose clock begins at 0 and stands still while anything is done."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Simulated seconds."""
        return self._jumping.now_s


def simulate(story: Coroutine[Any, Any, None]) -> None:
    """Run it, all of it."""
    with asyncio.Runner(loop_factory=SimulatedTime) as runner:
        runner.run(story)


@dataclass
class Door:
    """A collector, as those see it who come. It stores one snapshot after the other."""

    back_at_s: float
    hangs: tuple[float, float] = (0.0, 0.0)  # from when to when it accepts and says nothing; then all are cut off
    arrivals_s: list[float] = field(default_factory=list)  # since it is back, those who are sent away included
    let_in_s: list[float] = field(default_factory=list)
    acknowledged_s: list[float] = field(default_factory=list)
    free_at_s: float = 0.0

    def __post_init__(self) -> None:
        clock = asyncio.get_running_loop().time
        load, limits = Load(), Limits()
        self._admission = Admission(limits.streams_per_second, Quotas(limits, load, clock), load, clock)

    def refuses_s(self, at_s: float) -> float | None:
        """When somebody who comes at this moment knows that nobody is there; None if somebody is."""
        if at_s >= self.back_at_s:
            return None
        if self.hangs[0] <= at_s < self.hangs[1]:
            return min(at_s + WELCOME_TIMEOUT_S, self.hangs[1])
        return at_s

    async def knock(self, host: str) -> float | None:
        """None once a snapshot is acknowledged; else seconds after which to come back."""
        clock = asyncio.get_running_loop().time
        self.arrivals_s.append(clock())
        arrival = await self._admission.enter(host)
        if not isinstance(arrival, Arrival):
            return arrival
        self.let_in_s.append(clock())
        self.free_at_s = max(self.free_at_s, clock()) + STORING_S
        await asyncio.sleep(self.free_at_s - clock())
        self.acknowledged_s.append(self.free_at_s)
        arrival.over()
        return None


class Agent:
    """One that loses its stream at 0. Its clock runs ahead of the others' while nobody is there: nothing it does then
    matters to them."""

    def __init__(self, seed: int, number: int) -> None:
        self.host = f"host{number}"
        self.now_s = 0.0
        self.attempts = 0
        self.backoff = Backoff(random.Random(seed * 1_000_003 + number), clock=lambda: self.now_s)

    async def come_back(self, doors: list[Door], wait_s: float | None = None) -> None:
        """Until the first acknowledgement, as Uplink does it. `wait_s` is waited first, if it was sent away."""
        wait_s = self.backoff.after_failure(len(doors)) if wait_s is None else self.backoff.after_sent_away(wait_s)
        for door in itertools.cycle(doors):
            self.now_s += wait_s
            self.attempts += 1
            refuses_s = door.refuses_s(self.now_s)
            if refuses_s is not None:
                self.now_s = refuses_s
                wait_s = self.backoff.after_failure(len(doors))
                continue
            clock = asyncio.get_running_loop().time
            await asyncio.sleep(self.now_s - clock())
            after_s = await door.knock(self.host)
            if after_s is None:
                return
            self.now_s = clock()
            wait_s = self.backoff.after_sent_away(after_s)


def most_in_a_second(moments_s: list[float]) -> int:
    """Of any second, wherever it begins."""
    moments_s = sorted(moments_s)
    most = first = 0
    for last, moment_s in enumerate(moments_s):
        while moment_s - moments_s[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most
