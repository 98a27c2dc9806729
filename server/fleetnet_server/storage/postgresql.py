"""PostgreSQL: how its connections are opened, what is asked of the server, its errors.

What must stay true: what is acknowledged is on the server's disk, whatever the server's own setting says; a question
reads one moment and can write nothing; nobody waits for ever for a server that is gone, nor a server for a collector
that is. A connection that broke is thrown away, and the next piece of work opens another.
"""

import contextlib
import os
import re
import socket
import threading
from functools import partial
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from fleetnet_server.errors import StorageError, StorageUnavailable
from fleetnet_server.storage.compiled import Questions
from fleetnet_server.storage.postgresql_rows import CITUS
from fleetnet_server.storage.postgresql_rows import execute_rows as execute_rows
from fleetnet_server.storage.postgresql_rows import hold_each as hold_each
from fleetnet_server.storage.postgresql_rows import insert_new as insert_new
from fleetnet_server.storage.postgresql_rows import insert_or_clear as insert_or_clear
from fleetnet_server.storage.postgresql_rows import insert_or_set as insert_or_set
from fleetnet_server.storage.postgresql_rows import select_constant as select_constant
from fleetnet_server.storage.postgresql_rows import select_each as select_each

ELSEWHERE = "give a database, or a schema (?options=-csearch_path%3DNAME), of its own to --database"
ON_A_SERVER = True
OLDEST = 15  # the oldest that its makers still mend, and the one that the tests run on

# Told to libpq unless the URL says otherwise. A peer that is gone without a word is noticed within half a minute.
_DEFAULTS = {
    "application_name": "fleetnet-server",
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}
# Told to the server by SET and not as it connects, for a pooler between would refuse that.
_WRITER = {
    # Another collector holds a host's row for a moment only; a frozen one is cut off by the server.
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    "jit": "off",
}
_READER = {
    "idle_in_transaction_session_timeout": "180s",  # longer than an answer may stall (database.py)
    "jit": "off",  # compiling takes longer than most answers
    "max_parallel_workers_per_gather": "0",  # so does starting processes, and they take the cores of who writes
}
# A server looks this often whether a collector that it works for is still there, where its kernel can tell it.
_LOOK = "client_connection_check_interval"
_LOOK_EVERY = "1s"
# Asked of Citus alone: changes to what each machine has a copy of may come to the machines in any order, so that those
# of other rows wait for none of ours. Ours name their rows by the key, and hold them on every machine to the end.
_ANY_ORDER = "citus.all_modifications_commutative"
# A statement is ended by the server, if not before by who asked (database.py), after a minute or what a question may
# take, and a little.
_STATEMENT_S = 60.0
_AND_S = 10.0
PREPARED_WITHIN_S: Final = 10.0  # a new connection, once it is let in
_GUARD: Final = "fleetnet guard"
_LOCK = int.from_bytes(b"fleetnet", "big")


def engines(url: URL, readers: int, question_s: float) -> tuple[str, Engine, Engine]:
    """The name to show, without a password, the engine of the writer and that of its readers. Opens nothing.

    Raises StorageError for options that there are not.
    """
    url = url.set(drivername="postgresql+psycopg")
    _check_options(url)
    told = {name: value for name, value in _DEFAULTS.items() if name not in url.query} | {"client_encoding": "utf8"}
    # A connection is tried before it is used: one that lay idle while the server was restarted costs nobody his work.
    writer = create_engine(
        url, connect_args=told, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_pre_ping=True,
        isolation_level="READ COMMITTED",
    )  # fmt: skip
    # Each question is another: a plan made for one port is none for the next, so none is kept. Nor is a connection
    # tried: a question that finds its own broken begins again (reader.py).
    reader = create_engine(
        url, connect_args={**told, "prepare_threshold": None}, poolclass=QueuePool, pool_size=readers, max_overflow=0,
        isolation_level="REPEATABLE READ",
        execution_options={"postgresql_readonly": True, "compiled_cache": Questions()},
    )  # fmt: skip
    event.listen(writer, "handle_error", _leave_standby)
    bounded = {**_READER, "statement_timeout": f"{max(_STATEMENT_S, question_s) + _AND_S:.0f}s"}
    for engine, settings in ((writer, _WRITER), (reader, bounded)):
        event.listen(engine, "connect", _guard, insert=True)  # before SQLAlchemy itself asks the first for its version
        event.listen(engine, "connect", partial(_prepare, settings))
    return _shown(url), writer, reader


