"""The number by which rows of history are found by their socket is the same here and in each engine."""

from pathlib import Path

from fleetnet_server.storage import by_socket
from fleetnet_server.storage.dialect import execute_many
from fleetnet_server.storage.schema import history
from server.costs import plan
from server.reports import Collector
from server.stories import tell
from sqlalchemy import Connection, delete, insert, select

# The last ones have more bits than the number has room for.
HOSTS = (1, 10_000, (1 << 23) - 1, 1 << 23, (1 << 62) + 5)
SOCKETS = (0, 1, (1 << 23) - 1, 1 << 23, 1 << 62, (1 << 63) - 1)
_INSERT = insert(history)
_REMOVE = delete(history).where(*by_socket.is_of("of_host", "of_socket"))


def fill(conn: Connection) -> None:
    """A row of each socket of each host."""
    row: dict[str, object] = {column.name: 0 for column in history.columns if not column.nullable}
    row |= {"local_address": b"", "remote_address": b""}
    execute_many(conn, _INSERT, [{**row, "host_id": host, "socket_id": one} for host in HOSTS for one in SOCKETS])


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
        one = select(history.c.state).where(by_socket.HOST == 1, by_socket.NUMBER.in_(by_socket.numbers(1, SOCKETS)))
        compiled = await c.db.read(lambda conn: str(one.compile(conn, compile_kwargs={"literal_binds": True})))
        [step] = await c.db.write(plan, compiled, ())
        assert "ix_history_sockets" in step

    tell(tmp_path, story)
