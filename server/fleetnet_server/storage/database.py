"""The one door to the database: a thread that writes, a few that read.

What must stay true: nothing that was acknowledged is lost; readers see one moment each and never hold up the writer;
readers are closed first, the writer's connection last (sqlite.py says why). What fails is told in the words of
errors.py.
"""

import asyncio
import contextlib
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NoReturn, TypeVar, TypeVarTuple

from sqlalchemy import Connection as Connection  # services name it, hand it on, and never look inside
from sqlalchemy.exc import DBAPIError

from fleetnet_server.storage import dialect, migrate
from fleetnet_server.storage.answers import Answers
from fleetnet_server.storage.reader import Reading
from fleetnet_server.storage.writer import Haste, Work, Writer

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Engines let go of the interpreter's lock while they work; more threads than a few only contend for it.
_READER_THREADS = 4
# An answer that is not read on for so long is given up, and one that is read for so long in all: its snapshot keeps
# SQLite's write-ahead log from shrinking, and PostgreSQL from taking away what was deleted.
STALLED_S = 60.0
LONGEST_S = 1800.0
QUESTION_S = 60.0  # what a question may take of the database, unless it is told otherwise
# How soon a statement is interrupted again that had not begun the last time.
_AGAIN_S = 0.05
_WATCH_S = 1.0
_STALLED = "the answer was given up, for it was not read on for too long; ask again"
_LEFT = "nobody waits for the answer any more"


class Database:
    """An open database. Use `open`."""

    def __init__(
        self, engines: dialect.Engines, gather_s: float = 0.0, patience_s: float = 0.0, question_s: float = QUESTION_S
    ) -> None:
        self._engines = engines
        self._question_s = question_s
        self._writer = Writer(engines.writer, engines.name, gather_s, patience_s)
        self._answers: Answers | None = None
        self._on_their_way: defaultdict[int, list[Work]] = defaultdict(list)  # by host, in the order of the calls
        self._watch: asyncio.Task[NoReturn] | None = None
        self._asked = _Places(ThreadPoolExecutor(_READER_THREADS, "fleetnet-reader"), dialect.READERS)
        # Whoever watches the collector, and its own rounds, wait for no question, however many are asked.
        self._own = _Places(ThreadPoolExecutor(dialect.OWN_READERS, "fleetnet-own-reader"), dialect.OWN_READERS)

    @classmethod
    def open(
        cls, url: str, gather_s: float = 0.0, patience_s: float = 0.0, question_s: float = QUESTION_S
    ) -> "Database":
        """Open (or make) the database, check it, bring its tables up to date. Blocks; call it before serving.

        `url` is sqlite:///relative or sqlite:////absolute, whose folder must exist and whose file is made with mode
        0600, or postgresql+psycopg://USER@HOST/DATABASE, which must exist. See Writer for the first two times, `stream`
        for the third.
        Raises StorageUnavailable, StorageDamaged, SchemaNewer, or StorageError for what cannot be used.
        """
        engines = dialect.engines(url, question_s)
        try:
            with engines.writer.connect() as conn:
                dialect.check(conn, engines.name)
            with engines.writer.begin() as conn:
                dialect.lock_tables(conn)
                migrate.upgrade(conn, engines.name)
            return cls(engines, gather_s, patience_s, question_s)
        except DBAPIError as error:
            engines.writer.dispose()
            told = dialect.translate(error, engines.name)
            if told is None:
                raise
            raise told from error
        except BaseException:
            engines.writer.dispose()
            raise

    @property
    def shared(self) -> bool:
        """Whether other collectors may use it too: an embedded one is locked by the first."""
        return dialect.on_a_server(self._engines.writer.dialect.name)

    async def write(
        self,
        fn: Callable[[Connection, *Ts], T],
        *args: *Ts,
        instead: Callable[[Connection, Exception, *Ts], T] | None = None,
        together: Callable[[Connection, Sequence[tuple[*Ts]]], Sequence[T | None]] | None = None,
        rows: int = 1,
        haste: Haste = Haste.SOME,
        host_id: int | None = None,
    ) -> T:
        """Run fn(conn, *args) in the writer thread; returns after the COMMIT that stores what it did.

        Calls run in the order they were made (the order of the calls, not of their awaits' ends), but for what has most
        haste: that goes first, with what the same host has on its way. What fn raises is
        raised here and its writes are undone; its neighbours in the same commit are kept. With `instead`, that is run
        in its place, with what fn raised, and decides. Raises StorageUnavailable (nothing was stored, trying later may
        help) or StorageDamaged besides, for which nothing is run instead. `together` may do several at one stroke,
        `rows` bounds how much shares a commit: see Writer.submit.
        """
        loop = asyncio.get_running_loop()
        if self._answers is None or self._answers.loop is not loop:
            self._answers = Answers(loop)
            self._watch = loop.create_task(self._keep_watch())
        before = self._on_their_way[host_id] if host_id is not None else []
        work = self._writer.submit(fn, args, instead, together, rows, haste, before)
        before.append(work)
        done: Future[T] = work.done
        try:
            return await self._answers.of(done)
        finally:
            before.remove(work)
            if host_id is not None and not before:
                self._on_their_way.pop(host_id, None)

    async def read(self, fn: Callable[[Connection, *Ts], T], *args: *Ts) -> T:
        """Run fn(conn, *args), which the collector needs itself, in a reader thread, in one read-only snapshot. Waits
        for no question. Raises what fn raises; StorageError."""

        def only_page(conn: Connection, *args: *Ts) -> Generator[tuple[T], None, tuple[T]]:
            yield from ()
            return (fn(conn, *args),)

        async with contextlib.aclosing(self._read(self._own, only_page, args, math.inf)) as pages:
            return (await anext(pages))[0]

    def stream(self, fn: Callable[[Connection, *Ts], Iterator[T]], *args: *Ts) -> AsyncGenerator[T]:
        """The pages of the generator fn(conn, *args), which runs in reader threads, in one read-only snapshot; what it
        returns is the last.

        A page is made when it is asked for and none in advance. Leave the loop early only through
        contextlib.aclosing. What is cancelled, or takes more than `question_s` of the database, is interrupted there.
        Raises what fn raises, StorageError, and AnswerGivenUp after that time, or if the caller took longer than
        STALLED_S over a page, or LONGEST_S over all.
        """
        return self._read(self._asked, fn, args, self._question_s)

    async def _read(
        self, places: "_Places", fn: Callable[[Connection, *Ts], Iterator[T]], args: tuple[*Ts], limit_s: float
    ) -> AsyncGenerator[T]:
        loop = asyncio.get_running_loop()
        reading = Reading(self._engines.readers, lambda conn: fn(conn, *args))
        async with places.connections:
            bound = loop.create_task(_bound(reading, limit_s))
            try:
                while not reading.ended and (page := await self._step(places, reading)) is not None:
                    alarm = loop.call_later(STALLED_S, places.threads.submit, reading.give_up, _STALLED)
                    try:
                        yield page[0]
                    finally:
                        alarm.cancel()
            finally:
                bound.cancel()
                # Even if this is cancelled too, it is carried out, after the step that may be running.
                await asyncio.shield(_end(places, reading))

    async def _step(self, places: "_Places", reading: Reading[T]) -> tuple[T] | None:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(places.threads, reading.step)
        except asyncio.CancelledError:
            reading.interrupt(_LEFT)
            raise
        except DBAPIError as error:
            told = dialect.translate(error, self._engines.name)
            if told is None:
                raise
            raise told from error

    def waited_s(self) -> float:
        """For how long the database has been at one commit; 0 while at none."""
        return self._writer.line.waited_s()

    async def _keep_watch(self) -> NoReturn:
        """Until cancelled: have the writer go to a server that answers, where one has stopped to."""
        while True:
            await asyncio.sleep(_WATCH_S)
            self._writer.line.hang_up_if_overdue()

    async def close(self) -> None:
        """Finish what is queued, close the readers, then the writer. Streams still open are cut off."""
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self._writer.close()
        self._asked.threads.shutdown()
        self._own.threads.shutdown()
        self._engines.dispose()


