"""Questions about sockets without ports or addresses, and about namespaces other than the hosts' own."""

from pathlib import Path

import pytest
from fleetnet_server.records import Holder, NamespaceQuestion, Selection, Socket, SocketQuestion
from fleetnet_server.storage import network_search
from server.costs import asked_of, pieces, plan
from server.databases import spread
from server.reports import (
    CLOSE,
    ESTABLISHED,
    LISTEN,
    PACKET,
    RAW,
    SCTP,
    T0,
    UDP,
    UDPLITE,
    UNIX,
    Collector,
    S,
    difference,
    interface,
    route,
    snapshot,
    sock,
    space,
)
from server.stories import LO, PEER, ports, reporting, tell

BLUE, RED = 4026532009, 4026532001


def unix(cookie: int, path: bytes = b"", netns: int = 0, state: int = LISTEN) -> Socket:
    return sock(cookie, T0, state, protocol=UNIX, local=b"", port=0, path=path, netns=netns)


async def every_family(c: Collector) -> None:
    await reporting(
        c,
        "web1",
        sock(1, T0, LISTEN, port=443),
        sock(2, T0, LISTEN, port=3868, protocol=SCTP),
        sock(3, T0, ESTABLISHED, port=3869, protocol=SCTP, remote=PEER, remote_port=1),
        sock(4, T0, CLOSE, port=53, protocol=UDP, local=LO),
        sock(5, T0, CLOSE, port=54, protocol=UDPLITE),
        sock(6, T0, CLOSE, port=1, protocol=RAW),
        sock(7, T0, ESTABLISHED, port=2, protocol=RAW, remote=PEER),
        unix(8, b"/run/b"),
        unix(9, b"/run/a"),
        unix(10, state=ESTABLISHED),
        unix(11, state=ESTABLISHED),
        sock(12, T0, CLOSE, port=3, protocol=PACKET, local=b""),
    )


