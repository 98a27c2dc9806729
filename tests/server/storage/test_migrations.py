"""The diary of migrations leads to the tables that the code uses."""

import asyncio
import io
import re
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from fleetnet_server.records import HeldCertificate, LogEntry, Readmission
from fleetnet_server.storage import authorities, certificates, counts, hosts, log, migrate, readmissions
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.metadata import ONLY_ON
from fleetnet_server.storage.schema import METADATA, current, former_holders, labels, live_questions
from server.reports import Collector
from server.stories import tell
from sqlalchemy import Connection, Engine, Index, create_engine, create_mock_engine, inspect, text
from sqlalchemy.sql.ddl import ExecutableDDLElement

from server import databases

# SQLite does not tell of what an index of an expression is; that is held word for word below.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index"),
    pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index"),
]


def differences(conn: Connection) -> list[object]:
    """What a database has otherwise than the metadata; indexes of another engine are no matter."""

    def is_for_it(thing: object, *_: object) -> bool:
        return not isinstance(thing, Index) or thing.info.get(ONLY_ON, conn.dialect.name) == conn.dialect.name

    return list(compare_metadata(MigrationContext.configure(conn, opts={"include_object": is_for_it}), METADATA))


def test_a_migrated_database_has_the_tables_of_the_metadata(tmp_path: Path) -> None:
    async def run() -> None:
        db = Database.open(databases.url(tmp_path))
        try:
            assert await db.read(differences) == []
        finally:
            await db.close()

    asyncio.run(run())


def _put_together(statements: list[str]) -> list[object]:
    """What statements amount to in the end: each table with its columns in no order, the last word of each comment."""
    tables: dict[str, set[str]] = {}
    comments: dict[str, str] = {}
    others: list[str] = []
    for statement in statements:
        if made := re.fullmatch(r"CREATE TABLE (\S+) \((.*)\)( WITHOUT ROWID)?", statement):
            tables[f"{made[1]}{made[3] or ''}"] = set(re.split(r", (?![^()]*\))", made[2].strip()))
        elif added := re.fullmatch(r"ALTER TABLE (\S+) ADD COLUMN (.*)", statement):
            [table] = [columns for name, columns in tables.items() if name.split()[0] == added[1]]
            table.add(added[2])
        elif said := re.fullmatch(r"(COMMENT ON .*?) IS (.*)", statement):
            comments[said[1]] = said[2]
        elif gone := re.fullmatch(r"ALTER TABLE (\S+) RENAME TO \S+", statement):
            # It is made anew and filled from what it was, which goes with all that belongs to it.
            tables = {name: columns for name, columns in tables.items() if name.split()[0] != gone[1]}
            comments = {of: word for of, word in comments.items() if not re.search(rf" {gone[1]}\b", of)}
            others = [other for other in others if f" ON {gone[1]} (" not in other]
        elif not re.match(r"ALTER INDEX|INSERT INTO|UPDATE|DROP TABLE|ANALYZE", statement):
            others.append(statement)
    return [tables, comments, sorted(others)]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_migrations_say_word_for_word_what_the_metadata_says(dialect: str) -> None:
    # Comments, types and conditions of indexes, which comparing a database would not show.
    told = io.StringIO()
    config = migrate.configuration(None)
    config.attributes["dialect"] = dialect
    config.output_buffer = told
    command.upgrade(config, "head", sql=True)
    meant: list[str] = []

    def write(statement: ExecutableDDLElement, *_: object, **__: object) -> None:
        meant.append(" ".join(str(statement.compile(dialect=engine.dialect)).split()))

    engine = create_mock_engine(f"{dialect}://", write)
    METADATA.create_all(engine, checkfirst=False)
    parts = [" ".join(re.sub(r"-- Running upgrade .*", "", part).split()) for part in told.getvalue().split(";\n")]
    ours = [part for part in parts if part and "alembic_version" not in part and part not in ("BEGIN", "COMMIT")]
    assert _put_together(ours) == _put_together(meant)