def _check_options(url: URL) -> None:
    try:
        told = url.get_dialect()().create_connect_args(url)[1]
        make_conninfo("", **{name: value for name, value in told.items() if name != "context"})  # that one is psycopg's
    except (ArgumentError, ValueError, psycopg.Error) as error:
        words = " ".join(str(error).split())
        raise StorageError(
            f"--database {_shown(url)} cannot be used: {words}; correct what stands behind the '?'"
        ) from None


def _shown(url: URL) -> str:
    """The URL without its query, which may hold a password as well."""
    if "service" in url.query and not url.database:
        return f"of the service {url.query['service']}"
    host = url.host or url.query.get("host") or ""
    user = f"{url.username}@" if url.username else ""
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{user}{host if isinstance(host, str) else ','.join(host)}{port}/{url.database}"


def _guard(connection: "psycopg.Connection[Any]", record: ConnectionPoolEntry) -> None:
    """Nobody else knows of it yet, so nobody else can hang up on what lets one in and then does not answer."""
    guard = record.info[_GUARD] = threading.Timer(PREPARED_WITHIN_S, interrupt, (connection,))
    guard.daemon = True  # a connection that could not be prepared is closed, and nobody has to wait for its guard
    guard.start()


def _prepare(settings: dict[str, str], connection: "psycopg.Connection[Any]", record: ConnectionPoolEntry) -> None:
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    connection.execute("SELECT set_config(%s, %s, false) WHERE version() LIKE '%%linux%%'", (_LOOK, _LOOK_EVERY))
    told = connection.execute(
        "SELECT set_config(%s, 'on', false) FROM pg_extension WHERE extname = 'citus'", (_ANY_ORDER,)
    )
    record.info[CITUS] = told.rowcount > 0
    # Weaker than the disk of one server is not enough; stronger, with standbys, is the administrator's choice.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    connection.commit()
    record.info.pop(_GUARD).cancel()


def _leave_standby(context: ExceptionContext) -> None:
    """A server that cannot be written any more is left: an address may lead to the new primary by now, and a connection
    that stays never would."""
    if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True


def exists(_name: str) -> bool:
    """It may: a database that does not exist is told of by the server, and opening it does not make it."""
    return True


def version(conn: Connection) -> str:
    """See dialect.py."""
    told = f"PostgreSQL {conn.exec_driver_sql('SHOW server_version').scalar_one()}"
    if not is_spread(conn):
        return told
    asked = "SELECT extversion FROM pg_extension WHERE extname = 'citus'"
    return f"{told} with Citus {conn.exec_driver_sql(asked).scalar_one()}"


def is_spread(conn: Connection) -> bool:
    """See dialect.py."""
    return bool(conn.info.get(CITUS))


def lock_tables(conn: Connection) -> None:
    """Wait for another collector that is bringing the tables up to date, as long as that takes."""
    conn.execute(text("SET LOCAL lock_timeout = 0"))
    conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def check(conn: Connection, name: str) -> None:
    """Whether the server can do what is asked of it. Raises StorageError or what `translate` knows."""
    version, encoding, standby, schema = conn.execute(
        text(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), "
            "pg_is_in_recovery(), current_schema()"
        )
    ).one()
    if version // 10_000 < OLDEST:
        raise StorageError(
            f"the database {name} is on PostgreSQL {version // 10_000}, and this version needs {OLDEST} or later; "
            "upgrade the server"
        )
    if encoding != "UTF8":
        raise StorageError(
            f"the database {name} keeps its text as {encoding}, which cannot hold every name; "
            "make another with ENCODING 'UTF8' TEMPLATE template0"
        )
    if standby:
        raise StorageUnavailable(f"the database {name} is on a standby, which cannot be written; {_PRIMARY}")
    if schema is None:
        raise StorageError(
            f"the database {name} has no schema for the tables, or its user no right to it; CREATE SCHEMA "
            "AUTHORIZATION the user, or check the search_path"
        )


