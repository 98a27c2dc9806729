"""Answers: their filters, order, pages, coverage and time."""

import re
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fleetnet_proto.v1 import query_pb2
from fleetnet_server.errors import HostUnknown
from fleetnet_server.records import (
    Holder,
    NamespaceQuestion,
    Net,
    Process,
    Selection,
    SocketAnswer,
    SocketQuestion,
    SourceStatus,
)
from fleetnet_server.rpc import translate_query
from fleetnet_server.storage import search, walk
from server.costs import asked_of, pieces, plan
from server.databases import spread
from server.reports import (
    ANY,
    CLOSE,
    CLOSE_WAIT,
    ESTABLISHED,
    FACTS,
    LISTEN,
    NGINX,
    T0,
    UDP,
    WEB,
    Collector,
    S,
    difference,
    gone,
    snapshot,
    sock,
    space,
)
from server.stories import LO, PEER, ports, reporting, tell


def test_each_filter_keeps_what_it_names(tmp_path: Path) -> None:
    db = Holder(
        70, "postgres", "postgresql.service", "", 1, (Process(9, T0, "postgres", "/usr/bin/postgres", "postgres"),)
    )
    long_name = Process(11, T0, "systemd-resolve", "/lib/systemd/systemd-resolved", "systemd-resolve")

    async def story(c: Collector) -> None:
        await reporting(
            c,
            "web1",
            sock(1, T0, LISTEN, port=443),
            sock(2, T0, LISTEN, port=5432, local=LO, holder=db),
            sock(3, T0, CLOSE_WAIT, port=40000, local=LO, remote=PEER, remote_port=443),
            sock(4, T0, CLOSE, port=53, protocol=UDP, local=LO, holder=db._replace(owners=(long_name,))),
            sock(5, T0, CLOSE, port=54, protocol=UDP, local=LO, remote=PEER, remote_port=9),
            sock(6, T0, LISTEN, port=80, local=LO, netns=4026532001),
        )
        assert await ports(c) == [443, 5432, 40000, 53, 54, 80]
        assert await ports(c, local_ports=((443, 443),)) == [443]
        assert await ports(c, local_ports=((50, 90), (5432, 5432))) == [5432, 53, 54, 80]
        assert await ports(c, states=(CLOSE_WAIT, LISTEN)) == [443, 5432, 40000, 80]
        assert await ports(c, protocols=(UDP,)) == [53, 54]
        assert await ports(c, listeners_only=True) == [443, 5432, 53, 80]
        assert await ports(c, exposed_only=True) == [443, 80]
        assert await ports(c, unit="postgresql.service") == [5432, 53]
        assert await ports(c, user="postgres", process="postgres") == [5432]
        assert await ports(c, process="nginx") == [443, 40000, 54, 80]
        assert await ports(c, process="systemd-resolved") == [53]
        assert await ports(c, process="nobody") == []
        assert await ports(c, listeners_only=True, protocols=(6,), local_ports=((0, 5000),), unit="nginx.service") == [
            443,
            80,
        ]
        assert await ports(c, remote_ports=((9, 9), (25, 25))) == [54]
        assert await ports(c, remote_ports=((0, 0),)) == [], "no peer, no port"
        assert await ports(c, local=Net(LO, 32)) == [443, 5432, 40000, 53, 54, 80]
        assert await ports(c, local=Net(PEER, 32)) == [443], "it listens on every address"
        assert await ports(c, local=Net(bytes(15) + b"\x01", 128)) == [], "of IPv4 alone"

    tell(tmp_path, story)


