"""Many rows at one stroke: whatever they hold comes back as it was, in whichever way an engine takes them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.dialect import execute_many, insert_new, insert_or_clear
from fleetnet_server.storage.schema import current, holders
from server.databases import url
from server.reports import T0
from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

# What could mean something to whoever writes it down.
TEXTS = [
    "",
    " ",
    "NULL",
    "null",
    '"',
    "\\",
    "\\\\x",
    "a,b",
    "{}",
    "{a",
    "'",
    "\n\t\r",
    "$1",
    "%s",
    "%(a)s",
    ":a",
    "é…😀",
    "\x01\x7f",
]
BYTES = [b"", b"\0", bytes(range(256)), b"\\x00", b'"', b"NULL", b"{,}", bytes(4), bytes(16)]
INSERT = insert(current)


def tell(directory: Path, story: Callable[[Connection], None]) -> None:
    async def run() -> None:
        db = Database.open(url(directory))
        try:
            await db.write(story)
        finally:
            await db.close()

    asyncio.run(run())


def socket_row(number: int, **more: object) -> dict[str, Any]:
    row = {column.name: 0 for column in current.columns}
    return {
        **row, "host_id": 1, "socket_id": number, "local_address": b"", "remote_address": b"", "path": b"",
        "interface": "", "v6only": None, "opened_at_us": T0, **more,
    }  # fmt: skip


def holder_row(number: int, text: str) -> dict[str, Any]:
    names = {"user": text, "unit": text, "container": text, "runtime": text}
    return {"host_id": 1, "holder_id": number, "uid": None if number % 2 else number, "owner_status": 1, **names}


def kept(conn: Connection, table: Table, by: str) -> list[dict[str, Any]]:
    return [dict(row) for row in conn.execute(select(table).order_by(table.c[by])).mappings()]


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_every_text_and_number_comes_back_as_it_was(tmp_path: Path, at_once: int) -> None:
    rows = [
        socket_row(
            n,
            interface=TEXTS[n % len(TEXTS)],
            path=BYTES[n % len(BYTES)],
            v6only=(None, True, False)[n % 3],
            inode=(2**63 - 1, 0, -(2**63))[n % 3],
            local_port=n % 65536,
        )
        for n in range(60)
    ]

    def story(conn: Connection) -> None:
        for at in range(0, len(rows), at_once):
            execute_many(conn, INSERT, rows[at : at + at_once])
        assert kept(conn, current, "socket_id") == rows

    tell(tmp_path, story)


@pytest.mark.parametrize("at_once", [1, 1000])
def test_rows_that_are_there_stay_as_they_are_and_others_come_in(tmp_path: Path, at_once: int) -> None:
    def story(conn: Connection) -> None:
        execute_many(conn, insert_new(conn, holders), [holder_row(n, "first") for n in range(0, 40, 2)])
        told = [holder_row(n, TEXTS[n % len(TEXTS)]) for n in range(40)]
        # One of them twice: the first counts.
        for at in range(0, len(told), at_once):
            execute_many(conn, insert_new(conn, holders), [*told[at : at + at_once], holder_row(39, "again")][:at_once])
        assert kept(conn, holders, "holder_id") == [
            {**(row if n % 2 else holder_row(n, "first")), "doubted": 0} for n, row in enumerate(told)
        ]

    tell(tmp_path, story)


@pytest.mark.parametrize("rows", [1, 40])
def test_of_rows_that_are_there_a_mark_is_taken_and_nothing_else_changed(tmp_path: Path, rows: int) -> None:
    def story(conn: Connection) -> None:
        first = [holder_row(n, "first") for n in range(0, rows, 2)]
        execute_many(conn, insert_or_clear(conn, holders, "doubted"), first)
        conn.execute(update(holders).where(holders.c.holder_id % 4 == 0).values(doubted=7))
        told = [holder_row(n, "again") for n in range(rows)]
        execute_many(conn, insert_or_clear(conn, holders, "doubted"), told)
        assert kept(conn, holders, "holder_id") == [
            {**holder_row(n, "again" if n % 2 else "first"), "doubted": 0} for n in range(rows)
        ]

    tell(tmp_path, story)


_ONE = (current.c.host_id == bindparam("of_host"), current.c.socket_id == bindparam("of_socket"))
CHANGE = (
    update(current)
    .where(*_ONE)
    .values(interface=bindparam("name"), path=bindparam("bound_to"), v6only=bindparam("v6"), inode=bindparam("number"))
)
REMOVE = delete(current).where(*_ONE)


@pytest.mark.parametrize("at_once", [1, 1000])
def test_rows_are_changed_and_removed_each_by_its_name_and_counted(tmp_path: Path, at_once: int) -> None:
    def named(n: int) -> dict[str, Any]:
        return {"of_host": 1, "of_socket": n}

    def story(conn: Connection) -> None:
        execute_many(conn, INSERT, [socket_row(n) for n in range(20)])
        changes = [
            {
                **named(n),
                "name": TEXTS[n % len(TEXTS)],
                "bound_to": BYTES[n % len(BYTES)],
                "v6": n % 3 == 0,
                "number": -n,
            }
            for n in range(10, 30)
        ]
        touched = sum(execute_many(conn, CHANGE, changes[at : at + at_once]) for at in range(0, 20, at_once))
        assert touched == 10
        want = [
            socket_row(n, interface=TEXTS[n % len(TEXTS)], path=BYTES[n % len(BYTES)], v6only=n % 3 == 0, inode=-n)
            if n >= 10
            else socket_row(n)
            for n in range(20)
        ]
        assert kept(conn, current, "socket_id") == want
        assert execute_many(conn, REMOVE, [named(n) for n in range(5, 40)]) == 15
        assert kept(conn, current, "socket_id") == want[:5]

    tell(tmp_path, story)