def test_every_table_and_column_has_its_sentence() -> None:
    for table in METADATA.tables.values():
        assert table.comment
        assert table.comment.endswith(".")
        for column in table.columns:
            assert column.comment, f"{table.name}.{column.name}"
            assert column.comment.endswith(".")


def test_every_key_leads_with_the_host() -> None:
    for table in METADATA.tables.values():
        own_names = ("tokens", "people", "person_tokens", "authorities", "certificates", "history", "log", "log_head")
        if table.name not in own_names:
            assert next(iter(table.primary_key.columns)).name == "host_id"


def test_the_steps_are_numbered_in_order() -> None:
    script = ScriptDirectory.from_config(migrate.configuration(None))
    steps = [step.revision for step in reversed(list(script.walk_revisions()))]
    assert steps == [f"{n:04d}" for n in range(1, len(steps) + 1)]


# With numbers of where each table is: one that is made anew has another.
_CATALOGUES = {
    "sqlite": "* FROM sqlite_schema",
    "postgresql": "oid, relname, relfilenode FROM pg_class WHERE relnamespace = CURRENT_SCHEMA::regnamespace",
}


def test_opening_a_database_again_changes_nothing(tmp_path: Path) -> None:
    def shape(conn: Connection) -> list[str]:
        return sorted(map(repr, conn.execute(text(f"SELECT {_CATALOGUES[conn.dialect.name]}"))))

    async def run() -> None:
        seen = []
        for _ in range(2):
            db = Database.open(databases.url(tmp_path))
            seen.append(await db.read(shape))
            await db.close()
        assert seen[0] == seen[1]

    asyncio.run(run())


# A row of each table that later steps change, as the first step has it.
ROWS_OF_0001 = {
    "hosts": {
        "host_id": 1, "name": "web1", "status": "active", "enrolled_at_us": 1, "certificate_serial": "0a",
        "generation": 1, "whole": True, "latest_us": 5,
    },
    "holders": {
        "host_id": 1, "holder_id": 9, "uid": 0, "user": "root", "unit": "nginx.service", "container": "",
        "owner_status": 1,
    },
    "current": {
        "host_id": 1, "socket_id": 7, "netns": 0, "protocol": 6, "family": 4, "state": 10, "local_address": bytes(4),
        "local_port": 443, "remote_address": b"", "remote_port": 0, "interface": "", "v6only": None, "recv_queue": 0,
        "send_queue": 511, "inode": 3, "cookie": 4, "source": 1, "scope": 5, "holder_id": 9, "opened_at_us": 2,
        "opened_at_is": 2, "seen_at_us": 5,
    },
}  # fmt: skip
ROWS_OF_0001["history"] = {
    **{name: value for name, value in ROWS_OF_0001["current"].items() if name != "seen_at_us"},
    "socket_id": 8, "closed_at_us": 4, "closed_at_is": 2, "last_seen_us": 3,
}  # fmt: skip


def old_database(directory: Path, step: str) -> Engine:
    """A database as an older version left it."""
    engine = create_engine(databases.url(directory))
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), step)
        for table, row in ROWS_OF_0001.items():
            names = ", ".join(f'"{name}"' for name in row)
            conn.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{n}' for n in row)})"), row)
    return engine


def _rows(conn: Connection, table: str) -> list[dict[str, object]]:
    return [dict(row) for row in conn.execute(text(f"SELECT * FROM {table}")).mappings()]


def test_rows_of_0001_are_there_after_0002_with_nothing_in_what_is_new_and_the_same_on_the_way_back(
    tmp_path: Path,
) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        before = {table: _rows(conn, table) for table in ROWS_OF_0001}
        command.upgrade(migrate.configuration(conn), "0002")
        new = {"type": 0, "path": b"", "peer_inode": 0}
        for table in ("current", "history"):
            assert _rows(conn, table) == [{**before[table][0], **new}]
        assert _rows(conn, "holders") == [{**before["holders"][0], "runtime": ""}]
        unix = {**ROWS_OF_0001["current"], "protocol": 256, "family": 1, "socket_id": 70, "path": b"/run/x"}
        conn.execute(current.insert().values(unix))
        command.downgrade(migrate.configuration(conn), "0001")
        # A database of 0001 could not say of a UNIX socket what it is.
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == before
        assert {"namespaces", "interfaces", "routes"}.isdisjoint(inspect(conn).get_table_names())
        command.upgrade(migrate.configuration(conn), "head")
        assert differences(conn) == []
    engine.dispose()


