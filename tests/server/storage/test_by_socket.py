"""The number by which rows of history are found by their socket is the same here and in each engine."""

from pathlib import Path

from fleetnet_server.storage import by_socket
from fleetnet_server.storage import history as history_rows
from fleetnet_server.storage import sockets as rows_of_sockets
from fleetnet_server.storage.dialect import execute_many
from fleetnet_server.storage.schema import history
from server.costs import asked_of, plan
from server.reports import T0, Collector
from server.stories import tell
from sqlalchemy import Connection, delete, insert, select, text

# The last ones have more bits than the number has room for.
HOSTS = (1, 10_000, (1 << 23) - 1, 1 << 23, (1 << 62) + 5)
SOCKETS = (0, 1, (1 << 23) - 1, 1 << 23, 1 << 62, (1 << 63) - 1)
_INSERT = insert(history)
_REMOVE = delete(history).where(*by_socket.is_of("of_host", "of_socket"))


def fill(conn: Connection) -> None:
    """A row of each socket of each host."""
    execute_many(conn, _INSERT, [{**a_row(), "host_id": host, "socket_id": one} for host in HOSTS for one in SOCKETS])


def a_row() -> dict[str, object]:
    """Of a host and socket yet to be named."""
    row: dict[str, object] = {column.name: 0 for column in history.columns if not column.nullable}
    return row | {"local_address": b"", "remote_address": b""}


def test_each_number_is_as_reckoned_here_and_nothing_overflows(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await c.db.write(fill)
        query = select(history.c.host_id, history.c.socket_id, by_socket.NUMBER)
        found = await c.db.read(lambda conn: {(row[0], row[1]): row[2] for row in conn.execute(query)})
        assert found == {
            (host, one): number
            for host in HOSTS
            for one, number in zip(SOCKETS, by_socket.numbers(host, SOCKETS), strict=True)
        }

    tell(tmp_path, story)


def test_one_socket_is_found_by_it_and_no_other(tmp_path: Path) -> None:
    def remove(conn: Connection) -> list[tuple[int, int]]:
        # Those two hosts, and those two sockets, have the same number.
        gone = [{"of_host": HOSTS[3], "of_socket": SOCKETS[0]}, {"of_host": HOSTS[0], "of_socket": SOCKETS[1]}]
        assert execute_many(conn, _REMOVE, gone) == 2
        query = select(history.c.host_id, history.c.socket_id)
        return [tuple(row) for row in conn.execute(query)]

    async def story(c: Collector) -> None:
        await c.db.write(fill)
        left = {(host, one) for host in HOSTS for one in SOCKETS}
        assert set(await c.db.write(remove)) == left - {(HOSTS[3], SOCKETS[0]), (HOSTS[0], SOCKETS[1])}

    tell(tmp_path, story)


def test_those_of_many_sockets_are_found_by_it_and_the_host_stands_in_plain_words(tmp_path: Path, engine: str) -> None:
    hosts, sockets = range(1, 21), range(500)
    ids = {host: [(host * 7919 + number * 104_729) << 30 for number in sockets] for host in hosts}

    def looked_for(conn: Connection) -> list[str]:
        if engine == "postgresql":
            # Citus analyses the parts of a table at once, and not what the same connection has itself just written to.
            conn.execute(text("SET LOCAL citus.enable_local_execution = off"))
        execute_many(
            conn, _INSERT, [{**a_row(), "host_id": host, "socket_id": one} for host in hosts for one in ids[host]]
        )
        if engine == "postgresql":
            # Of a table that nobody has counted it takes every condition to be true of as many rows.
            conn.execute(text("ANALYZE history"))
        asked = asked_of(conn.engine)
        found = history_rows.between(conn, 7, ids[7][:20], 0, T0, 1_000)
        assert found is not None
        assert len(found) == 20
        [(sql, values)] = [one for one in tuple(asked) if "FROM history" in one[0]]
        # Where tables are spread over machines, these words alone lead to the one that has the host.
        assert f"WHERE {'+' if engine == 'sqlite' else ''}history.host_id = " in sql
        steps = [step for step in plan(conn, sql, values) if "history" in step]
        # And so do their last ends, as the writer asks for them.
        asked.clear()
        ended = rows_of_sockets.ends(conn, 7, ids[7][:20])
        assert ended is not None
        assert len(ended) == 20
        for sql, values in tuple(asked):
            told = values if isinstance(values, dict) else tuple(values)
            steps += [step for step in plan(conn, sql, told) if "history" in step]
        return steps

    async def story(c: Collector) -> None:
        steps = await c.db.write(looked_for)
        assert len(steps) >= 2
        assert all("ix_history_sockets" in step for step in steps), steps

    tell(tmp_path, story)
