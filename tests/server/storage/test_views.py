"""The views for people say what the tables say, in words; on each engine."""

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from fleetnet_cli import wire
from fleetnet_server.errors import StorageError
from fleetnet_server.records import Label
from fleetnet_server.storage import labels, migrate, trends, views
from server.reports import (
    ESTABLISHED,
    NGINX,
    PACKET,
    SEEN,
    T0,
    TIME_WAIT,
    UDP,
    UNIX,
    WEB,
    Collector,
    S,
    difference,
    gone,
    snapshot,
    sock,
    space,
)
from server.stories import connected, tell
from sqlalchemy import Connection, create_engine, text

from server import databases

Row = dict[str, Any]
_PAGE = Path(__file__).resolve().parents[3] / "docs/schema.md"
PEER = ip_address("2001:db8::7").packed
MAPPED = ip_address("::ffff:10.0.0.1").packed
GONE = WEB._replace(uid=None, user="", unit="", owner_status=7, owners=())
TWO = WEB._replace(owners=(NGINX._replace(pid=900, name="worker"), NGINX))


def rows(conn: Connection, view: str) -> list[Row]:
    return [dict(row) for row in conn.execute(text(f"SELECT * FROM {view} ORDER BY 1")).mappings()]


def at(us: int, engine: str) -> object:
    """A moment, as the views of an engine show it."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    return moment if engine == "postgresql" else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def fleet(c: Collector) -> None:
    session = await connected(c)
    first = snapshot(
        1, T0, sock(1, T0, holder=TWO), sock(2, T0, ESTABLISHED, local=MAPPED, remote=PEER, remote_port=5000),
        sock(3, T0, 7, protocol=UDP, local=ip_address("127.0.0.1").packed, port=53),
        sock(4, T0, netns=7, local=bytes(16), port=80), sock(5, T0, protocol=UNIX, local=b"", port=0, path=b"\0bus"),
        sock(6, T0, 7, protocol=PACKET, local=b"", port=3), namespaces=(space(), space(7, "blue")),
    )  # fmt: skip
    waits = sock(2, T0 + S + 1, TIME_WAIT, local=MAPPED, remote=PEER, remote_port=5000, holder=GONE)
    await c.report(session, first)
    await c.report(session, difference(2, T0 + 2 * S, previous_us=T0 + S, changed=(waits,)))
    await c.report(session, difference(3, T0 + 3 * S, previous_us=T0 + 2 * S, closed=(gone(2, T0 + 3 * S, SEEN),)))


def test_what_is_open_is_shown_in_words(tmp_path: Path, engine: str) -> None:
    async def story(c: Collector) -> None:
        await fleet(c)
        found = {(row["protocol"], row["local_port"]): row for row in await c.db.read(rows, "sockets")}
        assert found["tcp", 443] == {
            "host": "web1", "netns": "host", "protocol": "tcp", "family": "ipv4", "state": "LISTEN",
            "local_address": "0.0.0.0", "local_port": 443, "remote_address": None, "remote_port": 0,
            "interface": None, "path": None, "recv_queue": 0, "send_queue": 511, "scope": "any", "exposed": "yes",
            "uid": 0, "user_name": "root", "unit": "nginx.service", "container": None,
            "processes": "nginx(812), worker(900)", "owner_status": "known", "opened_at": at(T0, engine),
            "opened_at_is": "seen", "last_seen_at": at(T0 + 3 * S, engine),
        }  # fmt: skip
        shown = {key: (row["netns"], row["family"], row["local_address"], row["exposed"]) for key, row in found.items()}
        assert shown == {
            ("tcp", 443): ("host", "ipv4", "0.0.0.0", "yes"),
            ("udp", 53): ("host", "ipv4", "127.0.0.1", "no"),
            ("tcp", 80): ("blue", "ipv6", "::", "unknown"),
            ("unix", 0): ("host", "unix", None, None),
            ("packet", 3): ("host", "packet", None, None),
        }
        assert found["unix", 0]["path"] == "@bus"
        listeners = {(row["protocol"], row["local_port"]) for row in await c.db.read(rows, "listeners")}
        assert listeners == {("tcp", 443), ("udp", 53), ("tcp", 80)}

    tell(tmp_path, story)


def test_what_is_bound_to_the_loopback_interface_is_not_exposed(tmp_path: Path, engine: str) -> None:
    async def story(c: Collector) -> None:
        bound = [sock(number, T0, port=number)._replace(interface=name) for number, name in ((1, "lo"), (2, "eth0"))]
        await c.report(await connected(c), snapshot(1, T0, *bound, namespaces=(space(),)))
        found = await c.db.read(rows, "listeners")
        assert {(row["interface"], row["exposed"]) for row in found} == {("lo", "no"), ("eth0", "yes")}

    tell(tmp_path, story)


def test_each_interval_is_shown_with_its_end(tmp_path: Path, engine: str) -> None:
    async def story(c: Collector) -> None:
        await fleet(c)
        names = ("state", "opened_at", "closed_at", "closed_at_is", "last_seen_at", "closed_at_us", "processes")
        found = [row for row in await c.db.read(rows, "socket_history") if row["remote_port"] == 5000]
        assert {row["local_address"] for row in found} == {"::ffff:10.0.0.1"}
        assert {row["remote_address"] for row in found} == {"2001:db8::7"}
        changed_us = T0 + S + 1
        assert sorted(tuple(row[name] for name in names) for row in found) == [
            (
                "ESTABLISHED",
                at(T0, engine),
                at(changed_us, engine),
                "seen",
                at(T0 + S, engine),
                changed_us,
                "nginx(812)",
            ),
            (
                "TIME_WAIT",
                at(changed_us, engine),
                at(T0 + 3 * S, engine),
                "seen",
                at(T0 + 2 * S, engine),
                T0 + 3 * S,
                None,
            ),
        ]
        still_open = [row for row in await c.db.read(rows, "socket_history") if row["closed_at_us"] is None]
        assert len(still_open) == len(await c.db.read(rows, "sockets")) == 5
        assert {(row["closed_at"], row["closed_at_is"]) for row in still_open} == {(None, None)}

    tell(tmp_path, story)


def test_counts_and_what_they_came_to_are_shown_in_words(tmp_path: Path, engine: str) -> None:
    async def story(c: Collector) -> None:
        await fleet(c)
        counted = {(row["protocol"], row["state"]): row for row in await c.db.read(rows, "socket_counts")}
        # Nothing is in TIME_WAIT any more.
        assert counted.keys() == {("tcp", "LISTEN"), ("udp", "CLOSE"), ("unix", "LISTEN"), ("packet", "CLOSE")}
        tcp = {"host": "web1", "protocol": "tcp", "state": "LISTEN", "sockets": 2, "listeners": 2}
        assert counted["tcp", "LISTEN"] == tcp
        await c.db.write(trends.put_down, [1], T0, T0 + S)
        found = {(row["protocol"], row["state"]): row for row in await c.db.read(rows, "socket_trends")}
        told = {"at": at(T0 + S, engine), "at_us": T0 + S, "host_id": 1, "highest": 2}
        assert found["tcp", "LISTEN"] == {**tcp, **told}
        assert (found["tcp", "TIME_WAIT"]["sockets"], found["tcp", "TIME_WAIT"]["highest"]) == (0, 1)

    tell(tmp_path, story)


def test_labels_are_shown_beside_their_hosts(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await c.enroll("web1")
        await c.enroll("db1")
        await c.db.write(labels.put, {1: (Label("env", "prod"), Label("role", "web"))})
        told = [(row["host"], row["key"], row["value"]) for row in await c.db.read(rows, "host_labels")]
        assert sorted(told) == [("web1", "env", "prod"), ("web1", "role", "web")]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (wire._PROTOCOLS, views.PROTOCOLS),
        (wire.FAMILIES, views.FAMILIES),
        (wire._STATES, views.STATES),
        (wire._SCOPES, views.SCOPES),
        (wire._OWNER_STATUSES, views.OWNER_STATUSES),
        (wire._OPENED, views.OPENED_AT_IS),
        (wire._CLOSED, views.CLOSED_AT_IS),
    ],
)
def test_words_are_those_of_the_command_line(words: dict[int, str], numbers: dict[int, str]) -> None:
    assert {number: word for number, word in words.items() if number in numbers} == numbers
    assert set(words) - set(numbers) <= {0}


_ADDRESSES = (
    "0.0.0.0", "255.1.20.3", "::", "::1", "1::", "0:1::", "fe80::1", "2001:db8::1:0:0:1", "2001:0:0:1::1",
    "1:0:2:0:3:0:4:0", "::1:2", "ff02::fb", "abcd:ef01:2345:6789:abcd:ef01:2345:6789",
)  # fmt: skip


def test_addresses_read_as_everywhere_else(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        opened = [sock(n, T0, local=ip_address(one).packed, port=n) for n, one in enumerate(_ADDRESSES)]
        await c.report(session, snapshot(1, T0, *opened))
        found = {row["local_port"]: row["local_address"] for row in await c.db.read(rows, "listeners")}
        assert found == dict(enumerate(_ADDRESSES))

    tell(tmp_path, story)


def test_views_that_are_otherwise_are_made_anew_and_others_left_alone(tmp_path: Path) -> None:
    engine = create_engine(databases.url(tmp_path))
    with engine.begin() as conn:
        migrate.upgrade(conn, "it")
        conn.execute(text("DROP VIEW listeners"))
        conn.execute(text("CREATE VIEW listeners AS SELECT name AS host FROM hosts"))
        conn.execute(text("CREATE VIEW mine AS SELECT name FROM hosts"))
    with engine.begin() as conn:
        migrate.upgrade(conn, "it")
        assert rows(conn, "listeners") == []
        assert set(conn.execute(text("SELECT * FROM listeners")).keys()) == {
            name for name, _ in views.LISTENERS.columns
        }
        conn.execute(text("DROP VIEW mine"))
        command.downgrade(migrate.configuration(conn), "0001")
        command.upgrade(migrate.configuration(conn), "head")
        migrate.upgrade(conn, "it")
        assert rows(conn, "socket_history") == []
    engine.dispose()


def test_the_examples_for_people_run(tmp_path: Path) -> None:
    examples = [
        part for part in _PAGE.read_text().partition("```sql\n")[2].partition("```")[0].split(";\n") if part.strip()
    ]

    def run(conn: Connection) -> list[list[Row]]:
        return [[dict(row) for row in conn.execute(text(part.replace(":0", "\\:0"))).mappings()] for part in examples]

    async def story(c: Collector) -> None:
        await fleet(c)
        listening, labelled, held, counted, trend, ended = await c.db.read(run)
        assert [(row["host"], row["processes"]) for row in listening] == [("web1", "nginx(812), worker(900)")]
        assert {(row["protocol"], row["state"]): row["sockets"] for row in counted}["tcp", "LISTEN"] == 2
        assert (labelled, held, trend, ended) == ([], [], [], [])

    tell(tmp_path, story)


def test_the_page_about_the_database_is_as_what_it_is_made_from() -> None:
    made = subprocess.run(
        [sys.executable, str(_PAGE.with_name("generate_schema.py"))], capture_output=True, text=True, check=True
    )
    assert _PAGE.read_text() == made.stdout, "run make generate"


@pytest.mark.engine("postgresql")
def test_a_view_that_shows_one_of_them_stays_or_is_named(tmp_path: Path) -> None:
    engine = create_engine(databases.url(tmp_path))
    with engine.begin() as conn:
        migrate.upgrade(conn, "it")
        conn.execute(text("CREATE VIEW mine AS SELECT host FROM listeners"))
        conn.execute(text("COMMENT ON VIEW listeners IS 'as it was before'"))
    with engine.begin() as conn:
        migrate.upgrade(conn, "it")
        assert rows(conn, "mine") == []
    with pytest.raises(StorageError, match="another view shows fleetnet's view listeners"), engine.begin() as conn:
        command.downgrade(migrate.configuration(conn), "0001")
    engine.dispose()


@pytest.mark.engine("sqlite")
def test_any_client_can_read_them(tmp_path: Path) -> None:
    databases.ready(tmp_path)
    conn = sqlite3.connect(f"file:{tmp_path}/fleetnet.db?mode=ro", uri=True)
    for view in views.VIEWS:
        told = conn.execute(f"SELECT * FROM {view.name}")
        assert [name for name, *_ in told.description] == [name for name, _ in view.columns]
    conn.close()
