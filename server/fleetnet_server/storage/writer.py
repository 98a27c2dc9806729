"""The one thread that writes, and commits whatever has queued up as one group.

What must stay true: a caller hears of success only after the COMMIT that holds its work; work that fails is undone
by its savepoint and takes no neighbour along; what is to be done instead is done in its place, before what was
submitted after it; when the database itself fails, the whole group fails and the thread goes on with the next. Work
that another collector was in the way of is begun anew, in its place in the order: so it must ask for what it has to
lock (the row of its host) before it does anything that a savepoint does not undo.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from fleetnet_server import failpoints, metrics
from fleetnet_server.errors import StorageError, StorageUnavailable
from fleetnet_server.storage import dialect
from fleetnet_server.storage.line import Line

# Bound how long the first of a group waits for its last: pieces of work, and the rows that they say they have.
GROUP_LIMIT = 128
GROUP_ROWS = 10_000
# How many of a group may have gone before others, and of its rows, so that nobody who always hurries keeps others away.
HURRIED_LIMIT = 32
HURRIED_ROWS = 2_500
# One commit is waited for so long at the end.
CLOSE_S = 5.0
# What has more is not put beside small things that are there before it, and lets go first what hurries.
LARGE_ROWS = 250
# How much sooner than others what has most haste begins a group: a commit for each listener of many hosts is too many.
_HURRIED_GATHER = 0.1
# How often work is begun that another collector is in the way of.
_TRIES = 3


class Haste(Enum):
    """How long work may wait for its turn."""

    NONE = "none"  # a while, for some that has more
    SOME = "some"
    MOST = "most"  # before what was submitted earlier


class _ContendedError(Exception):
    """Another collector was in the way of a piece of work; it has been undone."""


@dataclass(slots=True, eq=False)
class Work:
    """What was submitted; `done` tells how it went."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    instead: Callable[..., Any] | None
    together: Callable[[Connection, Sequence[Any]], Sequence[Any]] | None
    rows: int
    haste: Haste
    done: Future[Any]
    taken: bool = False  # into a group; it is in two queues where it has most haste


# What came of a piece of work, and the error that it ended with.
_Outcome = tuple[Any, Exception | None]