def test_answers_come_in_the_documented_order(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        rows = [
            sock(9, T0, LISTEN, port=22),
            sock(8, T0, LISTEN, port=22, local=LO),
            sock(7, T0, ESTABLISHED, port=22, local=LO, remote=PEER, remote_port=6),
            sock(6, T0, ESTABLISHED, port=22, local=LO, remote=PEER, remote_port=5),
            sock(5, T0, CLOSE, port=22, protocol=UDP),
            sock(4, T0, LISTEN, port=9),
            sock(3, T0, LISTEN, port=22),
            sock(2, T0, LISTEN, port=22, netns=5),
        ]
        await reporting(c, "web-1", *rows)
        await reporting(c, "web", sock(1, T0))
        assert [(i.host, i.cookie) for i in (await c.ask()).items] == [
            ("web", 1),
            *(("web-1", cookie) for cookie in (4, 3, 9, 8, 6, 7, 5, 2)),
        ]

    tell(tmp_path, story)


def test_an_answer_holds_all_that_was_reported(tmp_path: Path) -> None:
    told = Holder(None, "", "", "c0ffee", 7, (NGINX, NGINX._replace(pid=90, program="nginx: w")))

    async def story(c: Collector) -> None:
        await reporting(c, "web1", sock(1, T0, local=bytes(16), holder=told)._replace(v6only=True, interface="eth0"))
        [item] = (await c.ask()).items
        assert item.holder == told._replace(owners=tuple(sorted(told.owners, key=lambda p: p.pid)))
        assert (item.family, item.v6only, item.interface, item.inode, item.cookie) == (6, True, "eth0", 10_001, 1)
        assert (item.opened_at_us, item.closed_at_us, item.closed_at_is, item.send_queue) == (T0, 0, 0, 511)

    tell(tmp_path, story)


def test_a_beat_confirms_what_is_open(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0))
        await c.report(session, difference(2, T0 + 60 * S))
        [item] = (await c.ask(now_us=T0 + 60 * S)).items
        assert item.last_seen_us == T0 + 60 * S

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("limit", "items", "truncated"),
    [(0, 1203, False), (1203, 1203, False), (1202, 1202, True), (500, 500, True), (2000, 1203, False)],
)
def test_a_limit_cuts_and_says_so(tmp_path: Path, limit: int, items: int, truncated: bool) -> None:
    async def story(c: Collector) -> None:
        await reporting(c, "web1", *(sock(n + 1, T0, port=n) for n in range(1203)))
        answer = await c.ask(limit=limit)
        assert [i.local_port for i in answer.items] == list(range(items))
        assert (answer.end.items, answer.end.truncated) == (items, truncated)

    tell(tmp_path, story)


def test_a_limit_beyond_all_numbers_is_none(tmp_path: Path) -> None:
    asked = translate_query.selection(query_pb2.Selection(limit=2**64 - 1))

    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0))
        await c.report(session, difference(2, T0 + S, namespaces=(space(),)))
        answer = await c.ask(SocketQuestion(asked))
        assert (answer.end.items, answer.end.truncated) == (1, False)
        told = await c.ask_namespaces(NamespaceQuestion(asked))
        assert (told.end.items, told.end.truncated) == (1, False)

    tell(tmp_path, story)