def test_rows_of_0002_are_there_after_0003_and_the_same_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0002")
        before = {table: _rows(conn, table) for table in ROWS_OF_0001}
        command.upgrade(migrate.configuration(conn), "0003")
        after = {**before, "hosts": [{**before["hosts"][0], "agreed_us": None}]}
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == after
        command.downgrade(migrate.configuration(conn), "0002")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == before
        command.upgrade(migrate.configuration(conn), "head")
        assert differences(conn) == []
    engine.dispose()


def test_rows_of_0005_are_there_after_0006_with_no_doubts_and_the_same_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0005")
        before = {table: _rows(conn, table) for table in ROWS_OF_0001}
        command.upgrade(migrate.configuration(conn), "0006")
        new: dict[str, dict[str, object]] = {"hosts": {"holder_doubts": 0}, "holders": {"doubted": 0}}
        after = {table: [{**rows[0], **new.get(table, {})}] for table, rows in before.items()}
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == after
        command.downgrade(migrate.configuration(conn), "0005")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == before
        assert "kept" not in inspect(conn).get_table_names()
        command.upgrade(migrate.configuration(conn), "head")
        assert differences(conn) == []
    engine.dispose()


# Of the tables of sockets.
_INDEXES = {
    "sqlite": "sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name",
    "postgresql": "indexdef FROM pg_indexes WHERE schemaname = CURRENT_SCHEMA AND tablename",
}


def _shape(conn: Connection) -> list[object]:
    """Of the tables of sockets their keys, columns in their order and indexes, as a database tells of them."""
    told, tables = inspect(conn), ("current", "history")
    indexes = conn.execute(text(f"SELECT {_INDEXES[conn.dialect.name]} IN {tables}")).scalars()
    return [[(str(told.get_pk_constraint(one)), str(told.get_columns(one))) for one in tables], sorted(indexes)]


def test_rows_of_0006_lose_with_0007_what_they_have_in_common_and_have_it_again_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0006")
        # One with nothing usual about it, and one that was seen up to its end.
        whole = {
            **ROWS_OF_0001["history"], "socket_id": 80, "netns": 4026531999, "interface": "eth0", "v6only": True,
            "recv_queue": 1, "path": b"\x00x", "type": 5, "peer_inode": 6, "protocol": 256, "family": 1, "source": 3,
        }  # fmt: skip
        seen = {**ROWS_OF_0001["history"], "socket_id": 81, "last_seen_us": 4, "scope": 0, "inode": 0}
        for row in (whole, seen):
            names = ", ".join(row)
            conn.execute(text(f"INSERT INTO history ({names}) VALUES ({', '.join(f':{n}' for n in row)})"), row)
        before, shape = {table: _rows(conn, table) for table in ROWS_OF_0001}, _shape(conn)
        command.upgrade(migrate.configuration(conn), "0007")
        shared = ("protocol", "family", "source", "netns", "interface", "recv_queue", "type", "path", "peer_inode")
        usual = dict.fromkeys(shared)
        assert _rows(conn, "current") == [{**before["current"][0], **usual}]
        assert _rows(conn, "history") == [
            {**before["history"][0], **usual},
            before["history"][1],
            {**before["history"][2], **usual, "inode": None, "scope": None, "last_seen_us": None},
        ]
        command.downgrade(migrate.configuration(conn), "0006")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == before
        assert _shape(conn) == shape
        command.upgrade(migrate.configuration(conn), "head")
        assert differences(conn) == []
    engine.dispose()


