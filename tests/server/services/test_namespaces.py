"""Namespaces with their interfaces and routes: a row for as long as nothing changed, ends that are told, and gaps."""

from dataclasses import replace
from pathlib import Path

from fleetnet_server.network import Interface, Namespace, Route
from fleetnet_server.records import Gap, NamespaceQuestion, Selection
from server.reports import (
    BEFORE,
    GAP,
    NEXT_BOOT,
    SEEN,
    T0,
    Collector,
    S,
    Span,
    difference,
    hello,
    interface,
    route,
    snapshot,
    space,
)
from server.stories import connected, tell

BLUE = 4026532001
DEFAULT = replace(route(0), destination=bytes(4), prefix_length=0)


def network(*interfaces: Interface, routes: tuple[Route, ...] = (), netns: int = BLUE, name: str = "blue") -> Namespace:
    return space(netns, name, interfaces=interfaces, routes=routes)


async def seen(c: Collector, seconds: float | None = None) -> list[tuple[str, list[int], list[int]]]:
    """Of each namespace its name, the MTUs of its interfaces and the second byte of its routes' destinations."""
    now_us = T0 + 1000 * S
    answer = await c.ask_namespaces(at_us=0 if seconds is None else int(T0 + seconds * S), now_us=now_us)
    return [
        (told.name, [i.mtu for i in told.interfaces], [r.destination[1] for r in told.routes])
        for told in (item.namespace for item in answer.items)
    ]