class _Places:
    """Threads that read, and how many readings may be under way."""

    def __init__(self, threads: ThreadPoolExecutor, connections: int) -> None:
        self.threads = threads
        # So that no thread ever waits for a connection, which a stream gives back only through a thread.
        self.connections = asyncio.Semaphore(connections)


async def _end(places: _Places, reading: Reading[T]) -> None:
    if reading.ended:
        return
    if reading.given_up:
        await _interrupt(reading, reading.given_up)
    await asyncio.get_running_loop().run_in_executor(places.threads, reading.close)


async def _bound(reading: Reading[T], limit_s: float) -> None:
    """End it when it has taken so long."""
    loop = asyncio.get_running_loop()
    at_most_s = loop.time() + LONGEST_S
    while (left_s := min(limit_s - reading.used_s(), at_most_s - loop.time())) > 0:  # noqa: ASYNC110 - it is time that is waited for
        await asyncio.sleep(max(left_s, _AGAIN_S))
    if reading.used_s() >= limit_s:
        why = (
            f"the question took more than {limit_s:g} s of the database and was ended; ask for less (one host, one "
            "port, a shorter time), or give questions longer with the collector's --question-timeout"
        )
    else:
        why = f"the answer was not read to its end within {LONGEST_S / 60:g} minutes and was given up; ask for less"
    await _interrupt(reading, why)


async def _interrupt(reading: Reading[T], why: str) -> None:
    while not reading.interrupt(why):  # noqa: ASYNC110 - a thread ends a step, and sets no event
        await asyncio.sleep(_AGAIN_S)