def test_what_is_open_in_a_database_of_0007_is_counted_by_0008_and_the_same_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0007")
        others = (
            {"socket_id": 71, "state": 1, "scope": 0},
            {"socket_id": 72, "state": 1, "scope": 0},
            {"socket_id": 73},
        )
        for other in others:
            conn.execute(current.insert().values({**ROWS_OF_0001["current"], **other}))
        before = {table: _rows(conn, table) for table in ROWS_OF_0001}
        command.upgrade(migrate.configuration(conn), "0008")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == before
        counted = [(row["protocol"], row["state"], row["sockets"], row["listeners"]) for row in _rows(conn, "counts")]
        assert sorted(counted) == [(6, 1, 2, 0), (6, 10, 2, 2)]
        assert counts.differing(conn) == []
        assert _rows(conn, "trends") == []
        command.downgrade(migrate.configuration(conn), "0007")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == before
        assert {"counts", "trends"}.isdisjoint(inspect(conn).get_table_names())
        command.upgrade(migrate.configuration(conn), "head")
        assert differences(conn) == []
    engine.dispose()


def test_rows_of_0008_are_there_after_0009_and_the_same_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    new = {
        "current": {"ix_current_listeners_of", "ix_current_listeners_since"},
        "history": {"ix_history_listeners_since"},
    }
    if engine.dialect.name == "postgresql":
        new["current"].add("ix_current_remote_address")

    def indexes(conn: Connection, table: str) -> set[str | None]:
        return {index["name"] for index in inspect(conn).get_indexes(table)}

    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0008")
        rows = {table: _rows(conn, table) for table in ROWS_OF_0001}
        before = {table: indexes(conn, table) for table in new}
        command.upgrade(migrate.configuration(conn), "0009")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == rows
        assert {table: indexes(conn, table) - before[table] for table in new} == new
        command.downgrade(migrate.configuration(conn), "0008")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == rows
        assert {table: indexes(conn, table) for table in new} == before
        command.upgrade(migrate.configuration(conn), "head")
        assert differences(conn) == []
    engine.dispose()


def test_rows_of_0009_are_there_after_0010_and_the_same_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0009")
        before = {table: _rows(conn, table) for table in ROWS_OF_0001}
        command.upgrade(migrate.configuration(conn), "0010")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == before
        question = {"host_id": 1, "question_id": 2, "asked_at_us": 3, "message": b"x"}
        conn.execute(live_questions.insert().values(question))
        command.downgrade(migrate.configuration(conn), "0009")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == before
        assert {"live_questions", "live_answers"}.isdisjoint(inspect(conn).get_table_names())
        command.upgrade(migrate.configuration(conn), "head")
        assert differences(conn) == []
    engine.dispose()


def test_people_and_their_tokens_come_with_0011_and_go_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0010")
        before = {table: _rows(conn, table) for table in ROWS_OF_0001}
        command.upgrade(migrate.configuration(conn), "0011")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == before
        assert _rows(conn, "people") == _rows(conn, "person_tokens") == []
        command.downgrade(migrate.configuration(conn), "0010")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == before
        assert {"people", "person_tokens"}.isdisjoint(inspect(conn).get_table_names())
        command.upgrade(migrate.configuration(conn), "head")
        assert differences(conn) == []
    engine.dispose()


def test_rows_of_0011_are_there_after_0012_without_labels_and_the_same_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0011")
        conn.execute(text("INSERT INTO tokens VALUES (:secret, 'web2', 1, 2, NULL)"), {"secret": bytes(32)})
        tables = (*ROWS_OF_0001, "tokens")
        before = {table: _rows(conn, table) for table in tables}
        command.upgrade(migrate.configuration(conn), "0012")
        after = {**before, "tokens": [{**before["tokens"][0], "labels": ""}]}
        assert {table: _rows(conn, table) for table in tables} == after
        conn.execute(labels.insert().values(host_id=1, key="role", value="web"))
        command.downgrade(migrate.configuration(conn), "0011")
        assert {table: _rows(conn, table) for table in tables} == before
        assert "labels" not in inspect(conn).get_table_names()
        command.upgrade(migrate.configuration(conn), "head")
        assert _rows(conn, "labels") == []
        assert differences(conn) == []
    engine.dispose()


