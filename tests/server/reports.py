"""What hosts report, made by hand, and a collector's storage to report it to."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fleetnet_server.network import Interface, InterfaceAddress, Namespace, NamespaceAnswer, NextHop, Route
from fleetnet_server.records import (
    Backlog,
    Batch,
    ClosedSocket,
    Coverage,
    Digest,
    End,
    Gap,
    Hello,
    Holder,
    Host,
    HostAnswer,
    HostFacts,
    NamespaceQuestion,
    PastSocket,
    Process,
    Selection,
    Session,
    SnapshotPart,
    Socket,
    SocketAnswer,
    SocketKey,
    SocketQuestion,
    SourceStatus,
)
from fleetnet_server.services.ingest import Ingest
from fleetnet_server.services.questions import Questions
from fleetnet_server.storage import counts, hosts, usual
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.schema import current, gaps, history, interfaces, namespaces, routes
from sqlalchemy import select, text

from server import databases

TCP, UDP = 6, 17
SCTP, UDPLITE, RAW, UNIX, PACKET = 132, 136, 255, 256, 257
ESTABLISHED, TIME_WAIT, CLOSE, CLOSE_WAIT, LISTEN = 1, 6, 7, 8, 10
EXACT, SEEN, BEFORE, GAP = 1, 2, 3, 3
S = 1_000_000
T0 = 1_700_000_000 * S
BOOT, NEXT_BOOT = b"\x01" * 16, b"\x02" * 16
ANY = b"\x00" * 4
NGINX = Process(812, T0 - 500 * S, "nginx", "/usr/sbin/nginx", "nginx")
WEB = Holder(0, "root", "nginx.service", "", 1, (NGINX,))
FACTS = HostFacts("Debian GNU/Linux 12 (bookworm)", "6.1.0-30-amd64", "x86_64", 2, 4 << 30, T0 - 1000 * S)


def key(cookie: int, protocol: int = TCP, netns: int = 0) -> SocketKey:
    return SocketKey(netns, protocol, cookie, 0, b"")


def sock(
    cookie: int,
    at_us: int,
    state: int = LISTEN,
    *,
    how: int = SEEN,
    protocol: int = TCP,
    netns: int = 0,
    local: bytes = ANY,
    port: int = 443,
    remote: bytes = b"",
    remote_port: int = 0,
    recv_queue: int = 0,
    holder: Holder = WEB,
    path: bytes = b"",
) -> Socket:
    return Socket(
        key=key(cookie, protocol, netns),
        family={0: 1 if protocol == UNIX else 17, 4: 4, 16: 6}[len(local)],
        state=state,
        local_address=local,
        local_port=port,
        remote_address=remote,
        remote_port=remote_port,
        interface="",
        v6only=None,
        recv_queue=recv_queue,
        send_queue=511 if state == LISTEN else 0,
        inode=cookie + 10_000,
        source=1,
        holder=holder,
        opened_at_us=at_us,
        opened_at_is=how,
        path=path,
    )


def gone(cookie: int, at_us: int, how: int = SEEN) -> ClosedSocket:
    return ClosedSocket(key(cookie), at_us, how)


def hello(at_us: int, *, boot_id: bytes = BOOT, epoch: int = 1, clock_offset_us: int = 0) -> Hello:
    return Hello("0.1.0", boot_id, epoch, b"", at_us + clock_offset_us, 5 * S, FACTS, 1.0, 4026531840)


def difference(
    sequence: int,
    look_at_us: int,
    *,
    previous_us: int = 0,
    opened: tuple[Socket, ...] = (),
    changed: tuple[Socket, ...] = (),
    closed: tuple[ClosedSocket, ...] = (),
    sources: tuple[SourceStatus, ...] = (),
    gaps: tuple[Gap, ...] = (),
    namespaces: tuple[Namespace, ...] = (),
    namespaces_gone: tuple[int, ...] = (),
    boot_id: bytes = BOOT,
    epoch: int = 1,
    digest: Digest | None = None,
    look_boottime_us: int = 0,
) -> Batch:
    return Batch(
        boot_id, epoch, sequence, look_at_us, previous_us, None, opened, changed, closed, sources, gaps, namespaces,
        namespaces_gone, None, digest, look_boottime_us,
    )  # fmt: skip


def kept(
    sequence: int,
    gap: Gap,
    *sockets: PastSocket,
    ended: tuple[ClosedSocket, ...] = (),
    last: bool = True,
    of_boot: bytes = BOOT,
    boot_id: bytes = BOOT,
    epoch: int = 1,
) -> Batch:
    """A part of the backlog of a gap; `of_boot` is that of the sockets."""
    told = Backlog(gap.from_us, gap.to_us, of_boot, sockets, ended, last)
    return Batch(boot_id, epoch, sequence, gap.to_us + 7 * S, 0, None, (), (), (), (), (), backlog=told)


def past(socket: Socket, closed_at_us: int = 0, how: int = SEEN) -> PastSocket:
    """A socket's time in one state, till the end of the gap where no end is given."""
    return PastSocket(socket, closed_at_us, how if closed_at_us else 0)


