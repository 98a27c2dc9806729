"""Questions that stay open: what is there, and then what comes and goes, as hosts report it.

A question that several people watch is kept up once. Hosts whose reports may have changed its answer are asked again,
and what they answer is held against what they had answered before: so what is told is always what a question would
have been told, and nothing that was not stored. Of what other collectors of the same database store it is known which
hosts told it, not what (elsewhere.py). Once a minute all hosts are asked again, whatever is known of them.

What must stay true: no question is asked again and again while nothing is reported; no more than MOST_SOCKETS
are kept for one question and MOST_SOCKETS_OF_ALL for all, and MOST_QUESTIONS are kept up.
"""

import asyncio
import contextlib
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final, TypeAlias

import structlog

from fleetnet_server import microseconds
from fleetnet_server.errors import RequestRefused, ServerError
from fleetnet_server.logs import failure
from fleetnet_server.records import Batch, Coverage, Session, Socket, SocketAnswer, SocketKey, SocketQuestion
from fleetnet_server.services.coverage import outline
from fleetnet_server.services.elsewhere import Elsewhere
from fleetnet_server.services.news import MARK_S, MOST_SOCKETS, Came, Mark, News, There, Watcher, Went, pages
from fleetnet_server.services.scopes import listens
from fleetnet_server.storage import hosts, search
from fleetnet_server.storage.database import Connection, Database

MOST_QUESTIONS: Final = 32
MOST_SOCKETS_OF_ALL: Final = 200_000  # some 260 MB, and as much again while questions are asked anew
# Reports that come within so long are answered together: a busy host reports once a second.
GATHER_S: Final = 0.25
# After hosts were asked, so many times as long as that took, nobody is: large ones are not asked as fast as it goes.
REST: Final = 4
MOST_REST_S: Final = 30.0
COVERAGE_S: Final = 10.0
SWEEP_S: Final = 60.0

_Key: TypeAlias = tuple[object, ...]
_Answers: TypeAlias = dict[_Key, SocketAnswer]
_Name: TypeAlias = tuple[int, int, int] | tuple[int]  # netns, protocol, cookie or inode; or a netns
_NO_NAMES: Final[frozenset[_Name]] = frozenset()


_log = structlog.get_logger()


