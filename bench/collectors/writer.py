"""One collector's storage in a process of its own, with hosts of its own, told what to do line by line.

    python -m bench.collectors.writer --database URL --name NAME

reads orders from stdin, one a line, and answers each with one line of JSON:

    hosts N                     from now on so many hosts, that were not there before
    prepare BATCHES INTERVALS   have so many batches ready for each, of so many intervals each: that many sockets open
                                in a batch, as many end
    go SECONDS [BATCHES]        store them: of each host one after the other, and so many a second at most, of all hosts
                                at once

What is made here is made as agents make it and as the collector reads it, and before it is stored: of a round only the
storing is timed.
"""

import argparse
import asyncio
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import psycopg
from fleetnet_proto.v1 import report_pb2
from fleetnet_server.records import Batch, Hello, HostFacts, Session
from fleetnet_server.rpc import translate_report
from fleetnet_server.services.ingest import Ingest
from fleetnet_server.storage import hosts
from fleetnet_server.storage.database import Database

from bench.fleet.population import Population, now_us

_FACTS: Final = HostFacts("Debian GNU/Linux 12", "6.1.0", "x86_64", 4, 4 << 30, 0)
_BOOT_ID: Final = bytes(range(16))
_CONNECTIONS: Final = 200


class Commits:
    """How often the writer's thread has committed, and how long it waited for that."""

    def __init__(self) -> None:
        self.count = 0
        self.waited_s = 0.0
        commit = psycopg.Connection.commit

        def timed(connection: "psycopg.Connection[Any]") -> None:
            began_s = time.monotonic()
            commit(connection)
            if threading.current_thread().name == "fleetnet-writer":
                self.count += 1
                self.waited_s += time.monotonic() - began_s

        psycopg.Connection.commit = timed  # type: ignore[method-assign, assignment]  # nothing else says how long it takes


class Host:
    """A host, its stream, and what it is going to tell."""

    def __init__(self, session: Session, seed: int) -> None:
        self._session = session
        self._population = Population(seed, _CONNECTIONS)
        self._sequence = 0
        self._made: deque[Batch] = deque()

    async def begin(self, ingest: Ingest) -> None:
        """Tell what is open."""
        for body, _ in self._population.snapshot():
            await ingest.commit(self._session, self._batch(body), now_us())

    def prepare(self, batches: int, intervals: int) -> None:
        """Have so many batches ready, of so many intervals each; what another round has left over is among them."""
        while len(self._made) < batches:
            self._made.extend(map(self._batch, self._population.change(intervals)))

    async def tell(self, ingest: Ingest, until_s: float, every_s: float) -> tuple[int, int]:
        """One batch after the other until then, no oftener than that; how many, and how many intervals have ended in
        them."""
        batches = intervals = 0
        due_s = time.monotonic() + every_s * (self._session.host_id * 0.618 % 1)  # hosts keep out of step
        while self._made and time.monotonic() < until_s:
            await asyncio.sleep(due_s - time.monotonic())
            due_s += every_s
            batch = self._made.popleft()
            await ingest.commit(self._session, batch, now_us())
            batches += 1
            intervals += len(batch.closed)
        return batches, intervals

    def _batch(self, body: bytes) -> Batch:
        message = report_pb2.Batch.FromString(body)
        self._sequence += 1
        message.boot_id, message.epoch, message.sequence = self._session.boot_id, self._session.epoch, self._sequence
        return translate_report.batch(message)


class Writer:
    """The collector's storage and its hosts."""

    def __init__(self, db: Database, name: str, commits: Commits) -> None:
        self._ingest = Ingest(db)
        self._db = db
        self._name = name
        self._commits = commits
        self._hosts: list[Host] = []
        self._joined = 0

    async def hosts(self, count: int) -> dict[str, float]:
        """Other hosts, of each of which it is known what is open."""
        self._hosts = []
        for _ in range(count):
            self._joined += 1
            host = await self._db.write(hosts.enroll, f"{self._name}-{self._joined}", "0a", now_us())
            hello = Hello("0.1.0", _BOOT_ID, 1, b"", now_us(), 0, _FACTS, 1.0, 4026531840)
            session = await self._ingest.open(host.name, hello, now_us(), "0a")
            self._hosts.append(Host(session, session.host_id))
            await self._hosts[-1].begin(self._ingest)
        return {}

    async def prepare(self, batches: int, intervals: int) -> dict[str, float]:
        """Batches for each host."""
        for host in self._hosts:
            host.prepare(batches, intervals)
        return {}

    async def go(self, seconds: int, batches: int = 0) -> dict[str, float]:
        """What was stored in that time, and at what cost."""
        before = (self._commits.count, self._commits.waited_s, time.process_time())
        began_s, every_s = time.monotonic(), 1 / batches if batches else 0.0
        told = await asyncio.gather(*(host.tell(self._ingest, began_s + seconds, every_s) for host in self._hosts))
        took_s = time.monotonic() - began_s
        return {
            "seconds": took_s,
            "batches": sum(one for one, _ in told),
            "intervals": sum(intervals for _, intervals in told),
            "commits": self._commits.count - before[0],
            "waited_s": self._commits.waited_s - before[1],
            "cpu_s": time.process_time() - before[2],
        }


async def _run(options: argparse.Namespace, commits: Commits) -> None:
    writer = Writer(Database.open(options.database), options.name, commits)
    orders: dict[str, Callable[..., Awaitable[dict[str, float]]]] = {
        "hosts": writer.hosts,
        "prepare": writer.prepare,
        "go": writer.go,
    }
    print(json.dumps({"order": "ready"}), flush=True)
    for line in _orders():
        order, *numbers = line.split()
        answer = await orders[order](*map(int, numbers))
        print(json.dumps({"order": order, **answer}), flush=True)


def _orders() -> Iterator[str]:
    # Blocks the loop, on which nothing happens between two orders.
    yield from iter(sys.stdin.readline, "")


def main() -> int:
    """Store."""
    parser = argparse.ArgumentParser(prog="python -m bench.collectors.writer", description=__doc__)
    parser.add_argument("--database", required=True)
    parser.add_argument("--name", required=True, help="of its hosts, before their numbers")
    options = parser.parse_args()
    asyncio.run(_run(options, Commits()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
