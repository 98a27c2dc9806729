"""What hosts tell over their lives, drawn from a seed: streams that they open, snapshots in one part and in several,
differences, and now and then what is rare among these.

What must stay true: one seed tells the same, and a host tells what is so, unless its digest is drawn to be wrong.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from fleetnet_server.network import Namespace
from fleetnet_server.records import (
    Batch,
    ClosedSocket,
    Digest,
    Gap,
    Hello,
    Holder,
    Process,
    SnapshotPart,
    Socket,
    SourceStatus,
)
from fleetnet_server.services import digests
from server.reports import (
    BEFORE,
    CLOSE_WAIT,
    ESTABLISHED,
    EXACT,
    LISTEN,
    T0,
    TIME_WAIT,
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

STATES = (ESTABLISHED, CLOSE_WAIT, TIME_WAIT, LISTEN)
WRONG = Digest(1, 7)


class Life:
    """One host."""

    def __init__(self, seed: int, number: int) -> None:
        self._draw = random.Random(seed)
        self._number = number
        self._boots = count(1)
        self._epochs = count(1)
        self._cookies = count(1)
        self._open: dict[int, Socket] = {}
        self._look_us = T0
        self._begin(booted=True)

    def tell(self, events: int) -> Iterator[Hello | Batch]:
        """It arrives, and then does some things; each batch belongs to the stream that the Hello before it opened."""
        for _ in range(4):
            self._opens()
        yield from self._arrives()
        for _ in range(events):
            kind = self._draw.random()
            if kind < 0.7:
                yield self._difference()
            elif kind < 0.8:
                yield from self._snapshot()
            else:
                yield from self._comes_back()

    def _begin(self, *, booted: bool) -> None:
        """Another agent."""
        if booted:
            self._boot_id = bytes([self._number + 1, next(self._boots)]) * 8
            self._open.clear()
        self._epoch = next(self._epochs)
        self._sequence = 0

    def _comes_back(self) -> Iterator[Hello | Batch]:
        kind = self._draw.random()
        if kind < 0.6:
            self._begin(booted=kind < 0.25)
        self._unseen()
        yield from self._arrives()

    def _arrives(self) -> Iterator[Hello | Batch]:
        self._look_us += S
        said = hello(self._look_us, boot_id=self._boot_id, epoch=self._epoch)
        yield replace(said, machine_id_hash=bytes([self._number + 1]) * 32)
        if self._sequence and self._draw.random() < 0.3:
            yield self._difference()  # which was on its way when the stream before ended
        yield from self._snapshot()

    def _unseen(self) -> None:
        """What happens while nothing is told."""
        for cookie in self._some(3):
            del self._open[cookie]
        for cookie in self._some(3):
            self._open[cookie] = self._open[cookie]._replace(state=self._draw.choice(STATES))
        for _ in range(self._draw.randrange(3)):
            self._opens()
        self._look_us += self._draw.randrange(1, 90) * S

    def _some(self, most: int) -> list[int]:
        return self._draw.sample(sorted(self._open), min(len(self._open), self._draw.randrange(most + 1)))

    def _opens(self) -> Socket:
        exactly = self._look_us - self._draw.randrange(S)
        one = sock(
            next(self._cookies), exactly, ESTABLISHED, how=EXACT, holder=self._holder(), remote=bytes(4), remote_port=9
        )
        self._open[one.key.cookie] = one
        return one

    def _holder(self) -> Holder:
        process = Process(self._draw.randrange(9), T0, "p", "/p", "p")
        return Holder(self._draw.randrange(3), "u", "a.service", "", 1, (process,))

    def _digest(self) -> Digest:
        total = sum(digests.number(one.key, one.state) for one in self._open.values())
        return Digest(len(self._open), total % 2**64)

    def _batch(self, batch: Batch) -> Batch:
        self._sequence += 1
        return replace(batch, boot_id=self._boot_id, epoch=self._epoch, sequence=self._sequence)

    def _look(self) -> int:
        """The time of the next; now and then the clock is set back."""
        self._look_us += -3 * S if self._draw.random() < 0.05 else S
        return self._look_us

    def _difference(self) -> Batch:
        look_us = self._look()
        opened = [self._opens() for _ in range(self._draw.randrange(4))]
        brief = [one for one in opened if self._draw.random() < 0.3]
        closed = [gone(5000, look_us), *(self._ends(one.key.cookie, EXACT) for one in brief)]
        changed = []
        for cookie in self._some(3):
            if self._open[cookie] in opened:
                continue
            if self._draw.random() < 0.5:
                changed.append(self._changes(cookie))
            if self._draw.random() < 0.4:
                closed.append(self._ends(cookie))
        told = difference(
            0, look_us, previous_us=look_us - S, opened=tuple(opened), changed=tuple(changed), closed=tuple(closed)
        )
        more = (told,) * 12 + tuple(self._with_more(told))
        return self._batch(self._draw.choice(more))

    def _changes(self, cookie: int) -> Socket:
        self._open[cookie] = self._open[cookie]._replace(
            state=self._draw.choice(STATES),
            recv_queue=self._draw.randrange(3),
            holder=self._holder(),
            opened_at_us=self._look_us,
        )
        return self._open[cookie]

    def _ends(self, cookie: int, how: int = 2) -> ClosedSocket:
        del self._open[cookie]
        return gone(cookie, self._look_us - self._draw.randrange(S // 2), how)

    def _with_more(self, batch: Batch) -> Iterator[Batch]:
        """The batch with something that is rare in a difference."""
        yield replace(batch, gaps=(Gap(batch.look_at_us - S, batch.look_at_us, "ends were lost"),))
        yield replace(batch, sources=(SourceStatus("tcp", ok=False, detail="no"),))
        yield replace(batch, namespaces=(space(7, "blue"),))
        yield replace(batch, namespaces_gone=(7,))
        yield replace(batch, digest=self._digest())
        yield replace(batch, digest=WRONG)

    def _snapshot(self) -> Iterator[Batch]:
        look_us = self._look() if self._draw.random() < 0.7 else self._look_us  # else that of the last difference
        told = [one._replace(opened_at_us=look_us, opened_at_is=BEFORE) for one in self._open.values()]
        parts = 1 if self._draw.random() < 0.75 else self._draw.randrange(2, 4)
        for part in range(parts):
            batch = replace(snapshot(0, look_us, *told[part::parts]), snapshot=SnapshotPart(part, part == parts - 1))
            if part == 0:
                batch = replace(batch, namespaces=self._spaces(), sources=self._sources())
            if part == parts - 1:
                batch = replace(batch, digest=self._draw.choice((None, WRONG, *(self._digest(),) * 6)))
                batch = replace(batch, gaps=self._draw.choice(((), (), self._away(look_us))))
            yield self._batch(batch)
        if self._draw.random() < 0.2:
            yield self._difference()

    def _spaces(self) -> tuple[Namespace, ...]:
        mtu = self._draw.choice((1500, 1500, 9000))
        own = space(0, interfaces=(interface(1, mtu),), routes=tuple(map(route, self._draw.sample(range(4), 2))))
        return self._draw.choice(((own,), (own, space(7, "blue", interfaces=(interface(2),)))))

    def _sources(self) -> tuple[SourceStatus, ...]:
        return tuple(SourceStatus(name, self._draw.random() < 0.8, "") for name in ("tcp", "unix", "udp"))

    def _away(self, look_us: int) -> tuple[Gap, ...]:
        begun_us = look_us - self._draw.randrange(1, 100) * S
        return (Gap(begun_us, look_us, "the collector was away", kept=self._draw.random() < 0.5),)