def test_rows_of_0012_are_there_after_0013_with_one_holder_each_and_the_same_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0012")
        before = {table: _rows(conn, table) for table in ROWS_OF_0001}
        command.upgrade(migrate.configuration(conn), "0013")
        one = {table: [{**before[table][0], "held_since_us": None}] for table in ("current", "history")}
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == {**before, **one}
        former = {"host_id": 1, "socket_id": 7, "until_us": 4, "from_us": 2, "seen_us": None, "holder_id": 9, "kind": 1}
        conn.execute(former_holders.insert().values(former))
        command.downgrade(migrate.configuration(conn), "0012")
        assert {table: _rows(conn, table) for table in ROWS_OF_0001} == before
        assert "former_holders" not in inspect(conn).get_table_names()
        command.upgrade(migrate.configuration(conn), "head")
        assert _rows(conn, "former_holders") == []
        assert differences(conn) == []
    engine.dispose()


def test_rows_of_0013_are_there_after_0014_with_two_indexes_and_the_same_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    indexes = text(f"SELECT {_INDEXES[engine.dialect.name]} = 'former_holders'")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0013")
        former = {"host_id": 1, "socket_id": 7, "until_us": 4, "from_us": 2, "seen_us": None, "holder_id": 9, "kind": 1}
        conn.execute(former_holders.insert().values(former))
        tables = (*ROWS_OF_0001, "former_holders")
        before, there = {table: _rows(conn, table) for table in tables}, set(conn.execute(indexes).scalars())
        command.upgrade(migrate.configuration(conn), "0014")
        assert {table: _rows(conn, table) for table in tables} == before
        new = sorted(set(conn.execute(indexes).scalars()) - there)
        assert ["ix_former_holders_ends" in new[0], "ix_former_holders_host_id_holder_id" in new[1]] == [True, True]
        command.downgrade(migrate.configuration(conn), "0013")
        assert {table: _rows(conn, table) for table in tables} == before
        assert set(conn.execute(indexes).scalars()) == there
        command.upgrade(migrate.configuration(conn), "head")
        assert differences(conn) == []
    engine.dispose()


_TOKEN_OF_0016 = text(
    "INSERT INTO tokens (secret_hash, host, created_at_us, expires_at_us, labels, max_uses, uses, approve, made_by) "
    "VALUES ('hash', 'web2', 1, 2, '', 3, 1, false, 'local')"
)


def _all_rows(conn: Connection) -> dict[str, list[dict[str, object]]]:
    """Everything that is stored, but for the number of the step."""
    return {table: _rows(conn, table) for table in inspect(conn).get_table_names() if table != "alembic_version"}


