"""No host keeps what is too old of others from being deleted, however much it has and whatever fails at it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fleetnet_server.errors import StorageDamaged, StorageError
from fleetnet_server.services import retention as service
from fleetnet_server.services.retention import MOST_FAILURES, Retention
from fleetnet_server.storage import former_holders as former_rows
from fleetnet_server.storage import retention as storage
from fleetnet_server.storage import unused_holders
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.former_holders import Former
from fleetnet_server.storage.kept import Kind
from server.reports import T0, TIME_WAIT, Collector, S, difference, gone, hello, snapshot, sock
from server.services.test_retention import ALL_KINDS, DAY, cookies, hear, no_rest
from server.stories import tell
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

NOW = T0 + 10 * DAY
Look = Callable[[int], None]  # is told of which host


async def hosts(c: Collector, count: int) -> list[int]:
    """Each with a socket that is too old; their numbers."""
    found = []
    for number in range(count):
        session = await c.connect(await c.enroll(f"web{number}"), hello(T0), T0)
        await c.report(
            session, snapshot(1, T0, sock(1, T0, TIME_WAIT)), difference(2, T0 + S, closed=(gone(1, T0 + S),))
        )
        found.append(session.host_id)
    await hear(c, NOW)
    return found


def fails(conn: Connection) -> None:
    """As a statement that takes too long does."""
    conn.execute(text("SELECT no_such_column"))


class Looks:
    """Which hosts were looked at, in their order; at some of them the database fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: object, step: str) -> None:
        self.at: list[int] = []
        self.fail_at: set[int] = set()
        really = getattr(module, step)

        def look(conn: Connection, host_id: int, *asked: object) -> object:
            if host_id not in self.at:
                self.at.append(host_id)
            if host_id in self.fail_at:
                fails(conn)
            return really(conn, host_id, *asked)

        monkeypatch.setattr(module, step, look)

    def told(self) -> list[int]:
        """Since it was asked last."""
        told, self.at[:] = self.at[:], []
        return told


def test_a_host_at_which_a_round_fails_comes_last_in_the_next_and_all_others_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(monkeypatch, storage, "handed_over")

    async def story(c: Collector) -> None:
        first, *others = await hosts(c, 4)
        looks.fail_at = {first}
        retention = Retention(c.db, ALL_KINDS, no_rest)
        with pytest.raises(DBAPIError, match="no_such_column"):
            await retention.round(NOW)
        assert looks.told() == [first, *others]
        assert len(await cookies(c)) == 1
        with pytest.raises(DBAPIError):
            await retention.round(NOW)
        assert looks.told() == [*others, first]
        # As soon as nothing fails there any more it is as the others.
        looks.fail_at.clear()
        assert (await retention.round(NOW))["brief"] == 1
        assert looks.told() == [*others, first]
        assert (await retention.round(NOW))["brief"] == 0
        assert looks.told() == [first, *others]

    tell(tmp_path, story)


def test_one_of_which_holders_cannot_be_looked_for_keeps_no_other_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(monkeypatch, unused_holders, "unnamed")
    monkeypatch.setattr(service, "HOLDER_ROUNDS", 1)

    async def story(c: Collector) -> None:
        first, *others = await hosts(c, 3)
        looks.fail_at = {first}
        retention = Retention(c.db, ALL_KINDS, no_rest)
        with pytest.raises(DBAPIError):
            await retention.round(NOW)
        assert looks.told() == [first, *others]
        assert await cookies(c) == []
        left = text("SELECT DISTINCT host_id FROM holders")
        assert await c.db.read(lambda conn: list(conn.execute(left).scalars())) == [first]

    tell(tmp_path, story)


def test_where_it_fails_at_host_after_host_a_round_ends_and_the_next_begins_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(monkeypatch, storage, "handed_over")

    async def story(c: Collector) -> None:
        every = await hosts(c, MOST_FAILURES + 2)
        looks.fail_at = set(every)
        retention = Retention(c.db, ALL_KINDS, no_rest)
        with pytest.raises(DBAPIError):
            await retention.round(NOW)
        assert looks.told() == every[:MOST_FAILURES]
        # If it was about those hosts after all, they keep nobody else's for long.
        looks.fail_at = set(every[:MOST_FAILURES])
        with pytest.raises(DBAPIError):
            await retention.round(NOW)
        assert looks.told() == [*every[MOST_FAILURES:], *every[:MOST_FAILURES]]
        assert len(await cookies(c)) == MOST_FAILURES

    tell(tmp_path, story)


def test_a_database_that_is_damaged_is_no_matter_of_one_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def look(_: Connection, host_id: int, *__: object) -> None:
        asked.append(host_id)
        raise StorageDamaged("it is")

    monkeypatch.setattr(storage, "handed_over", look)

    async def story(c: Collector) -> None:
        first, *_ = await hosts(c, 3)
        with pytest.raises(StorageError):
            await Retention(c.db, ALL_KINDS, no_rest).round(NOW)
        assert asked == [first]

    tell(tmp_path, story)


def test_one_that_hands_many_over_is_deleted_some_at_a_time_and_others_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_MOST_FOUND", 10)
    deleted: list[tuple[int, int]] = []  # of which host, how many rows
    really = storage.remove

    def note(conn: Connection, table: str, rows: list[storage.Ended]) -> int:
        if rows:
            deleted.append((rows[0].name[0], len(rows)))
        return really(conn, table, rows)

    monkeypatch.setattr(storage, "remove", note)

    async def story(c: Collector) -> None:
        first, second, third = await hosts(c, 3)
        many = [
            Former(first, number, T0 + number * S, T0, None, 5, (Kind.LISTENERS, Kind.SOCKETS)[number % 2])
            for number in range(35)
        ]
        await c.db.write(former_rows.keep, many)
        gone = await Retention(c.db, ALL_KINDS, no_rest).round(NOW)
        assert (gone["brief"], gone["former_holders"]) == (3, 35)
        others = [(second, 1), (third, 1)]
        before = deleted.index(others[0])
        assert deleted[before : before + 2] == others
        assert sum(rows for _, rows in deleted[:before]) == 10
        assert {host_id for host_id, _ in deleted[:before] + deleted[before + 2 :]} == {first}

    tell(tmp_path, story)
