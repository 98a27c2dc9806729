"""What retention costs those who report meanwhile: `python -m bench.retention` (or `make bench-retention`).

A database is filled with rows of history, most of which are too old. Then hosts tell what changed, at a steady rate,
through a collector's own ingest and writer, for a while alone and then while a round of retention deletes all that is
too old. A commit is timed from when a host's batch is handed over to when it would be acknowledged, its waiting for
the 40 ms in which batches share a commit included. Hosts make their batches in this process, as records of the
collector's: what that takes is the same with and without retention.

Beside it stand the bytes that a row of history takes, how much is deleted a second, and how long steps kept the writer.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fleetnet_server.keep import Keep
from fleetnet_server.records import (
    Batch,
    ClosedSocket,
    Hello,
    Holder,
    HostFacts,
    Process,
    Session,
    SnapshotPart,
    Socket,
    SocketKey,
)
from fleetnet_server.services.ingest import Ingest
from fleetnet_server.services.retention import Pace, Retention
from fleetnet_server.storage import holders, hosts, ids, sockets
from fleetnet_server.storage.database import Connection, Database
from fleetnet_server.storage.sockets import Ending, OpenSocket
from sqlalchemy import text

from bench import databases
from bench.fleet.population import now_us
from bench.measures import Bar

_DAY_US: Final = 86_400_000_000
_FACTS: Final = HostFacts("Debian GNU/Linux 12", "6.1.0", "x86_64", 4, 4 << 30, 0)
_ESTABLISHED, _TIME_WAIT, _LISTEN = 1, 6, 10  # include/net/tcp_states.h
_SEEN, _EXACT = 2, 1  # OpenedAtIs and ClosedAtIs of the wire
_TCP, _ANY = 6, 5  # IANA; Scope.ANY
_OPEN: Final = 200  # of each host
_GATHER_S: Final = 0.04  # run/collector.py
_FILLED_AT_ONCE: Final = 5_000
# What is in history, of ten rows: state, how many, from how many to how many days ago it ended. All but listeners are
# too old for what is kept by default.
_MIX: Final = ((_TIME_WAIT, 5, 1.1, 3.0), (_ESTABLISHED, 4, 31.0, 60.0), (_LISTEN, 1, 2.0, 60.0))


class Host:
    """A host and its stream: of its sockets the oldest end, and as many open."""

    def __init__(self, session: Session, seed: int) -> None:
        self.session = session
        self.boot_id = session.boot_id
        self._address = seed.to_bytes(4, "big")
        self._cookies = itertools.count(1)
        self._sequence = itertools.count(1)
        process = Process(500, 0, "nginx", "/usr/sbin/nginx", "nginx")
        self.holder = Holder(33, "www-data", "nginx.service", "", 1, (process,))
        self._open: deque[SocketKey] = deque()
        self._last_us = now_us()

    def socket(self, state: int, at_us: int) -> Socket:
        """One that was not there before."""
        cookie = next(self._cookies)
        key = SocketKey(0, _TCP, cookie, 0, b"")
        peer, port = ((10, cookie >> 16 & 255, cookie >> 8 & 255, cookie & 255), 1024 + cookie % 60_000)
        remote = (b"", 0) if state == _LISTEN else (bytes(peer), port)
        inode = 0 if state == _TIME_WAIT else 20_000 + cookie
        return Socket(
            key, 4, state, self._address, 443, *remote, "", None, 0, 0, inode, 1, self.holder, at_us, _SEEN
        )  # fmt: skip

    def snapshot(self) -> Batch:
        """All that is open."""
        opened = tuple(self.socket(_ESTABLISHED, self._last_us) for _ in range(_OPEN))
        self._open.extend(socket.key for socket in opened)
        return self._batch(self._last_us, 0, SnapshotPart(0, True), opened, ())

    def change(self, changes: int) -> Batch:
        """As many end as open."""
        before_us, self._last_us = self._last_us, now_us()
        opened = tuple(self.socket(_ESTABLISHED, self._last_us) for _ in range(changes // 2))
        self._open.extend(socket.key for socket in opened)
        closed = tuple(ClosedSocket(self._open.popleft(), self._last_us - 1, _EXACT) for _ in opened)
        return self._batch(self._last_us, before_us, None, opened, closed)

    def _batch(
        self,
        look_us: int,
        before_us: int,
        part: SnapshotPart | None,
        opened: tuple[Socket, ...],
        closed: tuple[ClosedSocket, ...],
    ) -> Batch:
        sequence = next(self._sequence)
        return Batch(self.boot_id, 1, sequence, look_us, before_us, part, opened, (), closed, (), ())


@dataclass
class Latencies:
    """How long commits took while something went on."""

    seconds: list[float] = field(default_factory=list)
    changes: int = 0

    def quantile_ms(self, percent: int) -> float:
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[percent - 1] * 1_000

    def line(self, what: str, took_s: float) -> str:
        return (
            f"  {what:<28} {self.changes / took_s:>8,.0f} changes/s  commits p50 {self.quantile_ms(50):6.1f} ms  "
            f"p99 {self.quantile_ms(99):6.1f} ms  most {max(self.seconds) * 1_000:6.1f} ms"
        )


class Bench:
    """One database, and the hosts that tell."""

    def __init__(self, url: str, options: argparse.Namespace) -> None:
        self._options = options
        self._db = Database.open(url, _GATHER_S)
        self._ingest = Ingest(self._db)
        self._hosts: list[Host] = []
        self._steps_s: list[float] = []

    async def run(self) -> list[Bar]:
        """Everything."""
        try:
            await self._join()
            bars = [await self._fill()]
            _, before = await self._load(asyncio.create_task(asyncio.sleep(self._options.seconds)), "without retention")
            retention = Retention(self._db, Keep(), self._rest)
            began_s = time.monotonic()
            round_ = asyncio.create_task(retention.round(now_us()))
            took_s, during = await self._load(round_, "with retention")
            deleted = Counter[str]() if round_.cancelled() else round_.result()
            took_s = time.monotonic() - began_s
            self._say_steps(deleted, took_s)
            ratio = during.quantile_ms(99) / before.quantile_ms(99)
            return [*bars, Bar("commits with retention to those without, p99", 2, ratio, "times")]
        finally:
            await self._db.close()

    async def _join(self) -> None:
        for number in range(self._options.hosts):
            # Of each host another: what names its sockets is made from it.
            hello = Hello("0.1.0", number.to_bytes(16, "big"), 1, b"", now_us(), 0, _FACTS, 1.0, 4026531840)
            host = await self._db.write(hosts.enroll, f"host{number}", "0a", now_us())
            self._hosts.append(Host(await self._ingest.open(host.name, hello, now_us(), "0a"), number))
            await self._ingest.commit(self._hosts[-1].session, self._hosts[-1].snapshot(), now_us())

    async def _fill(self) -> Bar:
        """History, of all hosts alike, in the order in which it ended."""
        began_s, empty = time.monotonic(), await self._db.read(_bytes)
        rows = self._past(self._options.rows)
        while some := list(itertools.islice(rows, _FILLED_AT_ONCE)):
            await self._db.write(sockets.pass_through, some, rows=len(some))
        took_s = time.monotonic() - began_s
        each = (await self._db.read(_bytes) - empty) / self._options.rows
        print(f"  {self._options.rows:,} rows of history in {took_s:.0f} s", flush=True)
        postgresql = await self._db.read(lambda conn: conn.dialect.name == "postgresql")
        return Bar("a row of history with its indexes", 180 if postgresql else 150, each, "B")

    def _past(self, rows: int) -> Iterator[tuple[OpenSocket, Ending]]:
        now = now_us()
        named = [holders.tell(h.session.host_id, h.boot_id, [h.holder]).names[id(h.holder)] for h in self._hosts]
        for state, share, from_days, to_days in sorted(_MIX, key=lambda one: -one[3]):
            count = rows * share // 10
            for number in range(count):
                which = number % len(self._hosts)
                host = self._hosts[which]
                host_id = host.session.host_id
                at_us = now - int((to_days - (to_days - from_days) * number / count) * _DAY_US)
                socket = host.socket(state, at_us - 5_000_000)
                scope = _ANY if state == _LISTEN else 0
                socket_id = ids.socket_id(host.boot_id, socket.key)
                row = OpenSocket(host_id, socket_id, socket, named[which], scope, socket.opened_at_us, at_us)
                yield row, Ending(host_id, socket_id, at_us, _EXACT, at_us)

    async def _load(self, until: "asyncio.Task[object]", what: str) -> tuple[float, Latencies]:
        """Hosts tell until something is over."""
        told = Latencies()
        began_s = time.monotonic()
        telling = [asyncio.create_task(self._tell(place, told)) for place in range(len(self._hosts))]
        try:
            await asyncio.wait([until, *telling], return_when=asyncio.FIRST_COMPLETED, timeout=self._options.at_most)
        finally:
            took_s = time.monotonic() - began_s
            until.cancel()
            for task in telling:
                task.cancel()
            # What has been handed over is stored all the same, and its stream goes on behind it.
            outcomes = await asyncio.gather(until, *telling, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        print(told.line(what, took_s), flush=True)
        return took_s, told

    async def _tell(self, place: int, told: Latencies) -> None:
        """A batch a second, each host at a moment of its own."""
        host, changes = self._hosts[place], self._options.changes // len(self._hosts)
        await asyncio.sleep(place / len(self._hosts))
        at_s = time.monotonic()
        while True:
            began_s = time.monotonic()
            await asyncio.shield(self._ingest.commit(host.session, host.change(changes), now_us()))
            told.seconds.append(time.monotonic() - began_s)
            told.changes += changes
            at_s = max(at_s + 1, time.monotonic() - 1)
            await asyncio.sleep(at_s - time.monotonic())

    async def _rest(self, seconds: float) -> None:
        self._steps_s.append(seconds / (1 / Pace.SHARE - 1))
        await asyncio.sleep(seconds)

    def _say_steps(self, deleted: Counter[str], took_s: float) -> None:
        rows = sum(deleted.values())
        ninety_nine = statistics.quantiles(self._steps_s, n=100, method="inclusive")[98]
        told = ", ".join(f"{count:,} {what}" for what, count in deleted.most_common()) or "not all of it"
        print(
            f"  deleted in {took_s:.0f} s: {told} ({rows / took_s:,.0f} a second)\n"
            f"  {len(self._steps_s)} steps kept the writer for {statistics.median(self._steps_s) * 1_000:.1f} ms, "
            f"99 of 100 for at most {ninety_nine * 1_000:.1f}, the longest for {max(self._steps_s) * 1_000:.1f}; "
            f"{sum(self._steps_s) / took_s:.0%} of its time",
            flush=True,
        )


def _bytes(conn: Connection) -> int:
    """Of history and its indexes; of SQLite the whole file, in which nothing else grows meanwhile."""
    if conn.dialect.name == "postgresql":
        return int(conn.execute(text("SELECT pg_total_relation_size('history')")).scalar_one())
    pages = conn.execute(text("PRAGMA page_count")).scalar_one()
    return int(pages * conn.execute(text("PRAGMA page_size")).scalar_one())


def main() -> int:
    """Measure, print, and say what did not hold; a bench reports and does not judge, so 0 in any case."""
    options = _options()
    print(f"{'PostgreSQL' if options.postgresql else 'SQLite'}, {options.hosts} hosts", flush=True)
    with ExitStack() as held:
        if options.postgresql:
            server = databases.durable()
            held.callback(server.remove)
            url = server.url()
        else:
            directory = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="fleetnet-retention-")))
            url = f"sqlite:///{directory / 'fleetnet.db'}"
        for bar in asyncio.run(Bench(url, options).run()):
            print(bar.line())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.retention", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="of history, nine of ten too old")
    parser.add_argument("--changes", type=int, default=10_000, help="that hosts tell a second")
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=20, help="for which they tell without retention")
    parser.add_argument("--at-most", type=int, default=900, help="seconds after which a round is broken off")
    parser.add_argument("--postgresql", action="store_true", help="a server of its own, with fsync")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
