"""What the database itself saw: triggers, put there by the test, that write in the very transaction that stores a batch
or begins a stream. No collector is believed.

What must be true of each host, in the order in which its row was locked: a stream is numbered one above the newest,
and goes on behind what was stored of its epoch; a batch comes from the newest stream, by the collector that began it,
and is the next of its epoch.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

# The number is drawn while the host's row is held, so of one host it goes as the commits do.
INSTALL: Final = (
    "CREATE TABLE witness (number BIGSERIAL PRIMARY KEY, host_id BIGINT, generation BIGINT, epoch BIGINT, "
    "began BOOLEAN, was BIGINT, is_now BIGINT, collector TEXT, backend INT)",
    "CREATE FUNCTION witness_began() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "INSERT INTO witness (host_id, generation, epoch, began, was, is_now, collector, backend) "
    "VALUES (NEW.host_id, NEW.generation, NEW.epoch, true, NEW.last_sequence, NEW.last_sequence, "
    "current_setting('application_name'), pg_backend_pid()); RETURN NULL; END $$",
    "CREATE FUNCTION witness_stored() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "INSERT INTO witness (host_id, generation, epoch, began, was, is_now, collector, backend) "
    "VALUES (NEW.host_id, NEW.generation, NEW.epoch, false, OLD.last_sequence, NEW.last_sequence, "
    "current_setting('application_name'), pg_backend_pid()); RETURN NULL; END $$",
    "CREATE TRIGGER witness_began AFTER INSERT ON sessions FOR EACH ROW EXECUTE FUNCTION witness_began()",
    "CREATE TRIGGER witness_stored AFTER UPDATE OF last_sequence ON sessions "
    "FOR EACH ROW EXECUTE FUNCTION witness_stored()",
    # Now and then the database takes its time in the midst of a batch, so that whoever does not wait is in time to
    # come between: after the stream was judged and before the host's row is written.
    "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF random() < 0.2 THEN PERFORM pg_sleep(0.03); END IF; RETURN NULL; END $$",
    "CREATE TRIGGER dawdle AFTER INSERT ON current FOR EACH STATEMENT EXECUTE FUNCTION dawdle()",
)


_COUNTED: Final = "state, count(*), count(*) FILTER (WHERE scope <> 0)"
_COUNTS: Final = "state, sum(sockets), sum(listeners)"


@dataclass(frozen=True, slots=True)
class Seen:
    """One row of the witness."""

    generation: int
    epoch: int
    began: bool  # a stream was begun; else a batch was stored
    was: int  # the sequence of the stream before
    is_now: int
    collector: str  # the life of a collector
    backend: int  # the server's process that served it

    def __str__(self) -> str:
        what = f"began behind {self.is_now}" if self.began else f"stored {self.is_now}"
        return f"{self.collector} (backend {self.backend}) {what} of epoch {self.epoch} in stream {self.generation}"


@dataclass(slots=True)
class Account:
    """What is known of one host, by what was seen."""

    wrong: list[str] = field(default_factory=list)
    stored: dict[int, int] = field(default_factory=dict)  # last sequence, by epoch
    moves: int = 0  # from one life of a collector to another


@dataclass(frozen=True, slots=True)
class Kept:
    """All of one host that the database has."""

    seen: list[Seen]
    closed: list[tuple[int, int, int]]  # cookie, opened, closed
    open: list[tuple[int, int]]  # cookie, opened
    gaps: list[str]  # why
    counted: list[tuple[int, int, int]]  # state, sockets, listeners
    counts: list[tuple[int, int, int]]  # the same, by those who keep count


def account(seen: Iterable[Seen]) -> Account:
    """Go through what was seen of one host, in its order."""
    told = Account()
    newest: Seen | None = None
    for row in seen:
        last = told.stored.setdefault(row.epoch, 0)
        if row.began:
            if row.generation != (newest.generation if newest else 0) + 1:
                told.wrong.append(f"a stream has not the next number: {row}, after {newest}")
            if row.is_now != last:
                told.wrong.append(f"a stream does not go on where {last} was stored: {row}")
            told.moves += newest is not None and newest.collector != row.collector
            newest = row
            continue
        if newest is None or row.generation != newest.generation:
            told.wrong.append(f"an older stream wrote: {row}, after {newest}")
        elif row.collector != newest.collector:
            told.wrong.append(f"another collector wrote for a stream: {row}, after {newest}")
        if (row.was, row.is_now) != (last, last + 1):
            told.wrong.append(f"a batch is not the next after {last}: {row}")
        told.stored[row.epoch] = row.is_now
    return told


def read(database: str, host: str) -> Kept:
    """What a database (as psycopg names it) has of a host."""
    with psycopg.connect(database) as opened:
        opened.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

        def ask(what: str) -> list[tuple[Any, ...]]:
            return opened.execute(f"SELECT {what}".encode(), [host]).fetchall()

        mine = "JOIN hosts USING (host_id) WHERE hosts.name = %s"
        columns = "w.generation, w.epoch, w.began, w.was, w.is_now, w.collector, w.backend"
        return Kept(
            [Seen(*row) for row in ask(f"{columns} FROM witness w {mine} ORDER BY w.number")],
            [(row[0], row[1], row[2]) for row in ask(f"cookie, opened_at_us, closed_at_us FROM history {mine}")],
            [(row[0], row[1]) for row in ask(f"cookie, opened_at_us FROM current {mine}")],
            [str(row[0]) for row in ask(f"reason FROM gaps {mine}")],
            [(row[0], row[1], row[2]) for row in ask(f"{_COUNTED} FROM current {mine} GROUP BY 1 ORDER BY 1")],
            [(row[0], row[1], row[2]) for row in ask(f"{_COUNTS} FROM counts {mine} GROUP BY 1 ORDER BY 1")],
        )