def test_pages_are_bounded_and_the_coverage_comes_first(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await reporting(c, "web1", *(sock(n + 1, T0, port=n) for n in range(search.PAGE + 1)))
        async with aclosing(c.questions.sockets(SocketQuestion(Selection()), T0)) as parts:
            kinds = [len(part) if isinstance(part, tuple) else type(part).__name__ async for part in parts]
        assert kinds == ["Coverage", search.PAGE, 1, "End"]

    tell(tmp_path, story)


def test_a_question_costs_the_same_statements_however_many_hosts_answer(tmp_path: Path, engine: str) -> None:
    async def story(c: Collector) -> None:
        for n in range(12):
            holder = WEB._replace(owners=tuple(NGINX._replace(pid=n * 10 + i) for i in range(3)))
            await reporting(c, f"web{n}", *(sock(i + 1, T0, port=i, holder=holder) for i in range(40)))
        statements = asked_of(c.db._engines.readers)
        assert len((await c.ask()).items) == 480
        # Coverage, the hosts of a step, sockets, holders.
        assert len(statements) == 3 + pieces(engine, 12)
        statements.clear()
        assert len((await c.ask(host="web7")).items) == 40
        # The host, on Citus its stream, its gaps, sockets, its one holder.
        assert len(statements) == 4 + spread()
        statements.clear()
        assert len((await c.ask(at_us=T0 + S)).items) == 480
        # Of coverage six: streams, who was silent, gaps, whose clocks were wrong, how many hosts there were, how far
        # back history goes.
        # On Citus who never had a stream is asked for besides.
        assert len(statements) == 8 + pieces(engine, 12) + spread()
        statements.clear()
        assert len((await c.ask_hosts()).items) == 12
        # Hosts, their streams, gaps, counts, sources, clones, labels, who asks to be let in again.
        assert len(statements) == 8

    tell(tmp_path, story)


_ODD = tuple((port, port) for port in range(1, 4_000, 2))
_HTTPS = {"local_ports": ((443, 443),), "listeners_only": True}


@pytest.mark.parametrize(
    ("asked", "indexes"),
    [
        (_HTTPS, ["current_listeners"]),
        ({**_HTTPS, "selection": Selection(at_us=T0)}, ["current_listeners", "history_listeners"]),
        ({**_HTTPS, "local_ports": _ODD}, ["current_listeners"]),
        (
            {"listeners_only": True, "opened_since_us": T0 - S},
            ["current_listeners_since", "history_listeners_since"],
        ),
    ],
)
def test_what_is_rare_in_the_fleet_is_found_through_an_index(
    tmp_path: Path, asked: dict[str, Any], indexes: list[str]
) -> None:
    _found_through(tmp_path, asked, indexes)


def test_sockets_are_counted_that_may_be_meant_but_nobody_saw_who_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permission, kernel = 4, 5  # of OwnerStatus
    unseen = Holder(1000, "", "", "", permission, ())

    async def story(c: Collector) -> None:
        await reporting(
            c,
            "web1",
            sock(1, T0, port=2024, holder=unseen),
            sock(2, T0, port=2025, holder=unseen._replace(unit="other.service")),
            sock(3, T0, port=2026, holder=unseen._replace(owner_status=kernel)),
            sock(4, T0, port=2027),
        )

        async def counted(*port: int, **asked: Any) -> int:
            question = SocketQuestion(Selection(), local_ports=tuple((p, p) for p in port), listeners_only=True)
            answer = await c.ask(replace(question, **asked))
            assert [item.local_port for item in answer.items] in ([], [2027])
            return answer.coverage.unseen_holders

        assert await counted(2024, process="sshd") == 1
        assert await counted(2025, 2026, 2027, process="sshd") == 1
        # The cgroup was seen, and it is another's; so was the uid.
        assert await counted(2025, 2026, 2027, unit="nginx.service") == 0
        assert await counted(2024, 2025, user="root") == 0
        assert await counted(unit="nginx.service") == await counted(container="c0ffee") == 1
        assert await counted(process="nginx") == 2
        monkeypatch.setattr(search, "MOST_UNSEEN", 1)
        assert await counted(process="nginx") == 1

    tell(tmp_path, story)


def test_as_many_nets_as_may_be_asked_for_are_answered(tmp_path: Path) -> None:
    wide = tuple(Net(bytes([n, 0, 0, 0]), 9) for n in range(1, 61))
    alone = tuple(Net(bytes([200, 0, *divmod(n, 256)]), 32) for n in range(1_024 - len(wide)))

    async def story(c: Collector) -> None:
        await reporting(
            c,
            "web1",
            sock(1, T0, ESTABLISHED, remote=bytes([60, 0, 0, 1]), remote_port=1),
            sock(2, T0, ESTABLISHED, remote=bytes([200, 0, 1, 2]), remote_port=2),
            sock(3, T0, ESTABLISHED, remote=bytes([201, 0, 1, 2]), remote_port=3),
        )
        # Its clock is so far off that it is asked apart.
        await reporting(c, "web2", offset_us=2 * 3_600 * S)
        for since_us in (0, T0 - S):
            for selection in (Selection(), Selection(host_globs=("web*",))):
                question = SocketQuestion(selection, remotes=wide + alone, opened_since_us=since_us)
                assert [item.remote_port for item in (await c.ask(question)).items] == [1, 2]

    tell(tmp_path, story)


def test_as_many_ports_as_may_be_asked_for_are_answered(tmp_path: Path) -> None:
    every = tuple((port, port) for port in range(1, 2 * 4_096, 2))
    wide = tuple(Net(bytes([n, 0, 0, 0]), 9) for n in range(1, 61))

    async def story(c: Collector) -> None:
        await reporting(
            c,
            "web1",
            sock(1, T0, ESTABLISHED, port=21, remote=bytes([60, 0, 0, 1]), remote_port=8_191),
            sock(2, T0, ESTABLISHED, port=21, remote=bytes([60, 0, 0, 1]), remote_port=8_190),
            sock(3, T0, ESTABLISHED, port=22, remote=bytes([60, 0, 0, 1]), remote_port=1),
            sock(4, T0, ESTABLISHED, port=21, remote=bytes([61, 0, 0, 1]), remote_port=1),
        )
        for since_us in (0, T0 - S):
            asked = SocketQuestion(Selection(), local_ports=every, remote_ports=every, opened_since_us=since_us)
            assert [item.cookie for item in (await c.ask(asked)).items] == [1, 4]
            assert [item.cookie for item in (await c.ask(replace(asked, remotes=wide))).items] == [1]

    tell(tmp_path, story)


@pytest.mark.engine("postgresql")
@pytest.mark.parametrize(
    "asked",
    [
        {"remotes": (Net(PEER, 32),)},
        {"remotes": tuple(Net(PEER[:3] + bytes([n]), 32) for n in range(100))},
        {"remotes": (Net(PEER, 16),), "remote_ports": ((443, 443),)},
        {"remotes": (Net(PEER, 16), Net(LO, 8))},
    ],
    ids=["an address", "many", "a port of a net", "two nets"],
)
def test_so_are_the_other_ends_of_connections_on_a_server(tmp_path: Path, asked: dict[str, Any]) -> None:
    _found_through(tmp_path, asked, ["current_remote_address"])


def _found_through(tmp_path: Path, asked: dict[str, Any], indexes: list[str]) -> None:
    async def story(c: Collector) -> None:
        statements = asked_of(c.db._engines.readers)
        await reporting(c, "web1", sock(1, T0))
        await c.ask(replace(SocketQuestion(Selection()), **asked), now_us=T0)
        # The look for hosts, without any order; what these have is another matter.
        [look] = [
            one for one in statements if "LIMIT" in one[0] and not re.search("hosts.name|holder_processes", one[0])
        ]
        steps = await c.db.read(plan, *look)
        assert [index for index in indexes if not any(f"ix_{index}" in step for step in steps)] == [], steps
        whole = [step for step in steps if ("SCAN current" in step or "SCAN history" in step or step.endswith("whole"))]
        assert whole == [], steps

    tell(tmp_path, story)


def test_the_first_page_of_a_common_port_waits_for_some_hosts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOK", 20)
    monkeypatch.setattr(walk, "FIRST_STEP", 4)

    async def story(c: Collector) -> None:
        for n in range(60):
            await reporting(c, f"web{n:02}", sock(1, T0), sock(2, T0, port=22))
        statements = asked_of(c.db._engines.readers)
        question = SocketQuestion(Selection(), local_ports=((443, 443),), listeners_only=True)
        pages: list[int] = []
        costs: list[int] = []
        async with aclosing(c.questions.sockets(question, T0)) as parts:
            async for part in parts:
                if isinstance(part, tuple):
                    pages.append(len(part))
                    costs.append(len(statements))
        # Coverage; the look, hosts, their sockets, holders. Then longer steps, of which each finds a page.
        assert pages == [4, 16, 40]
        assert costs[0] == 5
        taken = [one for one in statements if "hosts.name AS host" in one[0]]
        assert len(taken) == len(pages)
        steps = await c.db.read(plan, *taken[0])
        assert any("ix_current_listeners" in step for step in steps), steps
        statements.clear()
        limited = replace(question, selection=Selection(limit=4))
        assert len((await c.ask(limited)).items) == 4
        # The fifth tells that there are more.
        assert len([one for one in statements if "hosts.name AS host" in one[0]]) == 2

    tell(tmp_path, story)


def test_hosts_are_chosen_by_name_or_glob_and_an_unknown_name_is_an_error(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        for name in ("db1", "web1", "web2"):
            await reporting(c, name, sock(1, T0))
        assert [i.host for i in (await c.ask(host="web1")).items] == ["web1"]
        answer = await c.ask(host_globs=("web?",))
        assert ([i.host for i in answer.items], answer.coverage.hosts_asked) == (["web1", "web2"], 2)
        answer = await c.ask(host_globs=("mail*",))
        assert (answer.items, answer.coverage.hosts_asked) == ([], 0)
        assert [h.host for h in (await c.ask_hosts(host_globs=("[dw]*1",))).items] == ["db1", "web1"]
        with pytest.raises(HostUnknown, match='no host named "web9" has enrolled'):
            await c.ask(host="web9")
        with pytest.raises(HostUnknown):
            await c.ask_hosts(host="web9")

    tell(tmp_path, story)


def test_a_question_about_the_past_sees_each_interval_from_its_beginning_to_before_its_end(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", sock(1, T0, ESTABLISHED))
        await c.report(
            session,
            difference(2, T0 + 10 * S, changed=(sock(1, T0 + 10 * S, CLOSE_WAIT),)),
            difference(3, T0 + 20 * S, closed=(gone(1, T0 + 20 * S),)),
        )
        seen = {}
        for seconds in (-1, 0, 9, 10, 19, 20):
            seen[seconds] = [i.state for i in (await c.ask(at_us=T0 + seconds * S, now_us=T0 + 99 * S)).items]
        assert seen == {-1: [], 0: [1], 9: [1], 10: [CLOSE_WAIT], 19: [CLOSE_WAIT], 20: []}
        [item] = (await c.ask(at_us=T0 + 5 * S, now_us=T0 + 99 * S)).items
        assert (item.closed_at_us, item.closed_at_is) == (T0 + 10 * S, 2)

    tell(tmp_path, story)


def test_hosts_are_told_with_their_counts_and_facts(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(
            c,
            "web1",
            sock(1, T0),
            sock(2, T0, ESTABLISHED, local=LO, remote=PEER),
            sock(3, T0, CLOSE, protocol=UDP, local=ANY),
        )
        await c.enroll("mute", at_us=T0 - 7)
        broken = SourceStatus("owners", False, "no helper")
        await c.report(session, difference(2, T0 + S, closed=(gone(1, T0 + S),), sources=(broken,)))
        mute, web = (await c.ask_hosts(now_us=T0 + S)).items
        assert (mute.host, mute.fresh, mute.last_seen_us, mute.sockets, mute.enrolled_at_us) == (
            "mute",
            False,
            0,
            0,
            T0 - 7,
        )
        assert (web.host, web.fresh, web.last_seen_us, web.sockets, web.listeners) == ("web1", True, T0 + S, 2, 1)
        assert (web.facts, web.agent_version, web.degraded) == (FACTS, "0.1.0", ("owners: no helper",))
        past = (await c.ask_hosts(at_us=T0, now_us=T0 + S)).items[1]
        assert (past.sockets, past.listeners, past.fresh, past.degraded) == (3, 2, True, ())
        answer = await c.ask_hosts(limit=1)
        assert ([h.host for h in answer.items], answer.end.truncated) == (["mute"], True)

    tell(tmp_path, story)


def test_an_answer_is_of_one_moment_though_reports_come_in_while_it_is_read(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c, "web1", *(sock(n + 1, T0, port=n) for n in range(1200)))
        items: list[SocketAnswer] = []
        async with aclosing(c.questions.sockets(SocketQuestion(Selection()), T0)) as parts:
            await anext(parts)
            async for part in parts:
                if isinstance(part, tuple):
                    if not items:
                        await c.report(session, snapshot(2, T0 + S, sock(5000, T0 + S)))
                    items.extend(part)
        assert [i.local_port for i in items] == list(range(1200))
        assert [i.cookie for i in (await c.ask()).items] == [5000]

    tell(tmp_path, story)
