"""Questions that stay open: what is there, and then what comes and goes, as hosts report it.

A question that several people watch is kept up once. Hosts whose reports may have changed its answer are asked again,
and what they answer is held against what they had answered before: so what is told is always what a question would
have been told, and nothing that was not stored. What other collectors of the same database store is noticed by asking
all hosts again, once a minute.

What must stay true: nothing is watched by asking again and again while nothing is reported; no more than MOST_SOCKETS
are kept for one question and MOST_QUESTIONS are kept up; who does not read is left behind, and told so.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from fleetnet_server.errors import AnswerGivenUp, RequestRefused, ServerError
from fleetnet_server.records import Batch, ClosedSocket, Coverage, Socket, SocketAnswer, SocketQuestion
from fleetnet_server.services.coverage import outline
from fleetnet_server.services.scopes import listens
from fleetnet_server.storage import hosts, search
from fleetnet_server.storage.database import Connection, Database

MOST_SOCKETS: Final = 50_000
MOST_QUESTIONS: Final = 32
# Messages that wait for somebody; behind that he is left behind.
MOST_WAITING: Final = 256
# Reports that come within so long are answered together: a busy host reports once a second.
GATHER_S: Final = 0.25
COVERAGE_S: Final = 10.0
SWEEP_S: Final = 60.0

_Key: TypeAlias = tuple[object, ...]
_Answers: TypeAlias = dict[_Key, SocketAnswer]


@dataclass(frozen=True, slots=True)
class Came:
    """Sockets that an answer has from now on."""

    sockets: tuple[SocketAnswer, ...]


@dataclass(frozen=True, slots=True)
class Went:
    """Sockets that an answer has no longer; as they were last."""

    sockets: tuple[SocketAnswer, ...]


News: TypeAlias = Coverage | Came | Went


class Watching:
    """All questions that are watched."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._kept: dict[SocketQuestion, _Kept] = {}

    def note(self, host_id: int, batch: Batch) -> None:
        """What a host reported has been stored. Never waits."""
        for kept in self._kept.values():
            kept.note(host_id, batch)

    async def watch(self, question: SocketQuestion) -> AsyncGenerator[News]:
        """Coverage, then what is there, then what comes and goes and whatever else becomes of the coverage, for ever.

        Leave it through contextlib.aclosing. Raises RequestRefused where too much is asked for, HostUnknown,
        StorageError.
        """
        if question.selection.at_us or question.opened_since_us or question.selection.limit:
            raise RequestRefused("only what is there now can be watched, and all of it")
        kept = self._kept.get(question)
        if kept is None:
            if len(self._kept) >= MOST_QUESTIONS:
                raise RequestRefused(f"{len(self._kept)} questions are watched already; end one, or watch one of them")
            kept = self._kept[question] = _Kept(self._db, question)
        watcher = _Watcher()
        kept.watchers.add(watcher)
        try:
            await kept.begun()
            for news in kept.beginning():
                watcher.tell(news)
            while True:
                yield await watcher.next()
        finally:
            kept.watchers.discard(watcher)
            if not kept.watchers and self._kept.get(question) is kept:
                del self._kept[question]
                await kept.end()


class _Watcher:
    """What somebody has not been told yet."""

    def __init__(self) -> None:
        self._waiting: deque[News] = deque()
        self._error: ServerError | None = None
        self._woken = asyncio.Event()
        self._begun = False

    def tell(self, news: News) -> None:
        """Never waits."""
        if len(self._waiting) >= MOST_WAITING and self._begun:
            self.fail(AnswerGivenUp("what came was not read on for too long, and you were left behind; watch again"))
            return
        self._waiting.append(news)
        self._woken.set()

    def fail(self, error: ServerError) -> None:
        """There is no more; what waits is not told either."""
        self._error = self._error or error
        self._woken.set()

    async def next(self) -> News:
        """What comes next. Raises what it failed with."""
        self._begun = True
        while True:
            if self._error is not None:
                raise self._error
            if self._waiting:
                return self._waiting.popleft()
            self._woken.clear()
            await self._woken.wait()


