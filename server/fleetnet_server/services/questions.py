"""Answers what people ask: coverage first, then items a page at a time, then the end.

What must stay true: an answer is one snapshot from beginning to end; it is never silently partial, for it says what
it covers before its first item and whether it was cut after its last; its order is documented and stable.
"""

from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import replace
from itertools import islice

from fleetnet_server.counted import Counts, HostCount, Trend, TrendQuestion
from fleetnet_server.lives import Life, LivesQuestion
from fleetnet_server.network import NamespaceAnswer
from fleetnet_server.records import (
    KEY_DIGITS,
    PENDING_RENEWAL,
    Coverage,
    End,
    HostAnswer,
    HostFacts,
    Label,
    NamespaceQuestion,
    Readmission,
    Selection,
    SocketAnswer,
    SocketQuestion,
)
from fleetnet_server.services import lives, machines, trend_answers
from fleetnet_server.services.coverage import Asked, Scene, kinds_of, outline, survey
from fleetnet_server.services.cutting import cut
from fleetnet_server.storage import counts, labels, network_search, readmissions, search, sources
from fleetnet_server.storage import machines as stored_machines
from fleetnet_server.storage.database import Connection, Database
from fleetnet_server.storage.kept import SOCKETS, Kind

_NO_FACTS = HostFacts(os="", kernel="", architecture="", cpu_count=0, memory_bytes=0, booted_at_us=0)


class Questions:
    """Answers what people ask.

    Leave an answer before its end only through contextlib.aclosing, so that its snapshot is given back at once.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def sockets(
        self, question: SocketQuestion, now_us: int
    ) -> AsyncGenerator[Coverage | tuple[SocketAnswer, ...] | End]:
        """Sockets, ordered by host, netns, protocol, local port, the rest of the addresses, path, state, cookie.

        Coverage, pages of at most search.PAGE, End. Raises HostUnknown at the first step, StorageError at any.
        """
        return self._db.stream(_sockets, question, now_us)

    def namespaces(
        self, question: NamespaceQuestion, now_us: int
    ) -> AsyncGenerator[Coverage | tuple[NamespaceAnswer, ...] | End]:
        """Namespaces, ordered by host, the host's own first, name, inode. Steps and errors as for sockets."""
        return self._db.stream(_namespaces, question, now_us)

    def lives(self, question: LivesQuestion, now_us: int) -> AsyncGenerator[Coverage | tuple[Life, ...] | End]:
        """What happened on a host, the latest first (services/lives.py). Steps and errors as for sockets."""
        return self._db.stream(lives.answer, question, now_us)

    async def counts(self, selection: Selection, now_us: int) -> Counts:
        """How many sockets these hosts hold open together, by protocol and state. Raises HostUnknown, StorageError."""
        return await self._db.read(_counts, selection, now_us)

    def counts_by_host(
        self, selection: Selection, states: tuple[int, ...], protocols: tuple[int, ...], now_us: int
    ) -> AsyncGenerator[Coverage | tuple[HostCount, ...] | End]:
        """How many sockets each host holds open now in these states and of these protocols (none: any), ordered by
        host, protocol, state. Steps and errors as for sockets."""
        return self._db.stream(_counts_by_host, selection, states, protocols, now_us)

    async def trend(self, question: TrendQuestion, now_us: int) -> Trend:
        """How counts went. Raises HostUnknown, StorageError."""
        return await self._db.read(trend_answers.trend, question, now_us)

    def hosts(self, selection: Selection, now_us: int) -> AsyncGenerator[Coverage | tuple[HostAnswer, ...] | End]:
        """Hosts, ordered by name. Steps and errors as for sockets."""
        return self._db.stream(_hosts, selection, now_us)


def _sockets(
    conn: Connection, question: SocketQuestion, now_us: int
) -> Generator[Coverage | tuple[SocketAnswer, ...] | End, None, End]:
    scene = outline(conn, question.selection, now_us, kinds_of(question), question.opened_since_us)
    times = search.Times(scene.moment, scene.since)
    yield replace(scene.coverage, unseen_holders=search.unseen_holders(conn, question, times, scene.only))
    found = search.pages(conn, question, times, scene.only)
    return (yield from cut(found, question.selection.limit))