def interrupt(connection: "psycopg.Connection[Any]") -> None:
    """See dialect.py. It hangs up, which a server that does not answer cannot hold up; one that works on the statement
    finds out soon (_LOOK). To cancel it another connection would be needed, to the same server."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)


def contended(error: DBAPIError) -> bool:
    """See dialect.py."""
    return _state(error) in _CONTENDED


def translate(error: DBAPIError, name: str) -> StorageError | None:
    """See dialect.py."""
    if not isinstance(error.orig, psycopg.Error):
        return None
    state = _state(error)
    if state is None:
        # What libpq says of a connection has no code. What it says in another language is passed on as it is.
        if not (isinstance(error.orig, psycopg.OperationalError) or error.connection_invalidated):
            return None
        words = " ".join(str(error.orig).split())
        reason = next((told for pattern, told in _REFUSALS if pattern.search(words)), _AWAY)
        return StorageUnavailable(f"the database {name} {reason} ({words})")
    if (told := _UNAVAILABLE.get(state) or _UNAVAILABLE.get(state[:2])) is None:
        return None
    words = " ".join((error.orig.diag.message_primary or str(error.orig)).split())
    return StorageUnavailable(f"the database {name} {told} ({words})")


def _state(error: DBAPIError) -> str | None:
    return error.orig.sqlstate if isinstance(error.orig, psycopg.Error) else None


_PRIMARY = "name the primary, or several hosts with ?target_session_attrs=read-write"
_AWAY = "does not answer; see that the server runs and can be reached; what was not acknowledged comes again by itself"
_STOPS = "is being started, stopped or repaired; it goes on by itself"
_FULL = "has no connection left; raise max_connections there: a collector needs 17"
_DAMAGED = "reports damage or a failing disk; look at the server's log, and restore a backup if it says so"
_BUSY = "is kept busy by another collector with the same host; nothing was stored; it goes on by itself"
_CONTENDED = ("40001", "40P01", "55P03")
# https://www.postgresql.org/docs/current/errcodes-appendix.html: a code, or the class that its first two signs are.
_UNAVAILABLE = {
    "08": _AWAY,
    **dict.fromkeys(_CONTENDED, _BUSY),
    "25006": f"cannot be written: it is a standby or was set to be read only; {_PRIMARY}",
    "25P03": "has ended a transaction that took too long; nothing was stored",
    "42501": "does not let its user do what is needed; GRANT it, or make the user the owner of database and tables",
    "53100": "cannot grow: the server's disk is full; nothing was stored; free some space, and it goes on by itself",
    "53200": "is out of memory; nothing was stored; look at the server",
    "53300": _FULL,
    "57014": "took too long over a question and gave it up; ask for less, or see what keeps the server busy",
    "57": _STOPS,
    "58": _DAMAGED,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
_REFUSALS = [
    (re.compile(pattern), told)
    for pattern, told in (
        (
            "password authentication failed|no password supplied",
            "does not take the password of its user; put the right one into ~/.pgpass, or the file that PGPASSFILE "
            "names, which only the user of fleetnet-server may read",
        ),
        (
            'database ".*" does not exist',
            "is not there; CREATE DATABASE it, with ENCODING 'UTF8' and its user as OWNER",
        ),
        (
            'role ".*" (does not exist|is not permitted)|authentication failed|pg_hba.conf|permission denied',
            "does not let this user in; CREATE ROLE it with LOGIN, and see what pg_hba.conf says of it",
        ),
        ("definition of service", "is of a service that is not defined; see ~/.pg_service.conf, or PGSERVICEFILE"),
        (
            "SSL|certificate",
            "cannot be reached in the way that sslmode and sslrootcert ask for; see what both sides have",
        ),
        (
            "session is read-only|server is in hot standby mode",
            "cannot be written: what answers is a standby; promote one, or see that the primary runs; it goes on by "
            "itself",
        ),
        ("too many (clients|connections)|remaining connection slots", _FULL),
        ("starting up|shutting down|recovery mode|not (yet )?accepting", _STOPS),
        ("resolve host|translate host", "is on a host whose name is not known here; check --database"),
    )
]