class _Kept:
    """One question that is kept up, and what is known of its answer."""

    def __init__(self, db: Database, question: SocketQuestion) -> None:
        self._db, self._question = db, question
        self.watchers: set[_Watcher] = set()
        self._coverage: Coverage | None = None
        self._known: dict[int, _Answers] = {}  # by host, in the order of the names
        self._named: dict[int, str] = {}
        self._due: set[int] = set()
        self._woken = asyncio.Event()
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._keep_up())

    async def begun(self) -> None:
        """Once the beginning is known. Raises what that raised."""
        await asyncio.shield(self._ready)

    def beginning(self) -> Iterator[News]:
        """What is known now."""
        assert self._coverage is not None
        yield self._coverage
        for host_id in sorted(self._known, key=self._named.__getitem__):
            answers = tuple(self._known[host_id].values())
            for start in range(0, len(answers), search.PAGE):
                yield Came(answers[start : start + search.PAGE])

    async def end(self) -> None:
        """Nobody watches any more."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def note(self, host_id: int, batch: Batch) -> None:
        """See Watching."""
        if host_id not in self._due and self._may_concern(host_id, batch):
            self._due.add(host_id)
            self._woken.set()

    def _may_concern(self, host_id: int, batch: Batch) -> bool:
        if batch.snapshot is not None or batch.namespaces_gone:
            return True
        if any(self._may_match(socket) for some in (batch.opened, batch.changed) for socket in some):
            return True
        known = self._known.get(host_id)
        if not known:
            return False
        told: Iterator[Socket | ClosedSocket] = (*batch.changed, *batch.closed)  # type: ignore[assignment]
        keys = {(socket.key.netns, socket.key.protocol, socket.key.cookie, socket.key.inode) for socket in told}
        return any((a.netns, a.protocol, a.cookie, a.inode) in keys for a in known.values())

    def _may_match(self, socket: Socket) -> bool:
        """Whether an answer may have it, as far as can be told without asking."""
        question = self._question
        if question.states and socket.state not in question.states:
            return False
        if question.protocols and socket.key.protocol not in question.protocols:
            return False
        if question.listeners_only and not listens(socket.key.protocol, socket.state, socket.remote_address):
            return False
        ports = question.local_ports
        return not ports or any(first <= socket.local_port <= last for first, last in ports)

    async def _keep_up(self) -> None:
        try:
            await self._ask(None)
            self._ready.set_result(None)
            await self._follow()
        except ServerError as error:
            if not self._ready.done():
                self._ready.set_exception(error)
                self._ready.exception()  # who waits for it is told; nobody may
            for watcher in self.watchers:
                watcher.fail(error)

    async def _follow(self) -> None:
        swept_s = looked_s = time.monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, looked_s + COVERAGE_S - time.monotonic())):
                    await self._woken.wait()
            await asyncio.sleep(GATHER_S)
            now_s = time.monotonic()
            everything = now_s >= swept_s + SWEEP_S
            cover = everything or now_s >= looked_s + COVERAGE_S
            self._woken.clear()
            due, self._due = self._due, set()
            if everything or due:
                await self._ask(None if everything else due)
            elif cover:
                await self._cover()
            looked_s = now_s if cover else looked_s
            swept_s = now_s if everything else swept_s

    async def _cover(self) -> None:
        async with contextlib.aclosing(self._db.stream(_coverage, self._question, _now_us())) as answer:
            async for coverage in answer:
                self._covered(coverage)

    async def _ask(self, host_ids: set[int] | None) -> None:
        """Ask these hosts again, or all, and tell what is new."""
        found: dict[int, _Answers] = {}
        count = 0
        of: Sequence[int] = ()
        async with contextlib.aclosing(self._db.stream(_answers, self._question, host_ids, _now_us())) as answer:
            async for part in answer:
                if isinstance(part, Coverage):
                    self._covered(part)
                elif isinstance(part, dict):
                    self._named.update(part)
                    of = list(part)
                else:
                    host_id, page = part
                    found.setdefault(host_id, {}).update((_key(socket), socket) for socket in page)
                    count += len(page)
                    if count > MOST_SOCKETS:
                        break
        others = sum(len(answers) for host_id, answers in self._known.items() if host_ids and host_id not in found)
        if count + others > MOST_SOCKETS:
            raise RequestRefused(
                f"more than {MOST_SOCKETS} sockets are asked for, which is too much to watch; ask for less"
            )
        self._hold_against(found, self._known.keys() | found.keys() if host_ids is None else of)

    def _hold_against(self, found: dict[int, _Answers], host_ids: "Sequence[int] | set[int]") -> None:
        for host_id in sorted(host_ids, key=lambda one: self._named.get(one, "")):
            before, after = self._known.get(host_id, {}), found.get(host_id, {})
            went = tuple(socket for key, socket in before.items() if key not in after)
            came = tuple(socket for key, socket in after.items() if key not in before)
            if after:
                self._known[host_id] = after
            else:
                self._known.pop(host_id, None)
            self._tell(Went(went) if went else None)
            self._tell(Came(came) if came else None)

    def _covered(self, coverage: Coverage) -> None:
        before, self._coverage = self._coverage, coverage
        if before is None or replace(before, as_of_us=coverage.as_of_us) != coverage:
            self._tell(coverage)

    def _tell(self, news: News | None) -> None:
        if news is not None and self._ready.done():
            for watcher in self.watchers:
                watcher.tell(news)


def _coverage(conn: Connection, question: SocketQuestion, now_us: int) -> Iterator[Coverage]:
    yield outline(conn, question.selection, now_us).coverage


def _answers(
    conn: Connection, question: SocketQuestion, host_ids: set[int] | None, now_us: int
) -> Iterator[Coverage | dict[int, str] | tuple[int, tuple[SocketAnswer, ...]]]:
    """Coverage, the names of the hosts that are asked, then what each has, some at a time."""
    yield outline(conn, question.selection, now_us).coverage
    concerned = hosts.heard(conn, question.selection.host, question.selection.host_glob)
    names = {host.host_id: host.name for host in concerned if host_ids is None or host.host_id in host_ids}
    yield names
    numbers = {name: host_id for host_id, name in names.items()}
    if not names:
        return
    for page in search.pages(conn, question, search.Times(), list(names)):
        of_host: dict[int, list[SocketAnswer]] = {}
        for socket in page:
            of_host.setdefault(numbers[socket.host], []).append(socket)
        for host_id, sockets in of_host.items():
            yield host_id, tuple(sockets)


def _key(socket: SocketAnswer) -> _Key:
    """What makes it another socket, or another state of it. Not what it holds or who holds it."""
    return (
        socket.netns, socket.protocol, socket.state, socket.cookie, socket.inode, socket.local_address,
        socket.local_port, socket.remote_address, socket.remote_port, socket.interface, socket.path,
    )  # fmt: skip


def _now_us() -> int:
    return time.time_ns() // 1_000
