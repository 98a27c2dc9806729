"""Brings the tables up to date, through the diary in migrations/versions.

Runs inside the caller's transaction, so a step that fails leaves the database as it was. The views for people belong to
no step; they are made when all steps are done.
"""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from fleetnet_server.errors import SchemaNewer, StorageDamaged
from fleetnet_server.storage import dialect, views
from fleetnet_server.storage.spread import one_by_one, spread


def upgrade(conn: Connection, name: str) -> None:
    """Bring the tables of `conn` up to this version. Raises SchemaNewer, and StorageDamaged for foreign tables."""
    one_by_one(conn)
    config = configuration(conn)
    script = ScriptDirectory.from_config(config)
    present = step(conn)
    known = {revision.revision for revision in script.walk_revisions()}
    if present is None and inspect(conn).get_table_names():
        raise StorageDamaged(f"the database {name} holds tables that are not fleetnet's; {dialect.elsewhere(conn)}")
    if present is not None and present not in known:
        raise SchemaNewer(
            f"the database {name} was written by a newer fleetnet-server (its tables are at step {present}, this "
            f"version knows {script.get_current_head()}); install that version, or restore a backup made before it"
        )
    if present != script.get_current_head():
        command.upgrade(config, "head")
    spread(conn)
    views.keep(conn)


def step(conn: Connection) -> str | None:
    """The step of the diary that the tables of `conn` are at; None where there are none."""
    return MigrationContext.configure(conn).get_current_revision()


def steps_after(step: str | None) -> list[tuple[str, str]]:
    """What is to be done to tables that are at a step (None: there are none), oldest first: each step's number and its
    one sentence. Empty too where the step is one of a later version."""
    script = ScriptDirectory.from_config(configuration(None))
    diary = {one.revision: one.doc for one in reversed(list(script.walk_revisions()))}
    if step is not None and step not in diary:
        return []
    return [(number, sentence) for number, sentence in diary.items() if step is None or number > step]


def newest_step() -> str | None:
    """The last step of the diary that this version knows."""
    return ScriptDirectory.from_config(configuration(None)).get_current_head()


def configuration(conn: Connection | None) -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", "fleetnet_server:migrations")
    config.attributes["connection"] = conn
    return config
