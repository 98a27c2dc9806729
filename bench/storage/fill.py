"""A database with a fleet's present and past in it, written by the collector's own storage from a seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fleetnet_server.records import Hello, Holder, HostFacts, Process, Socket, SocketKey
from fleetnet_server.services.scopes import scope
from fleetnet_server.storage import counts, holders, hosts, ids, sessions, sockets
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.sockets import Ending, OpenSocket

from bench.fleet.population import SERVICES

TCP: Final = 6
ESTABLISHED, TIME_WAIT, CLOSE_WAIT, LISTEN = 1, 6, 8, 10
SEEN: Final = 2
DAY_US: Final = 86_400_000_000
RARE_PORT: Final = 6667
RARE_HOSTS: Final = 3
# An address that one host of so many talks to, and who drew no other.
ASKED_PEER: Final = bytes([10, 9, 9, 9])
_TALKS: Final = 100
# A host of so many has begun to listen within the last hour.
_NEW: Final = 50
_NEW_PORT: Final = 9_999
_HOUR_US: Final = 3_600_000_000
_BOOT_ID: Final = bytes(16)
_FACTS: Final = HostFacts("Debian GNU/Linux 12", "6.1.0", "x86_64", 4, 4 << 30, 0)


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much there is."""

    hosts: int
    open_each: int
    past_each: int
    days: float


class Filler:
    """One host after the other."""

    def __init__(self, amounts: Amounts, now_us: int, seed: int) -> None:
        self._amounts = amounts
        self._now_us = now_us
        self._draw = random.Random(seed)
        self._cookie = 0

    def host(self, conn: Connection, number: int) -> None:
        """A host with its stream, what it holds open, and what it held in the past."""
        now_us, name = self._now_us, f"host{number:05}"
        host = hosts.enroll(conn, name, f"{number:x}", now_us)
        began_us = now_us - round(self._amounts.days * DAY_US)
        hello = Hello("0.1.0", _BOOT_ID, 1, b"", began_us, 0, _FACTS, 1.0, 4026531840)
        [session] = sessions.open_sessions(conn, [(host.host_id, 1, hello, began_us, f"{number:x}")])
        hosts.fence(conn, [(host.host_id, 1, f"{number:x}")])
        held = self.holders()
        named = holders.record(conn, host.host_id, _BOOT_ID, held)
        present = list(self._present(host.host_id, held, named, number))
        with counts.kept(conn) as tally:
            sockets.open_new(conn, present, tally)
        sockets.pass_through(conn, list(self.past(host.host_id, held, named, self._amounts.past_each)))
        hosts.note_looks(conn, [(host.host_id, hosts.Look(_BOOT_ID, 1, now_us), now_us)])
        sessions.note_looks(conn, [sessions.Progress(session, 1, began_us, now_us)])

    def holders(self) -> list[Holder]:
        """Who holds sockets of a host: its services."""
        began_us = self._now_us - 40 * DAY_US
        return [
            Holder(
                number, name, f"{name}.service", "", 1,
                (Process(500 + number, began_us, name, f"/usr/sbin/{name}", name),),
            )
            for number, (name, _) in enumerate(SERVICES)
        ]  # fmt: skip

    def past(
        self, host_id: int, held: list[Holder], named: dict[int, int], count: int
    ) -> Iterator[tuple[OpenSocket, Ending]]:
        """Connections that have ended, at any time of those days, most of them soon after they began."""
        for _ in range(count):
            end_us = self._now_us - round(self._draw.random() * self._amounts.days * DAY_US)
            began_us = end_us - round(self._draw.expovariate(1 / 60) * 1e6)
            state = self._draw.choice((ESTABLISHED, ESTABLISHED, TIME_WAIT))
            row = self._row(host_id, held, named, state, began_us)
            yield row, Ending(host_id, row.socket_id, end_us, SEEN, end_us)

    def _present(self, host_id: int, held: list[Holder], named: dict[int, int], number: int) -> Iterator[OpenSocket]:
        old_us = self._now_us - round(self._amounts.days * DAY_US)
        for place, (_, port) in enumerate(SERVICES):
            yield self._row(host_id, held, named, LISTEN, old_us, place, port)
        if number < RARE_HOSTS:
            yield self._row(host_id, held, named, LISTEN, old_us, 0, RARE_PORT)
        if number % _NEW == 0:
            yield self._row(host_id, held, named, LISTEN, self._now_us - self._draw.randrange(_HOUR_US), 0, _NEW_PORT)
        if number % _TALKS == 0:
            opened_us = self._now_us - self._draw.randrange(DAY_US)
            yield self._row(host_id, held, named, ESTABLISHED, opened_us, peer=ASKED_PEER)
        for _ in range(self._amounts.open_each - len(SERVICES)):
            state = CLOSE_WAIT if self._draw.random() < 0.005 else ESTABLISHED
            opened_us = self._now_us - round(self._draw.expovariate(1 / 3600) * 1e6)
            yield self._row(host_id, held, named, state, opened_us)

    def _row(
        self, host_id: int, held: list[Holder], named: dict[int, int], state: int, opened_us: int,
        place: int | None = None, port: int = 0, peer: bytes = b"",
    ) -> OpenSocket:  # fmt: skip
        draw = self._draw
        self._cookie += 1
        key = SocketKey(0, TCP, self._cookie, 20_000 + self._cookie, b"")
        place = draw.randrange(len(SERVICES)) if place is None else place
        listening = state == LISTEN
        local = bytes(4) if listening else bytes([10, 20, host_id >> 8 & 255, host_id & 255])
        drawn = bytes([10, draw.randrange(4), draw.randrange(256), draw.randrange(1, 255)])
        peer = b"" if listening else peer or drawn
        socket = Socket(
            key, 4, state, local, port or SERVICES[place][1], peer, 0 if listening else draw.randrange(32768, 61000),
            "", None, 0, 511 if listening else 0, 20_000 + self._cookie, 1, held[place], opened_us, SEEN,
        )  # fmt: skip
        reach = int(scope(local)) if listening else 0
        socket_id = ids.socket_id(_BOOT_ID, key)
        return OpenSocket(host_id, socket_id, socket, named[id(held[place])], reach, opened_us, self._now_us)