def snapshot(
    sequence: int,
    look_at_us: int,
    *opened: Socket,
    part: int = 0,
    last: bool = True,
    previous_us: int = 0,
    sources: tuple[SourceStatus, ...] = (),
    gaps: tuple[Gap, ...] = (),
    namespaces: tuple[Namespace, ...] = (),
    boot_id: bytes = BOOT,
    epoch: int = 1,
    digest: Digest | None = None,
) -> Batch:
    return Batch(
        boot_id, epoch, sequence, look_at_us, previous_us, SnapshotPart(part, last), opened, (), (), sources, gaps,
        namespaces, digest=digest,
    )  # fmt: skip


def interface(index: int, mtu: int = 1500, *, name: str = "") -> Interface:
    """An Ethernet interface that is up, with an address of each family."""
    addresses = (
        InterfaceAddress(bytes([10, 0, 0, index]), 24, b"", 0),
        InterfaceAddress(bytes(15) + bytes([index]), 64, bytes(16), 253),
    )
    mac = bytes([2, 0, 0, 0, 0, index])
    return Interface(
        index, name or f"eth{index}", 1, mac, mtu, 0x1043, 6, "veth", 0, addresses, 1000, 2, True, "veth"
    )  # fmt: skip


def route(network: int, metric: int = 0, *, to: bytes = b"", interface: str = "eth1") -> Route:
    """A route to 10.N.0.0/16 by way of a gateway."""
    hop = NextHop(to or bytes([10, 0, 0, 1]), interface, 1, 0)
    return Route(4, bytes([10, network, 0, 0]), 16, 254, 1, 4, 0, metric, b"", (hop,))


def space(
    netns: int = 0, name: str = "", *, interfaces: tuple[Interface, ...] = (), routes: tuple[Route, ...] = ()
) -> Namespace:
    """A namespace, read whole."""
    return Namespace(netns, name, interfaces=interfaces, routes=routes)


@dataclass(frozen=True)
class Span:
    """What is told of a namespace, an interface or a route for as long as it stayed as it was."""

    what: tuple[object, ...]  # name and unread; index and MTU; destination and metric: each behind the namespace
    opened_at_us: int
    opened_at_is: int
    closed_at_us: int = 0
    closed_at_is: int = 0
    last_seen_us: int = 0


@dataclass(frozen=True)
class Interval:
    """What is told of a socket's time in one state."""

    cookie: int
    state: int
    opened_at_us: int
    opened_at_is: int
    closed_at_us: int = 0
    closed_at_is: int = 0
    last_seen_us: int = 0


@dataclass
class Answer:
    """An answer, gathered."""

    coverage: Coverage
    items: list[SocketAnswer]
    end: End


@dataclass
class NamespacesAnswer:
    """An answer about namespaces, gathered."""

    coverage: Coverage
    items: list[NamespaceAnswer]
    end: End


@dataclass
class HostsAnswer:
    """An answer about hosts, gathered."""

    coverage: Coverage
    items: list[HostAnswer]
    end: End