def test_a_question_for_ports_or_listeners_means_what_has_ports_unless_it_names_a_protocol(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await every_family(c)
        assert await ports(c, listeners_only=True) == [443, 53, 3868, 54]
        assert await ports(c, exposed_only=True) == [443, 3868, 54]
        assert await ports(c, local_ports=((0, 65_535),)) == [443, 53, 3868, 3869, 54]
        assert await ports(c, listeners_only=True, protocols=(RAW,)) == [1]
        assert await ports(c, local_ports=((1, 3),), protocols=(RAW, PACKET)) == [1, 2, 3]
        assert await ports(c, listeners_only=True, protocols=(UNIX, PACKET)) == []
        assert len((await c.ask()).items) == 12
        assert await ports(c, states=(ESTABLISHED,)) == [3869, 2, 0, 0]

    tell(tmp_path, story)


def test_hosts_are_told_with_their_ip_sockets(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await every_family(c)
        for at_us in (0, T0):
            [host] = (await c.ask_hosts(at_us=at_us)).items
            assert (host.sockets, host.listeners) == (7, 5)

    tell(tmp_path, story)


def test_sockets_without_addresses_are_ordered_by_path_and_then_cookie(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await every_family(c)
        items = (await c.ask(SocketQuestion(Selection(), protocols=(UNIX, PACKET)))).items
        assert [(item.cookie, item.path) for item in items] == [
            (10, b""),
            (11, b""),
            (9, b"/run/a"),
            (8, b"/run/b"),
            (12, b""),
        ]

    tell(tmp_path, story)


def test_what_is_told_of_a_unix_socket_is_kept(tmp_path: Path) -> None:
    told = unix(1, b"\0abstract\xff")._replace(type=5, peer_inode=99, holder=Holder(0, "", "", "c1", 1, (), "docker"))

    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", told)
        [item] = (await c.ask()).items
        assert (item.path, item.type, item.peer_inode, item.holder.runtime) == (b"\0abstract\xff", 5, 99, "docker")
        # Another peer is told of the same row; another path makes another, as another address does.
        other_peer = told._replace(peer_inode=7)
        other_path = other_peer._replace(path=b"/run/x", opened_at_us=T0 + 2 * S)
        await c.report(session, difference(2, T0 + S, changed=(other_peer,)))
        assert [(i.peer_inode, i.opened_at_us) for i in (await c.ask()).items] == [(7, T0)]
        await c.report(session, difference(3, T0 + 2 * S, changed=(other_path,)))
        assert [(i.path, i.opened_at_us) for i in (await c.ask()).items] == [(b"/run/x", T0 + 2 * S)]
        [item] = (await c.ask(at_us=T0 + S, now_us=T0 + 9 * S)).items
        assert (item.path, item.type, item.peer_inode) == (b"\0abstract\xff", 5, 7)

    tell(tmp_path, story)


def test_a_socket_has_the_name_that_its_namespace_had_at_the_time(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0), sock(2, T0, netns=BLUE), sock(3, T0, netns=RED))
        other = await reporting(c, "web2", sock(1, T0, netns=BLUE))
        await c.report(
            session,
            difference(2, T0 + 10 * S, namespaces=(space(BLUE, "blue"), space(RED))),
            difference(3, T0 + 20 * S, namespaces=(space(BLUE, "navy"),)),
            difference(4, T0 + 30 * S, namespaces_gone=(BLUE,)),
        )
        await c.report(other, difference(2, T0 + 10 * S, namespaces=(space(BLUE, "elsewhere"),)))
        names = {}
        for seconds in (0, 10, 19, 20, 30):
            answer = await c.ask(at_us=T0 + seconds * S, now_us=T0 + 99 * S)
            names[seconds] = [item.netns_name for item in answer.items]
        later = ["", "", "", "elsewhere"]
        assert names == {
            0: [""] * 4,
            10: ["", "", "blue", "elsewhere"],
            19: ["", "", "blue", "elsewhere"],
            20: ["", "", "navy", "elsewhere"],
            30: later,
        }
        assert [item.netns_name for item in (await c.ask(now_us=T0 + 99 * S)).items] == later

    tell(tmp_path, story)


def test_the_time_asked_about_is_that_of_each_hosts_clock(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        offset_us = 3600 * S
        session = await reporting(c, "web1", sock(1, T0 + offset_us, netns=BLUE), offset_us=offset_us)
        named = difference(2, T0 + offset_us + 10 * S, namespaces=(space(BLUE, "blue", interfaces=(interface(1),)),))
        await c.report(session, named, delay_us=-offset_us)
        for seconds, name in ((9, ""), (11, "blue")):
            at_us = T0 + seconds * S
            assert [i.netns_name for i in (await c.ask(at_us=at_us, now_us=T0 + 99 * S)).items] == [name]
            found = (await c.ask_namespaces(at_us=at_us, now_us=T0 + 99 * S)).items
            assert [i.namespace.name for i in found] == ([name] if name else [])

    tell(tmp_path, story)


def test_namespaces_are_ordered_by_host_own_first_name_and_inode_and_cut_at_the_limit(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        told = (space(RED, "red"), space(BLUE, "blue"), space(9), space(8), space(0, "zero"))
        for name in ("web-1", "web", "mute"):
            session = await reporting(c, name)
            if name != "mute":
                await c.report(session, difference(2, T0 + S, namespaces=told))
        answer = await c.ask_namespaces(now_us=T0 + S)
        in_order = [0, 8, 9, BLUE, RED]
        assert [(i.host, i.namespace.netns) for i in answer.items] == [
            (host, netns) for host in ("web", "web-1") for netns in in_order
        ]
        assert (answer.coverage.hosts_asked, answer.end.items, answer.end.truncated) == (3, 10, False)
        answer = await c.ask_namespaces(limit=3, now_us=T0 + S)
        assert ([i.namespace.netns for i in answer.items], answer.end.truncated) == (in_order[:3], True)
        answer = await c.ask_namespaces(host="web-1", now_us=T0 + S)
        assert {i.host for i in answer.items} == {"web-1"}
        own = await c.ask_namespaces(NamespaceQuestion(Selection(), own_only=True), now_us=T0 + S)
        assert [(i.host, i.namespace.netns) for i in own.items] == [("web", 0), ("web-1", 0)]

    tell(tmp_path, story)


def test_much_is_loaded_some_at_a_time_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_search, "PAGE", 5)
    monkeypatch.setattr(network_search, "ROWS_AT_ONCE", 7)

    async def story(c: Collector) -> None:
        told = tuple(
            space(n, interfaces=tuple(interface(i + 1) for i in range(n)), routes=tuple(route(i) for i in range(n)))
            for n in range(12)
        )
        session = await reporting(c, "web1")
        await c.report(session, difference(2, T0 + S, namespaces=told))
        for asked in (Selection(), Selection(at_us=T0 + S)):
            assert [i.namespace for i in (await c.ask_namespaces(NamespaceQuestion(asked))).items] == list(told)

    tell(tmp_path, story)


def test_what_a_question_costs_does_not_grow_with_the_namespaces(tmp_path: Path, engine: str) -> None:
    async def story(c: Collector) -> None:
        for n in range(6):
            session = await reporting(c, f"web{n}", *(sock(i + 1, T0, netns=i) for i in range(20)))
            told = tuple(space(i, f"n{i}", interfaces=(interface(1),), routes=(route(1),)) for i in range(20))
            await c.report(session, difference(2, T0 + S, namespaces=told))
        statements = asked_of(c.db._engines.readers)
        # Of the past coverage takes six, on Citus seven: test_questions.py says which.
        for at_us, more in ((0, 0), (T0 + S, 5 + spread())):
            statements.clear()
            assert len((await c.ask(at_us=at_us)).items) == 120
            # Coverage, the hosts of a step, sockets, holders, names of namespaces.
            assert len(statements) == 4 + pieces(engine, 6) + more
            statements.clear()
            assert len((await c.ask_namespaces(at_us=at_us)).items) == 120
            # Coverage, namespaces, how much is in them, interfaces, routes.
            assert len(statements) == 5 + more

    tell(tmp_path, story)


def test_a_batch_without_namespaces_costs_no_statement_for_them(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0))
        await c.report(session, snapshot(2, T0 + S, sock(1, T0 + S), namespaces=(space(0),)))
        statements = asked_of(c.db._engines.writer)
        await c.report(
            session, difference(3, T0 + 2 * S, changed=(sock(1, T0 + 2 * S, CLOSE),)), difference(4, T0 + 3 * S)
        )
        assert statements
        assert not [sql for sql, _ in statements if any(t in sql for t in ("namespaces", "interfaces", "routes"))]

    tell(tmp_path, story)


@pytest.mark.engine("sqlite")  # PostgreSQL chooses by what it has counted, and of a few rows any index will do
@pytest.mark.parametrize("at_us", [0, T0 + S])
def test_what_is_open_or_was_is_found_by_an_index_and_not_by_going_through_what_is_over(
    tmp_path: Path, at_us: int
) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0, netns=BLUE))
        told = space(BLUE, "blue", interfaces=(interface(1),), routes=(route(1),))
        await c.report(session, difference(2, T0 + S, namespaces=(told,)))
        asked = asked_of(c.db._engines.readers)
        await c.ask_namespaces(host="web1", at_us=at_us)
        about = [query for query in asked if "opened_at_us" in query[0] or "closed_at_us" in query[0]]
        assert len(about) == 4  # namespaces, how much is in them, interfaces, routes
        for query in about:
            steps = await c.db.read(plan, *query)
            searched = [step for step in steps if any(f"{t} " in step for t in ("namespaces", "interfaces", "routes"))]
            assert searched, steps
            assert all("closed_at_us" in step for step in searched), steps

    tell(tmp_path, story)