def test_what_stays_as_it_was_is_one_row_and_what_changes_begins_another_at_once(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(
            session,
            snapshot(1, T0, namespaces=(network(interface(1), interface(2), routes=(route(1), route(2))),)),
            difference(2, T0 + S, previous_us=T0),
            difference(
                3,
                T0 + 2 * S,
                previous_us=T0 + S,
                namespaces=(network(interface(1), interface(2, mtu=9000), routes=(route(2), route(1, metric=5))),),
            ),
        )
        at = T0 + 2 * S
        assert await c.spans() == sorted(
            [
                Span((BLUE, "blue", False), T0, BEFORE, last_seen_us=T0),
                Span((BLUE, 1, 1500), T0, BEFORE, last_seen_us=T0),
                Span((BLUE, 2, 1500), T0, BEFORE, at, SEEN, T0 + S),
                Span((BLUE, 2, 9000), at, SEEN, last_seen_us=at),
                Span((BLUE, route(1).destination, 0), T0, BEFORE, at, SEEN, T0 + S),
                Span((BLUE, route(1).destination, 5), at, SEEN, last_seen_us=at),
                Span((BLUE, route(2).destination, 0), T0, BEFORE, last_seen_us=T0),
            ],
            key=lambda span: (repr(span.what), span.opened_at_us),
        )
        assert await seen(c, 1.9) == [("blue", [1500, 1500], [1, 2])]
        assert await seen(c, 2) == await seen(c) == [("blue", [1500, 9000], [2, 1])]

    tell(tmp_path, story)


def test_an_answer_holds_all_that_was_reported(tmp_path: Path) -> None:
    odd = Interface(7, "wg0", 65534, b"", 1420, 0x91, 0, "wireguard", 0, (), 0, 0, None, "")
    blackhole = Route(6, bytes(16), 0, 100, 6, 4, 0, 4_294_967_295, bytes(range(16)), (), 1, 2, 3, 4, 5, 6)
    two_ways = replace(
        route(3),
        next_hops=(*route(3).next_hops, replace(route(3).next_hops[0], gateway=bytes(16), weight=256, flags=16)),
    )
    told = Namespace(
        BLUE, "blue", "c0ffee", "podman", "blue.service", (interface(1), odd), (DEFAULT, two_ways, blackhole), False, 12
    )

    async def story(c: Collector) -> None:
        await c.report(await connected(c), snapshot(1, T0, namespaces=(told,)), difference(2, T0 + S, previous_us=T0))
        [item] = (await c.ask_namespaces(now_us=T0 + S)).items
        assert (item.host, item.namespace, item.opened_at_us, item.last_seen_us) == ("web1", told, T0, T0 + S)
        assert (item.interfaces_since_us, item.routes_since_us) == ((T0, T0), (T0, T0, T0))
        [bare] = (
            await c.ask_namespaces(NamespaceQuestion(Selection(), without_interfaces=True, without_routes=True))
        ).items
        assert bare.namespace == replace(told, interfaces=(), routes=())
        assert (bare.interfaces_since_us, bare.routes_since_us) == ((), ())

    tell(tmp_path, story)


def test_a_namespace_that_is_gone_ends_with_all_that_was_in_it_and_its_number_may_come_again(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        own = space(0, interfaces=(interface(9),))
        await c.report(
            session,
            snapshot(1, T0, namespaces=(own, network(interface(1), routes=(route(1),)))),
            difference(2, T0 + S, previous_us=T0, namespaces_gone=(BLUE, 77)),
            difference(3, T0 + 2 * S, previous_us=T0 + S, namespaces=(network(interface(1), name="red"),)),
            # Gone and there again between two looks: another one.
            difference(
                4,
                T0 + 3 * S,
                previous_us=T0 + 2 * S,
                namespaces_gone=(BLUE,),
                namespaces=(network(interface(1), name="red"),),
            ),
        )
        assert await seen(c, 0) == [("", [1500], []), ("blue", [1500], [1])]
        assert await seen(c, 1) == [("", [1500], [])]
        assert await seen(c, 2) == [("", [1500], []), ("red", [1500], [])]
        assert [i.opened_at_us for i in (await c.ask_namespaces(now_us=T0 + 3 * S)).items] == [T0, T0 + 3 * S]
        ended = [s for s in await c.spans() if s.closed_at_us]
        assert {(s.closed_at_us, s.closed_at_is, s.last_seen_us) for s in ended} == {
            (T0 + S, SEEN, T0),
            (T0 + 3 * S, SEEN, T0 + 2 * S),
        }

    tell(tmp_path, story)


def test_a_namespace_that_gets_a_name_was_first_seen_before_it_had_one(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await c.report(
            await connected(c),
            snapshot(1, T0, namespaces=(network(interface(1), name=""),)),
            difference(2, T0 + S, previous_us=T0, namespaces=(network(interface(1)),)),
        )
        assert [await seen(c, at) for at in (0.5, 1)] == [[("", [1500], [])], [("blue", [1500], [])]]
        [item] = (await c.ask_namespaces(now_us=T0 + S)).items
        assert item.opened_at_us == T0
        assert [s.opened_at_us for s in await c.spans() if s.what[1:] == (1, 1500)] == [T0]

    tell(tmp_path, story)


def test_of_a_namespace_that_could_not_be_read_what_is_kept_stays(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        unread = replace(network(interface(1, mtu=1)), unread=True)
        await c.report(
            session,
            snapshot(1, T0, namespaces=(network(interface(1), routes=(route(1),)),)),
            difference(2, T0 + S, previous_us=T0, namespaces=(unread,)),
        )
        assert await seen(c) == [("blue", [1500], [1])]
        assert [i.namespace.unread for i in (await c.ask_namespaces(now_us=T0 + S)).items] == [True]
        assert [i.namespace.unread for i in (await c.ask_namespaces(at_us=T0, now_us=T0 + S)).items] == [False]
        await c.report(session, difference(3, T0 + 2 * S, previous_us=T0 + S, namespaces=(network(),)))
        assert await seen(c) == [("blue", [], [])]
        # Where nothing is kept, some of it is better than nothing.
        await c.report(session, difference(4, T0 + 3 * S, previous_us=T0 + 2 * S, namespaces=(unread,)))
        assert await seen(c) == [("blue", [1], [])]

    tell(tmp_path, story)


def test_how_many_routes_are_left_out_may_change_without_a_new_row(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        told = network(routes=(route(1),))
        await c.report(
            await connected(c),
            snapshot(1, T0, namespaces=(replace(told, routes_left_out=5),)),
            difference(2, T0 + S, previous_us=T0, namespaces=(replace(told, routes_left_out=6),)),
        )
        assert [i.namespace.routes_left_out for i in (await c.ask_namespaces(now_us=T0 + S)).items] == [6]
        assert len(await c.spans()) == 2

    tell(tmp_path, story)


def test_what_a_snapshot_names_in_none_of_its_parts_has_ended(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        first = snapshot(1, T0, namespaces=(space(0), network(interface(1)), network(netns=5, name="red")))
        await c.report(await c.connect(host, hello(T0)), first)
        session, look = await c.connect(host, hello(T0 + S), T0 + S), T0 + S
        await c.report(
            session,
            snapshot(2, look, namespaces=(space(0),), last=False, previous_us=T0),
            snapshot(3, look, namespaces=(network(netns=5, name="red"),), part=1, previous_us=T0),
        )
        assert await seen(c) == [("", [], []), ("red", [], [])]
        assert {s.closed_at_is for s in await c.spans() if s.closed_at_us} == {SEEN}
        assert await seen(c, 0.5) == [("", [], []), ("blue", [1500], []), ("red", [], [])]

    tell(tmp_path, story)


def test_after_a_restart_of_the_agent_ends_and_changes_lie_in_a_gap_and_the_rest_goes_on(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        first = snapshot(1, T0, namespaces=(space(0, interfaces=(interface(1), interface(2))), network()))
        await c.report(await c.connect(host, hello(T0)), first)
        look = T0 + 60 * S
        session = await c.connect(host, hello(look, epoch=2), look)
        again = (space(0, interfaces=(interface(1), interface(2, mtu=9000))),)
        await c.report(session, snapshot(1, look, namespaces=again, epoch=2))
        assert await c.spans() == sorted(
            [
                Span((0, "", False), T0, BEFORE, last_seen_us=T0),
                Span((0, 1, 1500), T0, BEFORE, last_seen_us=T0),
                Span((0, 2, 1500), T0, BEFORE, look, GAP, T0),
                Span((0, 2, 9000), look, BEFORE, last_seen_us=look),
                Span((BLUE, "blue", False), T0, BEFORE, look, GAP, T0),
            ],
            key=lambda span: (repr(span.what), span.opened_at_us),
        )
        # Within the gap the last that was known is told, and the coverage says so.
        in_gap = await c.ask_namespaces(at_us=T0 + 30 * S, now_us=look)
        assert [[i.mtu for i in item.namespace.interfaces] for item in in_gap.items] == [[1500, 1500], []]
        assert in_gap.coverage.gaps == 1

    tell(tmp_path, story)


def test_a_gap_declared_by_the_last_part_counts_for_the_namespaces_of_the_parts_before_it(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        first = snapshot(1, T0, namespaces=(network(interface(1), routes=(route(1),)),))
        await c.report(await c.connect(host, hello(T0)), first)
        session, look = await c.connect(host, hello(T0 + 90 * S)), T0 + 90 * S
        await c.report(
            session,
            snapshot(2, look, namespaces=(network(interface(1, mtu=9000)),), last=False, previous_us=look - S),
            snapshot(3, look, part=1, previous_us=look - S, gaps=(Gap(T0, look, "queue full"),)),
        )
        spans = {span.what: (span.opened_at_is, span.closed_at_is) for span in await c.spans()}
        assert spans == {
            (BLUE, "blue", False): (BEFORE, 0),
            (BLUE, 1, 1500): (BEFORE, GAP),
            (BLUE, 1, 9000): (BEFORE, 0),
            (BLUE, route(1).destination, 0): (BEFORE, GAP),
        }

    tell(tmp_path, story)


def test_no_namespace_outlives_its_boot(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await c.report(await c.connect(host, hello(T0)), snapshot(1, T0, namespaces=(network(interface(1)),)))
        look = T0 + 60 * S
        session = await c.connect(host, hello(look, epoch=2, boot_id=NEXT_BOOT))
        same = (network(interface(1)),)
        await c.report(session, snapshot(1, look, namespaces=same, last=False, epoch=2, boot_id=NEXT_BOOT))
        assert {(s.closed_at_us, s.closed_at_is) for s in await c.spans()} == {(look, GAP), (0, 0)}
        [item] = (await c.ask_namespaces(now_us=look)).items
        assert (item.opened_at_us, item.interfaces_since_us) == (look, (look,))

    tell(tmp_path, story)


def test_a_clock_that_was_set_back_makes_no_intervals_overlap_and_leaves_none_without_length(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        await c.report(
            session,
            snapshot(1, T0, namespaces=(network(interface(1), routes=(route(1),)),)),
            difference(2, T0 + 50 * S, namespaces=(network(interface(1, mtu=2), name="red"),)),
            # From here on by another clock.
            difference(3, T0 + 10 * S, namespaces=(network(interface(1, mtu=3), routes=(route(1),), name="green"),)),
            difference(4, T0 + 20 * S, namespaces_gone=(BLUE,)),
            difference(5, T0 + 60 * S, namespaces=(network(interface(1, mtu=4), routes=(route(1),)),)),
        )
        kept: dict[object, int] = {}
        for span in sorted(await c.spans(), key=lambda span: span.opened_at_us):
            thing = span.what[:2] if isinstance(span.what[1], int) else (len(span.what), type(span.what[1]))
            assert kept.get(thing, 0) <= span.opened_at_us
            assert span.closed_at_us == 0 or span.closed_at_us > span.opened_at_us
            kept[thing] = span.closed_at_us or 1 << 62
        assert await seen(c) == [("blue", [4], [1])]

    tell(tmp_path, story)


def test_routes_stay_in_the_kernels_order_while_others_come_and_go(tmp_path: Path) -> None:
    orders = [(3, 1, 2), (3, 9, 1, 2), (8, 9, 1, 7, 2, 6), (2, 8, 9), (5, 2, 4, 8, 3)]

    async def story(c: Collector) -> None:
        session = await connected(c)
        for n, order in enumerate(orders):
            told = (network(routes=tuple(route(x) for x in order)),)
            batch = difference(n + 1, T0 + n * S, namespaces=told) if n else snapshot(1, T0, namespaces=told)
            await c.report(session, batch)
            assert await seen(c) == [("blue", [], list(order))]
            # Of a time past, too, as long as none that stays has changed places.
            for before in range(n if n < 3 else 0):
                assert await seen(c, before) == [("blue", [], list(orders[before]))]

    tell(tmp_path, story)


def test_a_batch_sent_twice_changes_nothing(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await connected(c)
        batch = difference(2, T0 + S, namespaces=(network(interface(1), routes=(route(1),)),), namespaces_gone=(5,))
        await c.report(session, snapshot(1, T0, namespaces=(network(netns=5),)), batch)
        before = await c.dump()
        await c.report(session, batch)
        assert await c.dump() == before

    tell(tmp_path, story)
