"""Fleets and questions about their sockets that are drawn, and a plain account of what a question means: each row is
judged in Python, by the sentences in query.proto.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from ipaddress import IPv6Address, IPv6Network, ip_address

from fleetnet_server.records import Holder, Label, Net, Process, Selection, Socket, SocketAnswer, SocketQuestion
from fleetnet_server.services.scopes import LOOPBACK_INTERFACE, Exposure, Scope, exposure, listens, scope
from fleetnet_server.storage import counts, former_holders, holders, ids, labels, sockets
from fleetnet_server.storage.database import Connection
from fleetnet_server.storage.former_holders import Former
from fleetnet_server.storage.kept import Kind
from fleetnet_server.storage.sockets import Ending, OpenSocket
from server.reports import (
    BOOT,
    CLOSE,
    CLOSE_WAIT,
    ESTABLISHED,
    LISTEN,
    SEEN,
    T0,
    TCP,
    UDP,
    Collector,
    S,
    hello,
    snapshot,
    sock,
)

NOW = T0 + 1_000 * S
# In no order, of letters that languages sort otherwise than bytes, and each the beginning of another.
NAMES = (
    "web-1",
    "web",
    "web1",
    "Web1",
    "weB1",
    "a.b",
    "a-b",
    "ab",
    "a",
    "zz9",
    "z",
    "éa",
    "ea",
    "db-01.example",
    "db-01",
)
PORTS = (22, 443, 8080)
ADDRESSES = tuple(
    ip_address(text).packed
    for text in ("10.0.0.1", "10.0.0.2", "10.0.1.1", "127.0.0.1", "::ffff:10.0.0.1", "::ffff:10.0.1.9", "::1", "a00::1")
)
NETS = (
    Net(ip_address("10.0.0.1").packed, 32),
    Net(ip_address("10.0.0.0").packed, 24),
    Net(ip_address("10.9.9.9").packed, 8),
    Net(ip_address("::ffff:10.0.0.1").packed, 128),
    Net(ip_address("::ffff:10.0.0.0").packed, 120),
    Net(ip_address("::").packed, 0),
    Net(ip_address("0.0.0.0").packed, 0),
    Net(ip_address("a00::").packed, 16),
    Net(ip_address("192.0.2.1").packed, 32),
)
# The first two begin alike for eleven digits, and each is the whole of a name or the beginning of an id.
CONTAINERS = ("", "4f5e4f5e4f5e" + "0" * 52, "4f5e4f5e4f5f" + "0" * 52, "4f5e4f5e4f5", "mail%")
IDS_CUT = ("4f5e4f5e4f5e", "4f5e4f5e4f5f0000")
HOLDERS = tuple(
    Holder(uid, user, f"{name}.service", container, 1, (Process(uid + 9, T0, name, f"/usr/sbin/{name}", name),))
    for uid, user, name in ((0, "root", "nginx"), (70, "postgres", "postgres"))
    for container in CONTAINERS
)
# Of OwnerStatus: no helper, permission, unaccepted, raced; the agent could not see who holds these.
UNSEEN = (3, 4, 6, 8)
# And some of which all is known that there is to know: the kernel holds them, or who did is gone.
WITHOUT_OWNERS = tuple(
    Holder(uid, user, unit, container, status, ())
    for uid, user in ((0, "root"), (70, "postgres"), (None, ""))
    for unit, container in (("", ""), ("nginx.service", ""), ("", CONTAINERS[1]))
    for status in (*UNSEEN, 5, 7)
)


@dataclass(frozen=True)
class Row:
    """An interval of a host, and by how much the host's clock is ahead."""

    host: str
    ahead_us: int
    socket: Socket
    closed_at_us: int  # 0 while it is open
    before: tuple[Holder, int] | None = None  # who held it first, and until when; by the host's clock

    def then(self, at_us: int) -> "Row":
        """As it was held at a time of the fleet's clock, 0 being now."""
        if self.before is None or not at_us or at_us + self.ahead_us >= self.before[1]:
            return self
        return self.at_first

    @property
    def at_first(self) -> "Row":
        """As it was held first."""
        return self if self.before is None else replace(self, socket=self.socket._replace(holder=self.before[0]))


def called(host: str) -> tuple[Label, ...]:
    """The labels of a host, by which some are alike."""
    return (*[Label("long", "yes")] * (len(host) > 2), Label("role", host[0]))


LABELS = (
    (Label("role", "w"),),
    (Label("long", ""),),
    (Label("role", "w"), Label("long", "yes")),
    (Label("role", "z"), Label("long", "")),
    (Label("role", "W"), Label("role", "w")),
    (Label("long", "no"),),
)