class Writer:
    """Owns the one connection that writes."""

    def __init__(self, engine: Engine, name: str, gather_s: float = 0.0, patience_s: float = 0.0) -> None:
        """It begins a group at most once in `gather_s`, or in a tenth of that where something has most haste; what
        comes in between shares the next one. Work without haste waits up to `patience_s` for some that has it."""
        self._engine = engine
        self.line = Line(engine)
        self._name = name
        self._gather_s = gather_s
        self._patience_s = patience_s
        self._next_s = 0.0
        self._hurry = threading.Event()  # set while there may be work in the queue that has haste
        self._most = threading.Event()  # set while there may be such as has most
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._hurried: deque[Work] = deque()  # of what is in the queue, what has most haste
        self._kept: Work | None = None  # out of the queue, and waits for what hurries: once
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="fleetnet-writer", daemon=True)
        self._thread.start()

    def submit(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        instead: Callable[..., Any] | None = None,
        together: Callable[[Connection, Sequence[Any]], Sequence[Any]] | None = None,
        rows: int = 1,
        haste: Haste = Haste.SOME,
        after: Iterable["Work"] = (),
    ) -> "Work":
        """Queue fn(conn, *args), which writes so many rows. Calls run in the order of submission, but for what has most
        haste: that goes first, and takes along what it must come `after`, given in the order of submission; unless all
        of it has more rows than may go first, for then it is no small thing for those behind. If fn
        fails, and the database does not, what it did is undone and instead(conn, error, *args) takes its place.

        Some that come after one another and have the same `together` are first given to that, as the list of their
        args: it does what can be done at one stroke, and returns a result for each; None of those that are then done
        one by one, as all are if it raises anything but an error of the database.
        """
        if self._closed:
            raise StorageError(f"the database {self._name} has been closed")
        after = [one for one in after if not one.taken]
        if haste is Haste.MOST and rows + sum(one.rows for one in after) > HURRIED_ROWS:
            haste = Haste.SOME
        work = Work(fn, args, instead, together, rows, haste, Future())
        if haste is Haste.MOST:
            self._hurried.extend(after)
            self._hurried.append(work)
        self._queue.put(work)
        if haste is not Haste.NONE:
            self._hurry.set()
        if haste is Haste.MOST:
            self._most.set()
        return work

    def close(self) -> None:
        """Finish what is queued and end the thread. A server that does not answer is not waited for."""
        self._closed = True
        self._queue.put(None)
        self._hurry.set()
        while self._thread.is_alive():
            self._thread.join(CLOSE_S)
            if self.line.waited_s() > CLOSE_S:
                self.line.hang_up()

    def _run(self) -> None:
        going_on = True
        while going_on:
            taken, going_on = self._take()
            # A caller that no longer waits is spared the work; one whose work has begun cannot call it off any more.
            group = [work for work in taken if work.done.set_running_or_notify_cancel()]
            if group:
                metrics.QUEUED.set(self._queue.qsize())
                metrics.COMMIT_WORKS.observe(len(group))
                works = self._settle(group)
                for work in taken:
                    work.args = ()  # what hurried stays in the queue until its turn, and is not to keep its rows there
                if not works and going_on and self._closed:
                    # Each further group might wait as long for a database that does nothing; nobody waits for them.
                    self._refuse_rest()
                    return

    def _take(self) -> tuple[list[Work], bool]:
        """All that is queued, what has most haste before the rest; False with what comes before the end."""
        waited = self._kept is not None
        first, self._kept = self._kept or self._queue.get(), None
        if first is None:
            return [], False
        # Who has as much company as a group may have waits for no more.
        if first.haste is Haste.NONE and self._queue.qsize() < GROUP_LIMIT - 1:
            self._hurry.wait(self._patience_s)
        self._hurry.clear()
        # Who comes after a while of nothing does not wait.
        if not self._closed and (wait_s := self._next_s - time.monotonic()) > 0:
            self._gather(wait_s)
        self._most.clear()
        self._next_s = time.monotonic() + self._gather_s
        group: list[Work] = []
        if first.rows > LARGE_ROWS and not waited and self._add_hurried(group):
            # What takes long lets them go first. In the order it changes nothing: they take along what they come after.
            self._kept = first
            self._hurry.set()
            return group, True
        rows = self._add(group, first) + min(self._add_hurried(group), HURRIED_ROWS)
        try:
            while len(group) < GROUP_LIMIT and rows < GROUP_ROWS:
                work = self._queue.get_nowait()
                if work is None:
                    return group, False
                if work.rows > LARGE_ROWS >= first.rows and not work.taken:
                    self._kept = work
                    break
                rows += self._add(group, work)
            # What is left may have haste.
            self._hurry.set()
        except queue.Empty:
            pass
        return group, True

    def _gather(self, wait_s: float) -> None:
        hurried_s = wait_s - self._gather_s * (1 - _HURRIED_GATHER)
        if hurried_s > 0:
            time.sleep(hurried_s)
        self._most.wait(min(wait_s, wait_s - hurried_s))

    @staticmethod
    def _add(group: list[Work], work: Work) -> int:
        """Put it into the group, unless it is in one; how many rows that are more."""
        if work.taken:
            return 0
        work.taken = True
        group.append(work)
        return work.rows

    def _add_hurried(self, group: list[Work]) -> int:
        rows = 0
        while self._hurried and len(group) < HURRIED_LIMIT and rows < HURRIED_ROWS:
            rows += self._add(group, self._hurried.popleft())
        return rows

    def _refuse_rest(self) -> None:
        while (work := self._kept or self._queue.get()) is not None:
            self._kept = None
            if not work.taken and work.done.set_running_or_notify_cancel():
                work.done.set_exception(StorageUnavailable(f"the database {self._name} has been closed"))

    def _settle(self, group: list[Work]) -> bool:
        """Do a group; False if the database failed at the last of it."""
        tries, works = 1, True
        while group:
            left, works = self._settle_some(group, last_try=tries >= _TRIES)
            tries = 1 if len(left) < len(group) else tries + 1
            group = left
        return works

    def _settle_some(self, group: list[Work], last_try: bool) -> tuple[list[Work], bool]:
        """Commit and answer the group up to the first work that another collector was in the way of; what is left of
        it, and whether the database did it."""
        try:
            with metrics.COMMIT_SECONDS.time(), self.line.waiting():
                outcomes = self._commit(group, last_try)
            failpoints.reached("after-commit-before-ack", len(group))
        except Exception as error:  # whatever it is, nothing was stored, all callers hear of it, and the thread lives
            metrics.COMMITS_FAILED.inc()
            told = self._translated(error)
            for work in group:
                work.done.set_exception(told)
            return [], False
        for work, outcome in zip(group, outcomes, strict=True):
            if outcome is not None:
                result, failure = outcome
                if failure is None:
                    work.done.set_result(result)
                else:
                    work.done.set_exception(failure)
        return [work for work, outcome in zip(group, outcomes, strict=True) if outcome is None], True

    def _commit(self, group: list[Work], last_try: bool) -> list[_Outcome | None]:
        """What came of each; None of the first work that another collector was in the way of, and of what comes after
        it and was not done together with what came before."""
        outcomes: list[_Outcome | None] = [None] * len(group)
        with self._engine.begin() as conn:
            for first, run in _runs(group):
                done = self._together(conn, run)
                for place, result in done.items():
                    outcomes[first + place] = (result, None)
                if not self._one_by_one(conn, group, range(first, first + len(run)), outcomes, last_try):
                    break
            failpoints.reached("before-commit", len(group))
        return outcomes

    def _one_by_one(
        self, conn: Connection, group: list[Work], places: range, outcomes: list[_Outcome | None], last_try: bool
    ) -> bool:
        """Do those that have no outcome yet; False if another collector was in the way."""
        for place in places:
            if outcomes[place] is None:
                try:
                    # None but the first has been tried before, and is tried again after what came before is committed:
                    # that lets go of what the other collector may be waiting for.
                    outcomes[place] = self._attempt(conn, group[place], last_try and place == 0)
                except _ContendedError:
                    return False
        return True

    def _together(self, conn: Connection, run: Sequence[Work]) -> dict[int, Any]:
        """The results of those that could be done at one stroke, by their place."""
        together = run[0].together
        if together is None:
            return {}
        savepoint = conn.begin_nested()
        try:
            results = together(conn, [work.args for work in run])
        except Exception as error:
            if self._translated(error) is not error and not (
                isinstance(error, DBAPIError) and dialect.contended(error)
            ):
                raise  # as in _attempt
            savepoint.rollback()
            return {}
        savepoint.commit()
        failpoints.reached("mid-group")
        return {place: result for place, result in enumerate(results) if result is not None}

    def _attempt(self, conn: Connection, work: Work, last_try: bool) -> tuple[Any, Exception | None]:
        savepoint = conn.begin_nested()
        try:
            result = work.fn(conn, *work.args)
        except Exception as error:
            told = self._translated(error)
            if isinstance(error, DBAPIError) and dialect.contended(error):
                savepoint.rollback()
                if not last_try:
                    raise _ContendedError from error
                return None, told
            if told is not error:
                # The engine may have ended the whole transaction already; no savepoint can be trusted.
                raise
            savepoint.rollback()
            if work.instead is None:
                return None, error
            instead = replace(work, fn=work.instead, args=(error, *work.args), instead=None)
            return self._attempt(conn, instead, last_try)
        savepoint.commit()
        failpoints.reached("mid-group")
        return result, None

    def _translated(self, error: Exception) -> Exception:
        told = dialect.translate(error, self._name) if isinstance(error, DBAPIError) else None
        if told is None:
            return error
        told.__cause__ = error
        return told


def _runs(group: Sequence[Work]) -> Iterator[tuple[int, Sequence[Work]]]:
    """The works that come after one another and can be tried together, with the place of the first."""
    first = 0
    for place in range(1, len(group) + 1):
        if place == len(group) or group[place].together is None or group[place].together != group[first].together:
            yield first, group[first:place]
            first = place