def test_hosts_of_0014_are_known_after_0015_by_any_certificate_until_the_newest_is_shown(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0014")
        before = _rows(conn, "hosts")
        command.upgrade(migrate.configuration(conn), "0015")
        assert _rows(conn, "hosts") == [{**host, "status_since_us": 0, "renewed_serial": "*"} for host in before]
        assert hosts.good("any", "newest", "*")
        command.downgrade(migrate.configuration(conn), "0014")
        assert _rows(conn, "hosts") == before
        command.upgrade(migrate.configuration(conn), "head")
        assert differences(conn) == []
    engine.dispose()


def test_tokens_of_0015_are_for_one_use_after_0016_and_revoked_ones_go_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0015")
        for secret, used in ((b"a" * 32, None), (b"b" * 32, 5)):
            values = {"secret": secret, "used": used}
            conn.execute(text("INSERT INTO tokens VALUES (:secret, 'web2', 1, 2, :used, '')"), values)
            conn.execute(text("INSERT INTO person_tokens VALUES (:secret, 'bob', 'viewer', 1, 2, :used)"), values)
        before = {table: _rows(conn, table) for table in ("tokens", "person_tokens")}
        command.upgrade(migrate.configuration(conn), "0016")
        assert [(row["max_uses"], row["uses"], row["made_by"]) for row in _rows(conn, "tokens")] == [
            (1, 0, ""),
            (1, 1, ""),
        ]
        command.downgrade(migrate.configuration(conn), "0015")
        assert {table: _rows(conn, table) for table in before} == before
        command.upgrade(migrate.configuration(conn), "head")
        conn.execute(text("UPDATE tokens SET revoked_at_us = 9 WHERE uses = 0"))
        conn.execute(text("UPDATE person_tokens SET revoked_at_us = 9"))
        command.downgrade(migrate.configuration(conn), "0015")
        assert [row["used_at_us"] for row in _rows(conn, "tokens")] == [5]
        assert _rows(conn, "person_tokens") == []
        command.upgrade(migrate.configuration(conn), "head")
        assert differences(conn) == []
    engine.dispose()


def test_rows_of_0016_are_there_after_0017_with_a_log_that_is_empty_and_the_same_on_the_way_back(
    tmp_path: Path,
) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0016")
        conn.execute(_TOKEN_OF_0016)
        before = _all_rows(conn)
        command.upgrade(migrate.configuration(conn), "0017")
        assert _all_rows(conn) == {**before, "log": [], "log_head": []}
        assert log.broken(conn) == (0, 0)
        log.append(conn, LogEntry(1, "local", "root", "", "revoke-hosts", "web1", "done"))
        command.downgrade(migrate.configuration(conn), "0016")
        assert _all_rows(conn) == before
        command.upgrade(migrate.configuration(conn), "head")
        assert log.latest(conn, 10) == []  # a new chain, from its beginning
        assert differences(conn) == []
    engine.dispose()


def test_a_database_of_0017_adopts_its_ca_after_0018_and_knows_of_none_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0017")
        log.append(conn, LogEntry(1, "local", "root", "", "revoke-hosts", "web1", "done"))
        before = _all_rows(conn)
        command.upgrade(migrate.configuration(conn), "0018")
        assert _all_rows(conn) == {**before, "authorities": [], "certificates": []}
        # Of hosts of before nothing is known until they come.
        assert certificates.of_hosts(conn) == [HeldCertificate("host", "web1")]
        [adopted] = authorities.adopt(conn, b"a certificate", 5)
        assert (adopted.standing, adopted.certificate, adopted.since_us) == (authorities.ISSUING, b"a certificate", 5)
        certificates.put(conn, HeldCertificate("host", "web1", "0a", "ca", frozenset({"ca"}), 9, shown=True))
        command.downgrade(migrate.configuration(conn), "0017")
        assert _all_rows(conn) == before
        command.upgrade(migrate.configuration(conn), "head")
        assert certificates.of_hosts(conn) == [HeldCertificate("host", "web1")]
        assert differences(conn) == []
    engine.dispose()


def test_rows_of_0018_are_there_after_0019_and_who_waits_is_forgotten_on_the_way_back(tmp_path: Path) -> None:
    engine = old_database(tmp_path, "0001")
    with engine.begin() as conn:
        command.upgrade(migrate.configuration(conn), "0018")
        authorities.adopt(conn, b"a certificate", 5)
        certificates.put(conn, HeldCertificate("host", "web1", "0a", "ca", frozenset({"ca"}), 9, shown=True))
        before = _all_rows(conn)
        command.upgrade(migrate.configuration(conn), "0019")
        assert _all_rows(conn) == {**before, "readmissions": []}
        asked = Readmission("0a", "key", "192.0.2.1", 10, 0, 0)
        readmissions.put(conn, 1, asked)
        assert readmissions.waiting(conn) == {1: asked}
        command.downgrade(migrate.configuration(conn), "0018")
        assert _all_rows(conn) == before
        command.upgrade(migrate.configuration(conn), "head")
        assert readmissions.waiting(conn) == {}
        assert differences(conn) == []
    engine.dispose()


def test_a_collector_opens_a_database_of_0001_and_answers_from_it(tmp_path: Path) -> None:
    old_database(tmp_path, "0001").dispose()

    async def story(c: Collector) -> None:
        [item] = (await c.ask()).items
        assert (item.local_port, item.path, item.type, item.peer_inode) == (443, b"", 0, 0)
        assert (item.holder.unit, item.holder.runtime) == ("nginx.service", "")
        assert (await c.ask(at_us=3)).items[0].cookie == 4

    tell(tmp_path, story)
