"""How large and how quick the memory is: `python -m bench.storage` (or `make bench-storage`).

A database is filled with a fleet's present and past by the collector's own storage. Then, in this order:

    1. what a closed interval takes on disk, indexes included;
    2. how many intervals a second the storage alone opens and closes, in transactions of some thousand rows;
    3. how long each question takes, as the collector asks it: first with nothing else going on, then while another
       process writes so many changes a second. The first page is what a person waits for; all of it is the whole
       answer.

With --postgresql a server of its own, else SQLite. Bars are the targets for PostgreSQL with 10,000 hosts of 300
sockets; on SQLite a tenth of that is usual. Everything shares the machine.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fleetnet_server.records import Host, Net, Selection, SocketQuestion
from fleetnet_server.services.questions import Questions
from fleetnet_server.storage import counts, holders, hosts, sockets
from fleetnet_server.storage.database import Connection, Database
from sqlalchemy import text

from bench import databases
from bench.fleet.population import now_us
from bench.measures import Bar
from bench.orders import Ordered
from bench.storage import fill

if TYPE_CHECKING:
    from server.postgresql import Server

T = TypeVar("T")

_GROUP = 2_000
_INTERVALS = 25  # of a batch
_WRITING_HOSTS = 40
_WITHIN_S = 600.0
# Its hosts were heard as it was filled, and stay fresh: a fleet of which every host is stale is not what is measured.
_FLEET = Selection(max_age_ms=86_400_000)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what its first page and the whole answer may take; None: nothing was promised."""

    what: str
    question: SocketQuestion | Callable[[Questions], AsyncGenerator[Any]]
    first_ms: float | None = None
    whole_ms: float | None = None


