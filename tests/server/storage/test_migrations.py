"""The diary of migrations leads to the tables that the code uses."""

import asyncio
import io
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from fleetnet_server.storage import migrate
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.schema import METADATA
from sqlalchemy import Connection, create_mock_engine, text
from sqlalchemy.sql.ddl import ExecutableDDLElement


def test_a_migrated_database_has_the_tables_of_the_metadata(tmp_path: Path) -> None:
    def differences(conn: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(conn), METADATA))

    async def run() -> None:
        db = Database.open(f"sqlite:///{tmp_path / 'fleetnet.db'}")
        try:
            assert await db.read(differences) == []
        finally:
            await db.close()

    asyncio.run(run())


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
    written = [" ".join(part.split()) for part in told.getvalue().split(";\n")]
    ours = [part for part in written if part and "alembic_version" not in part and part not in ("BEGIN", "COMMIT")]
    assert sorted(part.removeprefix("-- Running upgrade -> 0001").strip() for part in ours) == sorted(meant)


def test_every_table_and_column_has_its_sentence() -> None:
    for table in METADATA.tables.values():
        assert table.comment
        assert table.comment.endswith(".")
        for column in table.columns:
            assert column.comment, f"{table.name}.{column.name}"
            assert column.comment.endswith(".")


def test_every_key_leads_with_the_host() -> None:
    for table in METADATA.tables.values():
        if table.name not in ("tokens", "history"):
            assert next(iter(table.primary_key.columns)).name == "host_id"


def test_the_steps_are_numbered_in_order() -> None:
    script = ScriptDirectory.from_config(migrate.configuration(None))
    steps = [step.revision for step in reversed(list(script.walk_revisions()))]
    assert steps == [f"{n:04d}" for n in range(1, len(steps) + 1)]


def test_opening_a_database_again_changes_nothing(tmp_path: Path) -> None:
    async def tables(db: Database) -> list[str]:
        return await db.read(lambda conn: list(conn.execute(text("SELECT sql FROM sqlite_schema")).scalars()))

    async def run() -> None:
        seen = []
        for _ in range(2):
            db = Database.open(f"sqlite:///{tmp_path / 'fleetnet.db'}")
            seen.append(await tables(db))
            await db.close()
        assert seen[0] == seen[1]

    asyncio.run(run())