def drawn(draw: random.Random, most: int) -> list[Row]:
    """What hosts hold and held."""
    rows = []
    for name in draw.sample(NAMES, draw.randint(1, len(NAMES))):
        ahead_us = draw.choice((0, 0, 0, 100 * S, -100 * S))
        for cookie in range(1, draw.randint(1, most)):
            opened_us = T0 + draw.randint(-500, 990) * S + ahead_us
            closed_us = draw.choice((0, 0, opened_us, opened_us + draw.randint(1, 400) * S))
            lasts_us = (closed_us or NOW + ahead_us) - opened_us
            before = (
                (_holder(draw), opened_us + draw.randint(1, lasts_us)) if lasts_us and draw.random() < 0.4 else None
            )
            rows.append(Row(name, ahead_us, _socket(draw, cookie, opened_us), closed_us, before))
    return rows


def _holder(draw: random.Random) -> Holder:
    return draw.choice(draw.choice((HOLDERS, HOLDERS, WITHOUT_OWNERS)))


def _socket(draw: random.Random, cookie: int, opened_us: int) -> Socket:
    what = draw.choice(("listener", "listener", "connection", "connection", "udp"))
    remote = draw.choice(ADDRESSES)
    local = draw.choice((bytes(len(remote)), remote)) if what != "connection" else bytes([10, 0, 0, 7])[: len(remote)]
    if what == "connection" and len(remote) == 16:
        local = bytes(15) + b"\x07"
    state = {"listener": LISTEN, "connection": draw.choice((ESTABLISHED, CLOSE_WAIT)), "udp": CLOSE}[what]
    connected = what == "connection"
    one = sock(
        cookie, opened_us, state, port=draw.choice(PORTS), protocol=UDP if what == "udp" else TCP, local=local,
        remote=remote if connected else b"", remote_port=draw.choice((80, 5432)) if connected else 0,
        netns=draw.choice((0, 0, 0, 5)), holder=_holder(draw), how=SEEN,
    )  # fmt: skip
    one = one._replace(interface=draw.choice(("", "", "", "eth0", LOOPBACK_INTERFACE)))
    return one._replace(v6only=draw.choice((None, True, False)) if len(remote) == 16 else None)


def asked(draw: random.Random) -> SocketQuestion:
    """A question."""

    at_us = T0 + draw.randint(-100, 900) * S if draw.random() < 0.4 else 0
    listeners = draw.random() < 0.4
    question = SocketQuestion(
        Selection(
            host_globs=draw.choice(((), (), (), ("*b*",), ("web*",), ("z*", "*b*", "web"))),
            at_us=at_us,
            limit=draw.choice((0, 0, 1, 3, 7, 1_000)),
            labels=draw.choice(((), (), (), draw.choice(LABELS))),
        ),
        states=draw.choice(((), (), (), (LISTEN,), (CLOSE_WAIT,))),
        local_ports=draw.choice(((), (), ((443, 443),), ((20, 500),), ((22, 22), (8080, 8080)))),
        listeners_only=listeners,
        exposed_only=listeners and draw.random() < 0.3,
        unit=draw.choice(("", "", "", "nginx.service")),
        process=draw.choice(("", "", "", "postgres")),
        user=draw.choice(("", "", "", "", "root")),
        container=draw.choice(("",) * 12 + (*CONTAINERS, *IDS_CUT, "nobody")),
        local=draw.choice((None, None, None, draw.choice(NETS))),
    )
    if not listeners and draw.random() < 0.6:
        nets = tuple(draw.choices(NETS, k=draw.choice((0, 1, 1, 1, 2, 4))))
        question = replace(
            question, remotes=nets, remote_ports=draw.choice(((), (), ((80, 80),), ((1, 99), (5000, 6000))))
        )
    if draw.random() < 0.4:
        question = replace(question, opened_since_us=T0 + draw.randint(-300, 800) * S)
    return question


def in_time(row: Row, at_us: int, since_us: int) -> bool:
    """Whether it is asked for as to time: open then, or begun since."""
    opened_us, closed_us = row.socket.opened_at_us - row.ahead_us, row.closed_at_us and row.closed_at_us - row.ahead_us
    if since_us:
        return since_us <= opened_us and (not at_us or opened_us <= at_us)
    if not at_us:
        return not closed_us
    return opened_us <= at_us and (not closed_us or closed_us > at_us)


def has(host: str, asked: Iterable[Label]) -> bool:
    """Whether a host has all labels that are asked for."""
    mine = dict(called(host))
    return all(label.key in mine and label.value in ("", mine[label.key]) for label in asked)


def meant(row: Row, question: SocketQuestion) -> bool:
    one = row.socket
    reach = _reach(one)
    listeners = question.listeners_only or question.exposed_only
    return (
        (
            not question.selection.host_globs
            or any(fnmatchcase(row.host, glob) for glob in question.selection.host_globs)
        )
        and has(row.host, question.selection.labels)
        and (not question.states or one.state in question.states)
        and (not question.local_ports or any(a <= one.local_port <= b for a, b in question.local_ports))
        and (not listeners or reach != Scope.NOT_A_LISTENER)
        and (not question.exposed_only or exposure(one.key.netns, reach, one.interface) is not Exposure.NO)
        and (not question.unit or one.holder.unit == question.unit)
        and (not question.user or one.holder.user == question.user)
        and (not question.process or any(owner.name == question.process for owner in one.holder.owners))
        and (not question.remotes or any(_within(one.remote_address, net) for net in question.remotes))
        and (not question.remote_ports or any(a <= one.remote_port <= b for a, b in question.remote_ports))
        and (question.local is None or _within(one.local_address, question.local) or _everywhere(one, question.local))
        and (not question.container or _contained(one.holder.container, question.container))
    )