class Collector:
    """The collector without its doors: a database, and who writes and asks."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.db = Database.open(self.url)
        self.ingest = Ingest(self.db)
        self.questions = Questions(self.db)

    async def restart(self) -> None:
        """What it had in memory is lost, what it committed is not."""
        await self.db.close()
        self.db = Database.open(self.url)
        self.ingest = Ingest(self.db)
        self.questions = Questions(self.db)

    async def enroll(self, name: str = "web1", at_us: int = T0 - 3600 * S, serial: str = "0a") -> Host:
        return await self.db.write(hosts.enroll, name, serial, at_us)

    async def connect(self, host: Host, said: Hello, at_us: int = T0, serial: str = "0a") -> Session:
        return await self.ingest.open(host.name, said, at_us, serial)

    async def report(self, session: Session, *batches: Batch, delay_us: int = 0) -> list[str]:
        """Commit batches, each received at the time of its look; why snapshots are wanted after them."""
        stored = [await self.ingest.commit(session, batch, batch.look_at_us + delay_us) for batch in batches]
        assert [one.sequence for one in stored] == [batch.sequence for batch in batches]
        return [one.snapshot_wanted for one in stored if one.snapshot_wanted]

    async def ask(
        self, question: SocketQuestion | None = None, now_us: int = T0, **selection: int | str | tuple[object, ...]
    ) -> Answer:
        chosen = question or SocketQuestion(Selection(**selection))  # type: ignore[arg-type]  # the caller names fields
        async with aclosing(self.questions.sockets(chosen, now_us)) as parts:
            coverage = await anext(parts)
            rest = [part async for part in parts]
        assert isinstance(coverage, Coverage)
        end = rest.pop()
        assert isinstance(end, End)
        items: list[SocketAnswer] = []
        for page in rest:
            assert isinstance(page, tuple)
            items.extend(page)
        return Answer(coverage, items, end)

    async def ask_hosts(self, now_us: int = T0, **selection: int | str | tuple[object, ...]) -> HostsAnswer:
        async with aclosing(self.questions.hosts(Selection(**selection), now_us)) as parts:  # type: ignore[arg-type]  # the caller names fields
            coverage = await anext(parts)
            rest = [part async for part in parts]
        assert isinstance(coverage, Coverage)
        end = rest.pop()
        assert isinstance(end, End)
        items: list[HostAnswer] = []
        for page in rest:
            assert isinstance(page, tuple)
            items.extend(page)
        return HostsAnswer(coverage, items, end)

    async def ask_namespaces(
        self, question: NamespaceQuestion | None = None, now_us: int = T0, **selection: int | str
    ) -> NamespacesAnswer:
        chosen = question or NamespaceQuestion(Selection(**selection))  # type: ignore[arg-type]  # the caller names fields
        async with aclosing(self.questions.namespaces(chosen, now_us)) as parts:
            coverage = await anext(parts)
            rest = [part async for part in parts]
        assert isinstance(coverage, Coverage)
        end = rest.pop()
        assert isinstance(end, End)
        items: list[NamespaceAnswer] = []
        for page in rest:
            assert isinstance(page, tuple)
            items.extend(page)
        return NamespacesAnswer(coverage, items, end)

    async def spans(self) -> list[Span]:
        """All that is kept of namespaces, interfaces and routes, ended and open."""
        told = {
            namespaces: ("netns", "name", "unread"),
            interfaces: ("netns", "index", "mtu"),
            routes: ("netns", "destination", "metric"),
        }
        known = ("opened_at_us", "opened_at_is", "closed_at_us", "closed_at_is", "seen_at_us")
        queries = [select(*(table.c[name] for name in (*names, *known))) for table, names in told.items()]
        rows = await self.db.read(lambda conn: [tuple(row) for query in queries for row in conn.execute(query)])
        found = [Span(row[:3], row[3], row[4], row[5] or 0, row[6] or 0, row[7]) for row in rows]
        return sorted(found, key=lambda span: (repr(span.what), span.opened_at_us))

    async def intervals(self) -> list[Interval]:
        """All that is kept, closed and open, in the order of their beginnings."""
        told = ("cookie", "state", "opened_at_us", "opened_at_is", "closed_at_us", "closed_at_is")
        closed = select(*(history.c[name] for name in told), usual.last_seen())
        opened = select(*(current.c[name] for name in told[:4]))
        found = await self.db.read(
            lambda conn: [Interval(*tuple(row)) for query in (closed, opened) for row in conn.execute(query)]
        )
        return sorted(found, key=lambda i: (i.cookie, i.opened_at_us, i.closed_at_us or 1 << 62))

    async def intervals_by_socket(self) -> dict[int, list[Interval]]:
        """All that is kept, by the id of the socket, in the order of their beginnings."""
        times = ("cookie", "state", "opened_at_us", "opened_at_is")
        ends = ("closed_at_us", "closed_at_is")
        closed = select(*(history.c[name] for name in ("socket_id", *times, *ends)), usual.last_seen())
        opened = select(*(current.c[name] for name in ("socket_id", *times)))
        rows = await self.db.read(
            lambda conn: [tuple(row) for query in (closed, opened) for row in conn.execute(query)]
        )
        found: dict[int, list[Interval]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(Interval(*row[1:]))
        for some in found.values():
            some.sort(key=lambda i: (i.opened_at_us, i.closed_at_us or 1 << 62))
        return found

    async def gaps(self) -> list[Gap]:
        query = select(gaps.c.from_us, gaps.c.to_us, gaps.c.reason).order_by(gaps.c.from_us, gaps.c.to_us)
        return await self.db.read(lambda conn: [Gap(*row) for row in conn.execute(query)])

    async def miscounted(self) -> list[int]:
        """Hosts whose counts are not what counting their rows would say: never any."""
        return await self.db.read(counts.differing)

    async def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """Every row of every table."""

        def read(conn: object) -> dict[str, list[tuple[object, ...]]]:
            from fleetnet_server.storage.schema import METADATA

            return {
                name: sorted((tuple(row) for row in conn.execute(text(f"SELECT * FROM {name}"))), key=repr)  # type: ignore[attr-defined]  # a Connection
                for name in METADATA.tables
            }

        return await self.db.read(read)


@asynccontextmanager
async def collector(directory: Path) -> AsyncIterator[Collector]:
    running = Collector(databases.ready(directory))
    try:
        yield running
    finally:
        await running.db.close()
