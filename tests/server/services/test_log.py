"""The log of administration: what is done is in it, what is not done is not, and no row can be changed unseen."""

import asyncio
import datetime
import random
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from fleetnet_server.errors import HostUnknown, NotPermitted, RequestRefused
from fleetnet_server.records import OPERATOR, VIEWER, LogEntry
from fleetnet_server.services.hosts import Hosts
from fleetnet_server.services.log import Logged, Wish
from fleetnet_server.storage import hosts, log, people
from fleetnet_server.storage.schema import log as log_table
from fleetnet_server.storage.schema import log_head
from server.databases import url
from server.reports import T0, Collector
from server.stories import tell
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.exc import DBAPIError

REVOKE = Wish("local", "root", "unix:", "revoke-hosts", "web1")


def logged(c: Collector) -> tuple[Logged, Hosts]:
    def now() -> datetime.datetime:
        return datetime.datetime.fromtimestamp(T0 / 1e6, datetime.UTC)

    kept = Logged(c.db, now)
    return kept, Hosts(kept, now, lambda _: None, lambda _: None)


async def told(kept: Logged) -> list[tuple[int, str, str]]:
    return [(one.number, one.entry.subject, one.entry.result) for one in await kept.latest(10)]


def test_what_is_done_is_logged_with_it_and_what_is_refused_is_logged_as_that(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        kept, mine = logged(c)
        await c.enroll("web1")
        async with kept.doing(REVOKE):
            await mine.revoke(["web1"])
        for names, error in ((["web2"], HostUnknown), ([], RequestRefused)):
            with pytest.raises(error):
                async with kept.doing(Wish("spiffe://fleetnet/person/a", "", "ipv4:1", "revoke-hosts", "web2\0")):
                    await mine.revoke(names)
        assert await told(kept) == [
            (3, "web2\\0", "refused: name the hosts"),
            (2, "web2\\0", 'refused: no host named "web2" has enrolled; `fleetnet hosts` lists those that have'),
            (1, "web1", "done"),
        ]
        # Nobody's wish is nobody's entry.
        await mine.revoke(["web1"])
        assert await c.db.read(log.broken) == (3, 0)

    tell(tmp_path, story)


def test_where_the_log_cannot_be_written_nothing_is_done(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        kept, mine = logged(c)
        await c.enroll("web1")
        await c.enroll("web2")
        async with kept.doing(REVOKE):
            await mine.revoke(["web2"])
        # Its end is gone, so the next row would be one that is there.
        await c.db.write(lambda conn: conn.execute(delete(log_head)) and None)
        with pytest.raises(DBAPIError):
            async with kept.doing(REVOKE):
                await mine.revoke(["web1"])
        host = await c.db.read(hosts.find, "web1")
        assert host is not None
        assert host.status == "active"

    tell(tmp_path, story)


def test_nothing_is_done_for_a_person_from_whom_it_was_taken_since_the_gate(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        kept, mine = logged(c)
        await c.enroll("web1")
        wish = Wish("spiffe://fleetnet/person/alice", "", "ipv4:1", "revoke-hosts", "web1", "alice")
        for role, revoked in ((OPERATOR, True), (VIEWER, False)):
            await c.db.write(people.join, "alice", role, "0a", T0, T0)
            if revoked:
                await c.db.write(people.revoke, "alice")
            with pytest.raises(NotPermitted, match="alice may not administer any more"):
                async with kept.doing(wish):
                    await mine.revoke(["web1"])
        await c.db.write(people.join, "alice", OPERATOR, "0a", T0, T0)
        async with kept.doing(wish):
            assert [one.changed for one in await mine.revoke(["web1"])] == [True]
        refused = "refused: alice may not administer any more; ask an operator to do it"
        assert [one.entry.result for one in await kept.latest(10)] == ["done", refused, refused]

    tell(tmp_path, story)


@pytest.mark.engine("postgresql")
def test_what_several_collectors_log_at_once_is_one_chain(tmp_path: Path) -> None:
    async def run() -> None:
        collectors = [Collector(url(tmp_path)) for _ in range(3)]
        try:
            doing = [
                c.db.write(log.append, LogEntry(n, "local", "", "", "act", str(number), "done"))
                for n in range(10)
                for number, c in enumerate(collectors)
            ]
            numbers = [number for number, _ in await asyncio.gather(*doing)]
            assert sorted(numbers) == list(range(1, 31))
            assert await collectors[0].db.read(log.broken) == (30, 0)
        finally:
            await asyncio.gather(*(c.db.close() for c in collectors))

    asyncio.run(run())


def _changed(column: str, value: object) -> Callable[[Connection, int], object]:
    return lambda conn, number: conn.execute(
        update(log_table).where(log_table.c.number == number).values({column: value})
    )


def _swapped(conn: Connection, number: int) -> None:
    """What was done in two rows changes places, all but their places in the chain."""
    columns = ("at_us", "who", "login", "peer", "action", "subject", "result")
    query = select(*(log_table.c[name] for name in columns))
    other = number % _ROWS + 1
    first, second = (conn.execute(query.where(log_table.c.number == n)).one()._asdict() for n in (number, other))
    for n, values in ((number, second), (other, first)):
        conn.execute(update(log_table).where(log_table.c.number == n).values(values))


_ROWS = 5
_TAMPERS: dict[str, Callable[[Connection, int], object]] = {
    **{column: _changed(column, "x") for column in ("who", "login", "peer", "action", "subject", "result")},
    "at_us": _changed("at_us", 7),
    "number": _changed("number", 99),
    "before": _changed("before", secrets.token_bytes(32)),
    "hash": _changed("hash", secrets.token_bytes(32)),
    "left out": lambda conn, number: conn.execute(delete(log_table).where(log_table.c.number == number)),
    "cut off": lambda conn, number: conn.execute(delete(log_table).where(log_table.c.number >= number)),
    "swapped": _swapped,
}


class _Undone(Exception):  # noqa: N818  # no error
    """What was found, after which all is as it was."""

    def __init__(self, broken_at: int) -> None:
        self.broken_at = broken_at


def test_whatever_becomes_of_whichever_row_is_found(tmp_path: Path) -> None:
    def tampered(conn: Connection, tamper: str, number: int) -> None:
        _TAMPERS[tamper](conn, number)
        raise _Undone(log.broken(conn)[1])

    async def story(c: Collector) -> None:
        draw = random.Random(tmp_path.name)  # a seed that a failure names
        for number in range(_ROWS):
            texts = ("".join(draw.choices("ab\u2028\x1b'\"[], ", k=draw.randrange(6))) for _ in range(6))
            await c.db.write(log.append, LogEntry(8 + number, *texts))
        assert await c.db.read(log.broken) == (_ROWS, 0)
        for tamper in _TAMPERS:
            for number in range(1, _ROWS + 1):
                with pytest.raises(_Undone) as found:
                    await c.db.write(tampered, tamper, number)
                assert 0 < found.value.broken_at <= number + 1, (tamper, number)
        assert await c.db.read(log.broken) == (_ROWS, 0)

    tell(tmp_path, story)