class Watching:
    """All questions that are watched."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._kept: dict[SocketQuestion, _Kept] = {}
        self._boots: dict[int, bytes] = {}  # that each host reported of last
        self._elsewhere = Elsewhere(db, self._heard_elsewhere)

    def note(self, session: Session, batch: Batch) -> None:
        """What a host reported has been stored. Never waits."""
        host_id = session.host_id
        self._elsewhere.heard_here(host_id, session.generation)
        # What comes first of another boot ends all that was open in the one before, and need not say so.
        booted = self._boots.get(host_id) != batch.boot_id
        self._boots[host_id] = batch.boot_id
        for kept in self._kept.values():
            kept.note(host_id, batch, booted=booted)

    def note_labels(self, host_ids: Collection[int]) -> None:
        """These hosts have other labels from now on. Never waits."""
        for kept in self._kept.values():
            kept.note_labels(host_ids)

    def note_left(self, host_ids: Collection[int]) -> None:
        """These hosts have left the fleet. Never waits."""
        for kept in self._kept.values():
            kept.note_left(host_ids)

    async def watch(self, question: SocketQuestion) -> AsyncGenerator[News]:
        """Coverage, what is there, a mark; then for ever what comes and goes and what becomes of the coverage, and a
        mark where there is nothing to tell.

        Leave it through contextlib.aclosing. Raises RequestRefused where too much is asked for, HostUnknown,
        StorageError.
        """
        if question.selection.at_us or question.opened_since_us or question.selection.limit:
            raise RequestRefused("only what is there now can be watched, and all of it")
        async with self._elsewhere.noticed():
            kept = self._kept.get(question)
            if kept is None:
                if len(self._kept) >= MOST_QUESTIONS:
                    raise RequestRefused(
                        f"{len(self._kept)} questions are watched already; end one, or watch one of them"
                    )
                kept = self._kept[question] = _Kept(self._db, question, partial(self._forget, question), self._size)
            with kept.watched():
                await kept.begun()
                watcher = Watcher()
                for news in kept.beginning():
                    watcher.tell(news)
                with kept.told_to(watcher):
                    while True:
                        yield await watcher.next()

    def _heard_elsewhere(self, host_ids: Collection[int]) -> None:
        for kept in self._kept.values():
            kept.note_each(host_ids)

    def _size(self) -> int:
        return sum(kept.size for kept in self._kept.values())

    def _forget(self, question: SocketQuestion, kept: "_Kept") -> None:
        if self._kept.get(question) is kept:
            del self._kept[question]


class _Kept:
    """One question that is kept up, and what is known of its answer."""

    def __init__(
        self,
        db: Database,
        question: SocketQuestion,
        ended: "Callable[[_Kept], None]",
        size_of_all: Callable[[], int],
    ) -> None:
        self._db, self._question, self._ended, self._size_of_all = db, question, ended, size_of_all
        self.size = 0  # sockets that are known
        self._people = 0
        self._watchers: set[Watcher] = set()
        self._coverage: Coverage | None = None
        # What is known, as somebody is just being told it: those who come at one moment are told the same pages.
        self._there: list[weakref.ref[There]] = []
        self._known: dict[int, _Answers] = {}
        # Of what is known, so that a report of a large host costs what it tells and not what the host has.
        self._names: dict[int, frozenset[_Name]] = {}
        self._named: dict[int, str] = {}
        self._not_meant: set[int] = set()  # hosts that were asked, and that the question does not mean
        # What was told while hosts are asked: of sockets, maybe, that the answer has and that are not known yet.
        self._told_meanwhile: dict[int, set[_Name]] | None = None
        self._due: set[int] = set()
        self._woken = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks = (asyncio.create_task(self._keep_up()), asyncio.create_task(self._mark()))

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """While somebody is interested; it ends with the last."""
        self._people += 1
        try:
            yield
        finally:
            self._people -= 1
            if not self._people:
                self._ended(self)
                for task in self._tasks:
                    task.cancel()

    @contextlib.contextmanager
    def told_to(self, watcher: Watcher) -> Iterator[None]:
        """While he is told the news. To be entered without waiting after the beginning."""
        self._watchers.add(watcher)
        try:
            yield
        finally:
            self._watchers.discard(watcher)

    async def begun(self) -> None:
        """Once the beginning is known. Raises what that raised."""
        await asyncio.shield(self._ready)

    def beginning(self) -> Iterator[News]:
        """What is known now."""
        assert self._coverage is not None
        yield self._coverage
        there = [page for known in self._there if (page := known()) is not None]
        if not there or len(there) < len(self._there):
            hosts = self._in_order(self._known)
            there = list(map(There, pages(list(chain.from_iterable(self._known[host].values() for host in hosts)))))
            self._there = list(map(weakref.ref, there))
        yield from there
        yield Mark()

    def note(self, host_id: int, batch: Batch, *, booted: bool) -> None:
        """See Watching."""
        if host_id in self._due or host_id in self._not_meant:
            return
        if booted or self._may_concern(host_id, batch):
            self._due.add(host_id)
            self._woken.set()

    def note_each(self, host_ids: Collection[int]) -> None:
        """Some hosts told something, and it is not known what."""
        due = [host_id for host_id in host_ids if host_id not in self._not_meant]
        if due:
            self._due.update(due)
            self._woken.set()

    def note_labels(self, host_ids: Collection[int]) -> None:
        """See Watching."""
        if self._question.selection.labels:
            self._not_meant.difference_update(host_ids)
            self.note_left(host_ids)

    def note_left(self, host_ids: Collection[int]) -> None:
        """See Watching."""
        self._due.update(host_ids)
        self._woken.set()

    def _may_concern(self, host_id: int, batch: Batch) -> bool:
        if batch.snapshot is not None or batch.namespaces_gone:
            return True
        if any(self._may_match(socket) for some in (batch.opened, batch.changed) for socket in some):
            return True
        names = _told(batch)
        if names and self._told_meanwhile is not None:
            self._told_meanwhile.setdefault(host_id, set()).update(names)
        return not self._names.get(host_id, _NO_NAMES).isdisjoint(names)

    def _may_match(self, socket: Socket) -> bool:
        """Whether an answer may have it, as far as can be told without asking."""
        question, protocol = self._question, socket.key.protocol
        ports = question.local_ports
        return (
            (not question.states or socket.state in question.states)
            and (not question.protocols or protocol in question.protocols)
            and (not question.listeners_only or listens(protocol, socket.state, socket.remote_address))
            and (not ports or any(first <= socket.local_port <= last for first, last in ports))
        )

    async def _keep_up(self) -> None:
        try:
            await self._ask(None)
            self._ready.set_result(None)
            await self._follow()
        except ServerError as error:
            self._fail(error)
        except Exception as error:
            _log.error("what is watched could not be kept up", **failure(error))
            self._fail(ServerError("the collector failed inside; its log says where"))

    def _fail(self, error: ServerError) -> None:
        self._ended(self)
        if not self._ready.done():
            self._ready.set_exception(error)
            self._ready.exception()  # who waits for it is told, and nobody may be waiting any more
        for watcher in self._watchers:
            watcher.fail(error)

    async def _follow(self) -> None:
        swept_s = looked_s = rested_s = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, looked_s + COVERAGE_S - time.monotonic())):
                    await self._woken.wait()
            await asyncio.sleep(max(GATHER_S, rested_s - time.monotonic()))
            now_s = time.monotonic()
            self._woken.clear()
            due, self._due = self._due, set()
            if now_s >= swept_s + SWEEP_S:
                await self._ask(None)
                swept_s = looked_s = now_s
                continue
            if due:
                await self._ask(due)
                done_s = time.monotonic()
                rested_s = done_s + min(REST * (done_s - now_s), MOST_REST_S)
            if now_s >= looked_s + COVERAGE_S:
                await self._cover()
                looked_s = now_s

    async def _mark(self) -> None:
        """All at once, for of many small messages one costs a fraction of what it does alone."""
        while True:
            await asyncio.sleep(MARK_S)
            for watcher in self._watchers:
                watcher.mark()

    async def _cover(self) -> None:
        async with contextlib.aclosing(self._db.stream(_coverage, self._question, microseconds.now())) as answer:
            async for coverage in answer:
                self._covered(coverage)

    async def _ask(self, host_ids: Collection[int] | None) -> None:
        """Ask these hosts again, or all, and tell what is new. What ended meanwhile is due then."""
        self._told_meanwhile = {}
        await self._ask_and_tell(host_ids)
        told, self._told_meanwhile = self._told_meanwhile, None
        for host_id, names in told.items():
            if not self._names.get(host_id, _NO_NAMES).isdisjoint(names):
                self._due.add(host_id)
                self._woken.set()

    async def _ask_and_tell(self, host_ids: Collection[int] | None) -> None:
        asked: Collection[int] = host_ids if host_ids is not None else self._known.keys()
        others = sum(len(answers) for host_id, answers in self._known.items() if host_id not in asked)
        found: dict[int, _Answers] = {}
        now_us = microseconds.now()
        async with contextlib.aclosing(self._db.stream(_answers, self._question, host_ids, now_us)) as answer:
            async for part in answer:
                if isinstance(part, Coverage):
                    self._covered(part)
                elif isinstance(part, dict):
                    self._named.update(part)
                    self._not_meant.difference_update(part)  # one that was labelled since, maybe by another collector
                    self._not_meant.update(host_id for host_id in host_ids or () if host_id not in part)
                else:
                    host_id, page = part
                    found.setdefault(host_id, {}).update((_key(socket), socket) for socket in page)
                    others += len(page)
                    self._check_size(others)
        self._hold_against(found, {*asked, *found})

    def _check_size(self, sockets: int) -> None:
        """At once of what is read, so that questions that begin together count each other."""
        self.size = max(self.size, sockets)
        if sockets > MOST_SOCKETS:
            raise RequestRefused(
                f"more than {MOST_SOCKETS} sockets are asked for, and no more can be watched; ask for less"
            )
        if (of_all := self._size_of_all()) > MOST_SOCKETS_OF_ALL:
            raise RequestRefused(
                f"{of_all - self.size} sockets are watched already, and {MOST_SOCKETS_OF_ALL} can be; ask for less, or "
                "end another watch"
            )

    def _hold_against(self, found: dict[int, _Answers], host_ids: Collection[int]) -> None:
        went: list[SocketAnswer] = []
        came: list[SocketAnswer] = []
        for host_id in self._in_order(host_ids):
            before, after = self._known.pop(host_id, {}), found.get(host_id, {})
            went += (socket for key, socket in before.items() if key not in after)
            came += (socket for key, socket in after.items() if key not in before)
            self._names.pop(host_id, None)
            if after:
                self._known[host_id] = after
                self._names[host_id] = frozenset(_names(after.values()))
        self.size = sum(map(len, self._known.values()))
        self._there = []
        for page in pages(went):
            self._tell(Went(page))
        for page in pages(came):
            self._tell(Came(page))

    def _in_order(self, host_ids: Collection[int]) -> list[int]:
        return sorted(host_ids, key=lambda host_id: self._named.get(host_id, ""))

    def _covered(self, coverage: Coverage) -> None:
        before, self._coverage = self._coverage, coverage
        if before is None or replace(before, as_of_us=coverage.as_of_us) != coverage:
            self._tell(coverage)

    def _tell(self, news: News) -> None:
        for watcher in self._watchers:
            watcher.tell(news)


def _coverage(conn: Connection, question: SocketQuestion, now_us: int) -> Iterator[Coverage]:
    yield _reach(conn, question, now_us)


def _reach(conn: Connection, question: SocketQuestion, now_us: int) -> Coverage:
    found = outline(conn, question.selection, now_us)
    unseen = search.unseen_holders(conn, question, search.Times(), found.only)
    return replace(found.coverage, unseen_holders=unseen)


def _answers(
    conn: Connection, question: SocketQuestion, host_ids: Collection[int] | None, now_us: int
) -> Iterator[Coverage | dict[int, str] | tuple[int, tuple[SocketAnswer, ...]]]:
    """Coverage where all hosts are asked, the names of the hosts, then what each has, some at a time."""
    selection = question.selection
    if host_ids is None:
        yield _reach(conn, question, now_us)
        names = {host.host_id: host.name for host in hosts.heard(conn, selection)}
    else:
        names = hosts.names(conn, host_ids, selection)
    yield names
    numbers = {name: host_id for host_id, name in names.items()}
    for page in search.pages(conn, question, search.Times(), list(names)) if names else ():
        of_host: dict[int, list[SocketAnswer]] = {}
        for socket in page:
            of_host.setdefault(numbers[socket.host], []).append(socket)
        for host_id, sockets in of_host.items():
            yield host_id, tuple(sockets)


def _names(answers: Iterable[SocketAnswer]) -> Iterator[_Name]:
    """What a report calls these, and the namespaces other than the host's own that they are in."""
    for answer in answers:
        yield (answer.netns, answer.protocol, answer.cookie or answer.inode)
        if answer.netns:
            yield (answer.netns,)


def _told(batch: Batch) -> list[_Name]:
    """What may have ended, be another now, or be called otherwise: sockets, and namespaces that sockets are in."""
    sockets = [_name(socket.key) for some in (batch.changed, batch.closed) for socket in some]
    return [*sockets, *((namespace.netns,) for namespace in batch.namespaces)]


def _name(key: SocketKey) -> _Name:
    return (key.netns, key.protocol, key.cookie or key.inode)


def _key(socket: SocketAnswer) -> _Key:
    """What makes it another socket, or another state of it; the command line has the same. Not what it holds or who
    holds it, nor since when: that is told more exactly later. A socket has no inode before it is accepted."""
    return (
        socket.netns, socket.protocol, socket.state, socket.cookie or socket.inode, socket.local_address,
        socket.local_port, socket.remote_address, socket.remote_port, socket.interface, socket.path,
    )  # fmt: skip