def may_be_meant(row: Row, question: SocketQuestion) -> bool:
    """Whether it is no answer only because nobody saw who holds it."""
    holder = row.socket.holder
    nowhere = not holder.unit and not holder.container
    return (
        holder.owner_status in UNSEEN
        and bool(question.process or question.unit or question.user or question.container)
        and meant(row, replace(question, process="", unit="", user="", container=""))
        and not meant(row, question)
        and (not question.unit or holder.unit == question.unit or nowhere)
        and (not question.user or holder.user == question.user or holder.uid is None)
        and (not question.container or _contained(holder.container, question.container) or nowhere)
    )


def _reach(one: Socket) -> Scope:
    return (
        scope(one.local_address) if listens(one.key.protocol, one.state, one.remote_address) else Scope.NOT_A_LISTENER
    )


def _everywhere(one: Socket, net: Net) -> bool:
    """Whether it listens on every address of a family that the net has addresses of."""
    if _reach(one) != Scope.ANY:
        return False
    ipv4 = Net(bytes(4), 0)
    in_ipv4 = _overlap(net, ipv4)
    in_ipv6 = not _lies_in(net, ipv4)
    if one.local_address == bytes(16):
        return in_ipv6 or (in_ipv4 and not one.v6only)
    return in_ipv4


def _overlap(a: Net, b: Net) -> bool:
    return _network(a).overlaps(_network(b))


def _lies_in(net: Net, other: Net) -> bool:
    return _network(net).subnet_of(_network(other))


def _network(net: Net) -> IPv6Network:
    bits = net.prefix_bits + (96 if len(net.address) == 4 else 0)
    return IPv6Network((_long(net.address), bits), strict=False)


def _contained(container: str, asked: str) -> bool:
    return container.startswith(asked) if asked in IDS_CUT else container == asked


def _within(address: bytes, net: Net) -> bool:
    return bool(address) and IPv6Address(_long(address)) in _network(net)


def _long(address: bytes) -> bytes:
    return address if len(address) == 16 else bytes(10) + b"\xff\xff" + address


def told(host: str, one: Socket | SocketAnswer, closed_at_us: int) -> tuple[object, ...]:
    netns, protocol, cookie = (one.key.netns, one.key.protocol, one.key.cookie) if isinstance(one, Socket) else (
        one.netns, one.protocol, one.cookie
    )  # fmt: skip
    return (
        host.encode(), netns, protocol, one.local_port, one.local_address, one.remote_address, one.remote_port,
        one.path, one.state, cookie, one.inode, one.opened_at_us, closed_at_us, one.holder,
    )  # fmt: skip


def _store(conn: Connection, rows: Sequence[Row], of_host: dict[str, int]) -> None:
    for row in rows:
        host_id, one = of_host[row.host], row.socket
        named = holders.record(conn, host_id, BOOT, [one.holder])
        socket_id = ids.socket_id(BOOT, one.key)
        opened = OpenSocket(host_id, socket_id, one, named[id(one.holder)], int(_reach(one)), one.opened_at_us, NOW)
        ending = Ending(host_id, socket_id, row.closed_at_us, SEEN, row.closed_at_us)
        if row.closed_at_us and row.before is None:
            sockets.pass_through(conn, [(opened, ending)])
            continue
        with counts.kept(conn) as tally:
            sockets.open_new(conn, [opened], tally)
            if row.before is not None:
                before, until_us = row.before
                holder_id = holders.record(conn, host_id, BOOT, [before])[id(before)]
                first = Former(host_id, socket_id, until_us, one.opened_at_us, None, holder_id, Kind.SOCKETS)
                former_holders.keep(conn, [first])
            if row.closed_at_us:
                sockets.end(conn, [ending], tally)


async def enroll_all(c: Collector, rows: Sequence[Row]) -> None:
    of_host = {}
    for name, ahead_us in {row.host: row.ahead_us for row in rows}.items():
        host = await c.enroll(name, at_us=T0 - 3_600 * S)
        of_host[name] = host.host_id
        session = await c.connect(host, hello(T0 - 600 * S, clock_offset_us=ahead_us), T0 - 600 * S)
        await c.report(session, snapshot(1, T0 - 599 * S + ahead_us), delay_us=-ahead_us)
    await c.db.write(_store, rows, of_host)
    await c.db.write(labels.put, {host_id: called(name) for name, host_id in of_host.items()})
