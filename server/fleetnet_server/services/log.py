"""What administrators do is logged in the transaction that does it.

While somebody's wish is being done (`doing`), whatever `Logged` writes has its entry written with it: so none is done
and not logged, nor logged and not done. What is refused has done nothing, and its entry is written by itself.

Who may do something is found out before it is begun; whether that still holds is looked at once more in the
transaction that does it, so nothing is done for somebody after that was taken away.
"""

import asyncio
import contextlib
import contextvars
import datetime
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, TypeVar, TypeVarTuple

import structlog

from fleetnet_server import microseconds
from fleetnet_server.errors import NotPermitted, ServerError, StorageError
from fleetnet_server.records import OPERATOR, LogEntry, LoggedEntry
from fleetnet_server.storage import log, people
from fleetnet_server.storage.database import Connection, Database

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

DONE: Final = "done"
_MOST: Final = 1_000  # characters of a text in the log

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to be done."""

    who: str
    login: str  # that he says he has; empty over the network
    peer: str
    action: str
    subject: str
    person: str = ""  # who it is, over the network


_WISH: contextvars.ContextVar[Wish | None] = contextvars.ContextVar("wish", default=None)


class Logged:
    """A database in which what is done for somebody is logged."""

    def __init__(self, db: Database, clock: Callable[[], datetime.datetime]) -> None:
        self._db = db
        self._clock = clock
        self._writing: set[asyncio.Future[None]] = set()

    @contextlib.asynccontextmanager
    async def doing(self, wish: Wish) -> AsyncIterator[None]:
        """Do what somebody wants. What is raised is logged as a refusal, where the database can be written."""
        token = _WISH.set(wish)
        try:
            yield
        except StorageError:
            raise  # nothing was done, and nothing can be logged
        except ServerError as error:
            await self.refused(wish, str(error))
            raise
        finally:
            _WISH.reset(token)

    async def refused(self, wish: Wish, why: str) -> None:
        """Somebody was refused what he wants. Raises StorageError. Whoever hangs up meanwhile does not undo it."""
        writing = asyncio.ensure_future(self._refused(wish, why))
        self._writing.add(writing)
        writing.add_done_callback(self._written)
        await asyncio.shield(writing)

    async def _refused(self, wish: Wish, why: str) -> None:
        _say(await self._db.write(log.append, self._entry(wish, f"refused: {why}")), wish)

    def _written(self, writing: asyncio.Future[None]) -> None:
        self._writing.discard(writing)
        if not writing.cancelled():
            writing.exception()  # told to whoever waits; if nobody does any more, the writer's own log has it

    async def write(self, fn: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """As Database.write."""
        wish = _WISH.get()
        if wish is None:
            return await self._db.write(fn, *args)
        done, sealed = await self._db.write(_with_entry, wish.person, self._entry(wish, DONE), fn, args)
        _say(sealed, wish)
        return done

    async def read(self, fn: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """As Database.read."""
        return await self._db.read(fn, *args)

    async def latest(self, most: int) -> list[LoggedEntry]:
        """The last entries, the latest first; a bounded number. Raises StorageError."""
        return await self._db.read(log.latest, most)

    def _entry(self, wish: Wish, result: str) -> LogEntry:
        texts = (wish.who, wish.login, wish.peer, wish.action, wish.subject, result)
        return LogEntry(microseconds.of(self._clock()), *map(_bounded, texts))


def _with_entry(
    conn: Connection,
    person: str,
    entry: LogEntry,
    fn: Callable[[Connection, *Ts], T],
    args: tuple[*Ts],
) -> tuple[T, tuple[int, bytes]]:
    if person:
        _check_still_operator(conn, person)
    # The entry comes last: the end of the chain is held for the shortest time, and what raises has none.
    return fn(conn, *args), log.append(conn, entry)


def _check_still_operator(conn: Connection, name: str) -> None:
    """Return if a person may administer, from whom nobody can take that before the end of the transaction. Raises
    NotPermitted."""
    person = people.hold(conn, name)
    if person is None or person.status != people.ACTIVE or person.role != OPERATOR:
        raise NotPermitted(f"{name} may not administer any more; ask an operator to do it")


def _bounded(text: str) -> str:
    """What a database takes as text, and no more than fits on a screen."""
    kept = text.replace("\0", "\\0").encode("utf-8", "replace").decode()
    return kept if len(kept) <= _MOST else kept[: _MOST - 1] + "…"


def _say(sealed: tuple[int, bytes], wish: Wish) -> None:
    """Where no database reaches: a chain that was made anew has other hashes."""
    number, hash_ = sealed
    _log.info("logged", number=number, hash=hash_.hex(), by=wish.who, action=wish.action)
