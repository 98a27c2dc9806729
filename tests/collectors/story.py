"""Hosts move between collectors that are killed, all before one PostgreSQL; afterwards history is held to the script.

No host has two writers, each batch is stored once and in its order, what was acknowledged is stored, and what is open
and what has closed is what the script says, with its times. Everything drawn comes from the seed; how processes and
threads are scheduled does not.
"""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from collectors import witness
from collectors.agents import Agent, Ledger
from collectors.places import Death, Place, draw_deaths
from collectors.progress import Progress
from server.postgresql import Server
from server.running import Running

_RESTARTED: Final = "agent restarted"
_THEN: Final = 6  # batches of each agent, when the last collector has come back


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drawn from."""

    seed: int
    collectors: int
    deaths: int = 1  # of each collector
    agents: int = 12


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    wrong: list[str]
    deaths: list[str]
    batches: int
    streams: int
    moves: int
    fenced: int
    intervals: int

    def __str__(self) -> str:
        return (
            f"{self.batches} batches, {self.intervals} intervals, {self.streams} streams, {self.moves} moves, "
            f"{self.fenced} fenced, died: {', '.join(self.deaths)}"
        )


def tell(plan: Plan, server: Server, directory: Path) -> Outcome:
    """Let it happen in a database of its own, and judge."""
    database = f"moving_{plan.collectors}_{plan.seed}"
    server.execute(f"CREATE DATABASE {database}")
    try:
        return _Story(plan, server, database, directory).tell()
    finally:
        server.execute(f"DROP DATABASE {database} WITH (FORCE)")


class _Story:
    def __init__(self, plan: Plan, server: Server, database: str, directory: Path) -> None:
        self._plan = plan
        self._url = server.url(database)
        self._progress = Progress()
        draw = random.Random(plan.seed)
        self._deaths = [draw_deaths(draw, plan.deaths) for _ in range(plan.collectors)]
        # The first one is there before the hosts are, and reaches points when nobody moves yet.
        self._deaths[0][:1] = [Death("", draw.randint(5, 40))]
        first = Place(directory / "collector1", self._url, self._progress)
        self._places = [first]
        try:
            running = first.start()
            server.execute(*witness.INSTALL, database=database)
            joined = [running.join(f"host{number:02}") for number in range(plan.agents)]
            self._agents = [Agent(one, draw.getrandbits(32), self._there, self._progress) for one in joined]
            for number in range(2, plan.collectors + 1):
                self._places.append(Place(directory / f"collector{number}", self._url, self._progress, like=first))
        except BaseException:
            first.kill()
            raise

    def tell(self) -> Outcome:
        try:
            ledgers = self._happen()
        finally:
            for place in self._places:
                place.kill()
        return self._judge(ledgers)

    def _there(self) -> list[Running]:
        return [place.running for place in self._places if place.running is not None]

    def _happen(self) -> list[Ledger]:
        with ThreadPoolExecutor(len(self._places) + len(self._agents)) as pool:
            lives = [pool.submit(place.live, deaths) for place, deaths in zip(self._places, self._deaths, strict=True)]
            agents = [pool.submit(agent.run) for agent in self._agents]
            try:
                wait(lives)
                # All are there for good now, and each host comes to each of them.
                self._progress.await_more(_THEN * len(agents))
                self._progress.over.set()
                wait(agents)
            except BaseException:
                self._progress.fail()
                raise
        for life in lives:
            life.result()
        return [agent.result() for agent in agents]

    def _judge(self, ledgers: list[Ledger]) -> Outcome:
        wrong = [f"{place.name}: {line}" for place in self._places for line in place.complaints()]
        moves = 0
        for ledger in ledgers:
            kept = witness.read(self._url.replace("+psycopg", "", 1), ledger.host)
            account = witness.account(kept.seen)
            moves += account.moves
            found = [*ledger.wrong, *account.wrong, *unlike(ledger, kept, account.stored)]
            wrong += [f"{ledger.host}: {sentence}" for sentence in found]
        return Outcome(
            wrong=wrong,
            deaths=[str(death) for deaths in self._deaths for death in deaths],
            batches=self._progress.batches,
            streams=sum(ledger.streams for ledger in ledgers),
            moves=moves,
            fenced=sum(ledger.fenced for ledger in ledgers),
            intervals=sum(len(ledger.open) + len(ledger.closed_at_us) for ledger in ledgers),
        )


def unlike(ledger: Ledger, kept: witness.Kept, stored: dict[int, int]) -> Iterator[str]:
    """In what that which is kept of a host differs from what it told."""
    for epoch, sequence in ledger.acknowledged.items():
        # In the end everything was acknowledged that was stored.
        if stored.get(epoch, 0) != sequence:
            yield f"of epoch {epoch} {sequence} was acknowledged last, {stored.get(epoch, 0)} stored"
    if unknown := stored.keys() - ledger.acknowledged.keys():
        yield f"epochs that it never had: {unknown}"
    open_now, closed = Counter(row[0] for row in kept.open), Counter((row[0], row[2]) for row in kept.closed)
    if open_now != Counter(ledger.open):
        yield f"open are {_difference(open_now, Counter(ledger.open))}"
    if closed != Counter(ledger.closed_at_us.items()):
        yield f"closed are {_difference(closed, Counter(ledger.closed_at_us.items()))}"
    # What was there once has a count that is 0.
    if kept.counted != [count for count in kept.counts if count[1:] != (0, 0)]:
        yield f"open are, by state, {kept.counted}, and the counts are {kept.counts}"
    for cookie, opened_at_us, *_ in (*kept.open, *kept.closed):
        if ledger.opened_at_us.get(cookie, opened_at_us) != opened_at_us:
            yield f"socket {cookie} opened at {ledger.opened_at_us[cookie]}, kept is {opened_at_us}"
    if kept.gaps != [_RESTARTED] * ledger.restarts:
        yield f"it was started again {ledger.restarts} times, and the gaps are {kept.gaps}"


def _difference(kept: "Counter[Any]", told: "Counter[Any]") -> str:
    return f"{kept.total()}, told were {told.total()}; too many: {dict(kept - told)}, missing: {dict(told - kept)}"
