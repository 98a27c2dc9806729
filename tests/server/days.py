"""Hosts that go on at random for days, by the hour: sockets of every kind, restarts, gaps, interfaces and routes."""

import random
from dataclasses import dataclass, field

from fleetnet_server.network import Namespace
from fleetnet_server.records import Batch, Gap, Holder, Process
from server.reports import (
    CLOSE,
    CLOSE_WAIT,
    ESTABLISHED,
    EXACT,
    LISTEN,
    T0,
    TIME_WAIT,
    WEB,
    Collector,
    S,
    difference,
    gone,
    hello,
    interface,
    route,
    snapshot,
    sock,
    space,
)
from server.stories import LO, PEER

HOUR = 3_600 * S
UNSEEN = 4


@dataclass
class Life:
    """A host that goes on at random: each look opens, changes and ends some."""

    draw: random.Random
    name: str
    now_us: int = T0  # its last look
    sequence: int = 0
    epoch: int = 1
    cookie: int = 0
    open: dict[int, int] = field(default_factory=dict)  # cookie and state

    async def begin(self, c: Collector) -> None:
        """Connect, again or for the first time, and tell all that is open."""
        self.session = await c.connect(await c.enroll(self.name), hello(self.now_us, epoch=self.epoch), self.now_us)
        told = [sock(cookie, self.now_us, state, holder=self._holder()) for cookie, state in self.open.items()]
        self.sequence = 1
        await c.report(self.session, snapshot(1, self.now_us, *told, namespaces=(self._space(),), epoch=self.epoch))

    async def go_on(self, c: Collector) -> None:
        """Some hours later."""
        before_us, self.now_us = self.now_us, self.now_us + self.draw.randrange(1, 9) * HOUR
        if self.draw.random() < 0.15:
            self.epoch += 1
            await self.begin(c)
        else:
            self.sequence += 1
            await c.report(self.session, self._look(before_us))

    def _look(self, before_us: int) -> Batch:
        opened, changed, closed = [], [], []
        for cookie, state in list(self.open.items()):
            chance = self.draw.random()
            if chance < 0.2:
                closed.append(gone(cookie, self.draw.randrange(before_us, self.now_us)))
                del self.open[cookie]
            elif chance < 0.3 and state == ESTABLISHED:
                self.open[cookie] = self.draw.choice((TIME_WAIT, CLOSE_WAIT))
                changed.append(sock(cookie, self.now_us, self.open[cookie], holder=self._holder()))
        for _ in range(self.draw.randrange(6)):
            self.cookie += 1
            self.open[self.cookie] = self.draw.choice((LISTEN, ESTABLISHED, ESTABLISHED, TIME_WAIT))
            opened.append(sock(self.cookie, self.now_us, self.open[self.cookie], holder=self._holder()))
        for _ in range(self.draw.randrange(3)):
            self.cookie += 1
            at_us = self.draw.randrange(before_us, self.now_us)
            opened.append(sock(self.cookie, at_us, CLOSE, how=UNSEEN, local=LO, remote=PEER, remote_port=9))
            closed.append(gone(self.cookie, at_us, EXACT))
        return difference(
            self.sequence, self.now_us, previous_us=before_us, opened=tuple(opened), changed=tuple(changed),
            closed=tuple(closed), epoch=self.epoch, namespaces=(self._space(),) if self.draw.random() < 0.5 else (),
            gaps=(Gap(before_us, before_us + HOUR, "missed"),) if self.draw.random() < 0.2 else (),
        )  # fmt: skip

    def _holder(self) -> Holder:
        """One of those that last, or one that is there for this alone."""
        if self.draw.random() < 0.5:
            return WEB
        return Holder(0, "root", "", "", 1, (Process(self.draw.randrange(1 << 20), self.now_us, "curl", "", "curl"),))

    def _space(self) -> Namespace:
        """Interfaces and routes, some of them other ones."""
        draw = self.draw
        return space(
            interfaces=tuple(interface(n, mtu=draw.choice((1400, 1500))) for n in range(1, 3)),
            routes=tuple(route(n) for n in range(4) if draw.random() < 0.5),
        )