@dataclass(slots=True)
class Took:
    """Milliseconds, a figure each time."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    items: int = 0


def questions(days: float, now: int) -> list[Asked]:
    """What is asked."""
    hour_us = 3_600_000_000
    one = replace(_FLEET, host="host00007")
    back = replace(one, at_us=now - round(days * fill.DAY_US * 0.99))
    https, rare = ((443, 443),), ((fill.RARE_PORT, fill.RARE_PORT),)
    return [
        Asked(
            "who listens on a rare port, now",
            SocketQuestion(_FLEET, local_ports=rare, listeners_only=True),
            whole_ms=5,
        ),
        Asked("who listens on 443, now", SocketQuestion(_FLEET, local_ports=https, listeners_only=True), 10),
        Asked("who talks to an address, now", SocketQuestion(_FLEET, remotes=(Net(fill.ASKED_PEER, 32),)), whole_ms=10),
        Asked("one host, now", SocketQuestion(one), whole_ms=10),
        Asked(f"one host, {days:g} days back", SocketQuestion(back), whole_ms=50),
        Asked(
            "new listeners of the last hour",
            SocketQuestion(_FLEET, listeners_only=True, opened_since_us=now - hour_us),
            20,
        ),
        Asked("who holds CLOSE_WAIT, now", SocketQuestion(_FLEET, states=(fill.CLOSE_WAIT,))),
        Asked(
            "who listened on 443, an hour ago",
            SocketQuestion(replace(_FLEET, at_us=now - hour_us), local_ports=https, listeners_only=True),
        ),
        Asked("how many in each state, fleet, now", _counts, whole_ms=20),
        Asked("the same, every host being stale", _counts_of_stale),
        Asked("how many CLOSE_WAITs each host has", _counts_by_host),
        Asked("all hosts with their counts", lambda answers: answers.hosts(_FLEET, now_us())),
    ]


async def _counts(answers: Questions) -> AsyncGenerator[Any]:
    yield (await answers.counts(_FLEET, now_us())).counts


async def _counts_of_stale(answers: Questions) -> AsyncGenerator[Any]:
    # What is told then is the name of each.
    yield (await answers.counts(replace(_FLEET, max_age_ms=1), now_us())).counts


def _counts_by_host(answers: Questions) -> AsyncGenerator[Any]:
    return answers.counts_by_host(_FLEET, (fill.CLOSE_WAIT,), (), now_us())


class Bench:
    """One database."""

    def __init__(self, options: argparse.Namespace, url: str, server: "Server | None") -> None:
        self._options = options
        self._url = url
        self._server = server
        self._db = Database.open(url)
        self.bars: list[Bar] = []

    async def run(self) -> None:
        """All parts."""
        try:
            await self._fill()
            await self._size()
            await self._write()
            self._settle()
            now = now_us()
            quiet = await self._ask(now)
            writer = Ordered("bench.collectors.writer", "--database", self._url, "--name", "writer")
            try:
                busy = await self._ask_while_writing(writer, now)
            finally:
                writer.end()
            self._report(quiet, busy, now)
        finally:
            await self._db.close()

    async def _fill(self) -> None:
        options = self._options
        amounts = fill.Amounts(options.hosts, options.open, options.past // options.hosts, options.days)
        filler = fill.Filler(amounts, now_us(), options.seed)
        began_s = time.monotonic()
        for number in range(options.hosts):
            await self._db.write(filler.host, number)
        took_s = time.monotonic() - began_s
        print(f"  filled in {took_s:.0f} s: {options.hosts * options.open:,} open, {options.past:,} closed", flush=True)

    async def _size(self) -> None:
        """What history takes."""
        rows = await self._db.read(_scalar, "SELECT count(*) FROM history")
        if self._server is not None:
            size = await self._db.read(_scalar, "SELECT pg_total_relation_size('history')")
        else:
            its_own = "SELECT name FROM sqlite_schema WHERE tbl_name = 'history'"
            size = await self._db.read(_scalar, f"SELECT sum(pgsize) FROM dbstat WHERE name IN ({its_own})")
        limit = 180 if self._server else 150
        self.bars.append(Bar("a closed interval, indexes included", limit, size / rows, "B"))

    async def _write(self) -> None:
        """Intervals opened in one transaction and closed in the next."""
        filler = fill.Filler(fill.Amounts(1, 0, 0, self._options.days), now_us(), self._options.seed + 1)
        host = await self._db.write(_a_host, "writes")
        held = filler.holders()
        named = await self._db.write(holders.record, host.host_id, bytes(16), held)
        made = list(filler.past(host.host_id, held, named, self._options.intervals))
        groups = [made[at : at + _GROUP] for at in range(0, len(made), _GROUP)]
        began_s = time.monotonic()
        for group in groups:
            await self._db.write(_counted, sockets.open_new, [row for row, _ in group])
            await self._db.write(_counted, sockets.end, [ending for _, ending in group])
        took_s = time.monotonic() - began_s
        limit = 35_000 if self._server else 15_000
        rate = len(made) / took_s
        self.bars.append(Bar("intervals opened and closed a second, storage alone", limit, rate, "", at_least=True))

    def _settle(self) -> None:
        if self._server is not None:
            self._server.execute("VACUUM (ANALYZE)", "CHECKPOINT")

    async def _ask(self, now: int, until: Callable[[int], bool] | None = None) -> list[Took]:
        """Each question in turn, so often or until then."""
        asked = questions(self._options.days, now)
        took = [Took() for _ in asked]
        answers = Questions(self._db)
        rounds = 0
        while until(rounds) if until else rounds < self._options.rounds:
            for one, figures in zip(asked, took, strict=True):
                ask = one.question
                answer = ask(answers) if callable(ask) else answers.sockets(ask, now_us())
                await _time(answer, figures)
            rounds += 1
        return took

    async def _ask_while_writing(self, writer: Ordered, now: int) -> list[Took]:
        options = self._options
        batches = max(1, round(options.changes / 2 / _INTERVALS / _WRITING_HOSTS))  # a host and second
        for order in (f"hosts {_WRITING_HOSTS}", f"prepare {batches * options.seconds} {_INTERVALS}"):
            writer.tell(order)
            await asyncio.to_thread(writer.answer, _WITHIN_S)
        writer.tell(f"go {options.seconds} {batches}")
        told = asyncio.ensure_future(asyncio.to_thread(writer.answer, _WITHIN_S))
        took = await self._ask(now, lambda _: not told.done())
        figures = await told
        rate = figures["intervals"] * 2 / figures["seconds"]
        print(f"  while asked, {rate:,.0f} changes a second were stored (meant: {options.changes:,.0f})", flush=True)
        return took

    def _report(self, quiet: list[Took], busy: list[Took], now: int) -> None:
        print(f"  {'ms, median and p99':<34} {'items':>6}  {'alone: first page':<17}{'whole':<17}", end="")
        print(f"{'written to: first':<17}{'whole':<17}")
        for one, alone, beside in zip(questions(self._options.days, now), quiet, busy, strict=True):
            cells = "".join(_cell(figures) for took in (alone, beside) for figures in (took.first, took.whole))
            print(f"  {one.what:<34} {alone.items:>6}  {cells}")
            for limit, figures, of in (
                (one.first_ms, beside.first, "first page"),
                (one.whole_ms, beside.whole, "whole"),
            ):
                if limit is not None and figures:
                    self.bars.append(Bar(f"{one.what}, {of}, p99 while written to", limit, _p99(figures), "ms"))


def _cell(figures: list[float]) -> str:
    return f"{statistics.median(figures):>7.1f} {_p99(figures):>7.1f}  " if figures else " " * 17


def _p99(figures: list[float]) -> float:
    return sorted(figures)[min(len(figures) - 1, int(len(figures) * 0.99))]


async def _time(answer: AsyncGenerator[Any], figures: Took) -> None:
    began_s = time.perf_counter()
    pages = items = 0
    async with aclosing(answer):
        async for part in answer:
            if isinstance(part, tuple):
                pages += 1
                items += len(part)
                if pages == 1:
                    figures.first.append((time.perf_counter() - began_s) * 1_000)
    figures.whole.append((time.perf_counter() - began_s) * 1_000)
    figures.items = items


def _counted(conn: Connection, store: Callable[[Connection, list[T], counts.Tally], object], rows: list[T]) -> None:
    with counts.kept(conn) as tally:
        store(conn, rows, tally)


def _scalar(conn: Connection, statement: str) -> int:
    return int(conn.execute(text(statement)).scalar_one())


def _a_host(conn: Connection, name: str) -> Host:
    return hosts.enroll(conn, name, "ff", now_us())


def main() -> int:
    """Measure, print, and say what did not hold; a bench reports and does not judge, so 0 in any case."""
    options = _options()
    server = databases.durable() if options.postgresql else None
    engine = "PostgreSQL" if server else "SQLite"
    print(f"{options.hosts:,} hosts, {engine}, {os.cpu_count()} cores, seed {options.seed}", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="fn-bench-") as directory:
            bench = Bench(options, server.url() if server else f"sqlite:///{Path(directory)}/fleetnet.db", server)
            asyncio.run(bench.run())
    finally:
        if server is not None:
            server.remove()
    for bar in bench.bars:
        print(bar.line())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.storage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--postgresql", action="store_true", help="start one, and keep everything there")
    parser.add_argument("--hosts", type=int, help="default 10,000 on PostgreSQL and 1,000 on SQLite")
    parser.add_argument("--open", type=int, default=300, help="sockets that each host holds open")
    parser.add_argument("--past", type=int, help="closed intervals of all hosts (default a third of what is open)")
    parser.add_argument("--days", type=float, default=30.0, help="that those lie in")
    parser.add_argument("--intervals", type=int, default=200_000, help="that are opened and closed by storage alone")
    parser.add_argument("--changes", type=float, default=10_000.0, help="a second, while questions are asked")
    parser.add_argument("--seconds", type=int, default=30, help="for which that goes on")
    parser.add_argument("--rounds", type=int, default=100, help="of questions with nothing else going on")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.hosts = options.hosts or (10_000 if options.postgresql else 1_000)
    options.past = options.past or options.hosts * options.open // 3
    return options


if __name__ == "__main__":
    sys.exit(main())