def _namespaces(
    conn: Connection, question: NamespaceQuestion, now_us: int
) -> Generator[Coverage | tuple[NamespaceAnswer, ...] | End, None, End]:
    scene = outline(conn, question.selection, now_us, (Kind.NETWORK,))
    yield scene.coverage
    found = network_search.pages(conn, question, scene.moment, scene.only)
    return (yield from cut(found, question.selection.limit))


def _hosts(
    conn: Connection, selection: Selection, now_us: int
) -> Generator[Coverage | tuple[HostAnswer, ...] | End, None, End]:
    scene = survey(conn, selection, now_us, SOCKETS, and_waiting=True)
    yield scene.coverage
    only = _only(selection, scene)
    found = counts.of_each(conn, only) if scene.moment is None else search.counts(conn, scene.moment, only)
    # How sources fared is not kept for the past.
    asking = readmissions.waiting(conn, only)
    degraded = _degraded(conn, now_us, asking) if scene.moment is None else {}
    # Somebody is to see those that wait.
    shown = sorted((*scene.asked, *scene.waiting), key=lambda host: host.name)
    labelled = labels.of_each(conn, [host.host_id for host in shown] if selection.of_some else None)
    answers = [
        _host(
            host if host.host_id not in asking else replace(host, status=PENDING_RENEWAL),
            found.get(host.host_id, (0, 0)),
            degraded.get(host.host_id, ()),
            labelled.get(host.host_id, ()),
        )
        for host in shown
    ]
    pages = (tuple(answers[at : at + search.PAGE]) for at in range(0, len(answers), search.PAGE))
    return (yield from cut(pages, selection.limit))


def _counts(conn: Connection, selection: Selection, now_us: int) -> Counts:
    scene = outline(conn, selection, now_us, SOCKETS)
    if scene.moment is None:
        return Counts(scene.coverage, counts.by_state(conn, scene.only))
    return Counts(scene.coverage, search.counts_by_state(conn, scene.moment, scene.only))


def _counts_by_host(
    conn: Connection, selection: Selection, states: tuple[int, ...], protocols: tuple[int, ...], now_us: int
) -> Generator[Coverage | tuple[HostCount, ...] | End, None, End]:
    scene = outline(conn, replace(selection, at_us=0), now_us)
    yield scene.coverage
    found = counts.by_host(conn, states, protocols, scene.only)
    return (yield from cut(iter(lambda: tuple(islice(found, search.PAGE)), ()), selection.limit))


def _degraded(conn: Connection, now_us: int, asking: Mapping[int, Readmission]) -> dict[int, tuple[str, ...]]:
    """What is not as it should be about each host now, of whom these ask to be let in again."""
    degraded = sources.degraded(conn)
    for clone in stored_machines.clones(conn, now_us - machines.TOLD_US):
        told = f"identity: {machines.SENTENCE}"
        degraded[clone.host_id] = (told, *degraded.get(clone.host_id, ()))
    for host_id, asked in asking.items():
        degraded[host_id] = (_asks(asked), *degraded.get(host_id, ()))
    return degraded


def _asks(asked: Readmission) -> str:
    """What somebody has to know before he approves it."""
    if asked.rival_at_us:
        return "certificate: it has ended, and two machines ask for another with its key: only a new token lets one in"
    key = asked.wanted_key[:KEY_DIGITS]
    return f"certificate: it has ended; {asked.peer} asks for another, for the key {key}, and waits to be approved"


def _only(selection: Selection, scene: Scene) -> list[int] | None:
    return [host.host_id for host in scene.asked] if selection.of_some else None


def _host(host: Asked, counts: tuple[int, int], degraded: tuple[str, ...], labels: tuple[Label, ...]) -> HostAnswer:
    stream = host.session
    return HostAnswer(
        host=host.name,
        fresh=host.fresh,
        last_seen_us=host.last_seen_us,
        enrolled_at_us=host.enrolled_at_us,
        sockets=counts[0],
        listeners=counts[1],
        agent_version=stream.agent_version if stream else "",
        facts=stream.facts if stream else _NO_FACTS,
        clock_offset_us=stream.clock_offset_us if stream else 0,
        degraded=degraded,
        gaps=host.gaps,
        labels=labels,
        status=host.status,
    )
