"""What most rows of sockets have in common is not written down, and told all the same; on each engine."""

from pathlib import Path
from typing import Any

from fleetnet_server.storage import usual
from fleetnet_server.storage.schema import current, history
from server.reports import ESTABLISHED, T0, UNIX, Collector, S, difference, gone, snapshot, sock
from server.stories import connected, tell
from sqlalchemy import Connection, select

ONE = sock(1, T0, ESTABLISHED)._replace(inode=0)
OTHER = sock(2, T0, protocol=UNIX, netns=7, local=b"", port=0, recv_queue=1, path=b"/x")._replace(
    interface="eth0", type=5, peer_inode=6, source=3
)
EVERY = usual.COLUMNS


def as_kept(conn: Connection) -> dict[int, tuple[Any, ...]]:
    """What stands in the tables, by cookie: what most rows have in common, and when a row of history was last seen."""
    found = {}
    for table in (current, history):
        seen = [history.c.last_seen_us] if table is history else []
        for row in conn.execute(select(table.c.cookie, *(table.c[name] for name in EVERY), *seen)):
            found[row.cookie] = tuple(row[1:])
    return found


def as_told(conn: Connection) -> dict[int, tuple[Any, ...]]:
    """The same as it is read."""
    found = {}
    for table in (current, history):
        seen = [usual.last_seen()] if table is history else []
        for row in conn.execute(select(table.c.cookie, *(usual.told(table, name) for name in EVERY), *seen)):
            found[row.cookie] = tuple(row[1:])
    return found


def values(socket: Any) -> tuple[Any, ...]:
    """What was reported, in the order of EVERY."""
    key = socket.key
    found = {name: getattr(key if name in ("protocol", "netns") else socket, name) for name in EVERY if name != "scope"}
    return tuple(found.get(name, 0) for name in EVERY)


def test_the_usual_takes_no_room_and_is_told_and_the_unusual_stands_there(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(session, snapshot(1, T0, ONE, OTHER))
        unusual = tuple(value or None for value in values(OTHER))
        assert await c.db.read(as_kept) == {1: (None,) * len(EVERY), 2: unusual}
        assert await c.db.read(as_told) == {1: values(ONE), 2: values(OTHER)}

    tell(tmp_path, story)


def test_it_goes_to_history_as_it_is_by_either_way(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        passed = ONE._replace(key=ONE.key._replace(cookie=3), opened_at_us=T0 + S)
        end = T0 + 2 * S
        await c.report(
            session,
            snapshot(1, T0, ONE, OTHER),
            # One that was open, and one that ended before it could be; the last is seen up to its end.
            difference(2, end, previous_us=T0, opened=(passed,), closed=(gone(1, end), gone(3, T0 + S + 1))),
        )
        nothing = (None,) * len(EVERY)
        kept = await c.db.read(as_kept)
        assert (kept[1], kept[3]) == ((*nothing, T0), (*nothing, None))
        told = await c.db.read(as_told)
        assert (told[1], told[3]) == ((*values(ONE), T0), (*values(ONE), T0 + S + 1))

    tell(tmp_path, story)


def test_what_becomes_usual_again_is_empty_again(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        full = ONE._replace(recv_queue=9, inode=4)
        await c.report(session, snapshot(1, T0, full), difference(2, T0 + S, previous_us=T0, changed=(ONE,)))
        assert await c.db.read(as_kept) == {1: (None,) * len(EVERY)}

    tell(tmp_path, story)
