"""The host's own namespace and five others in history: what changed there, what stayed among thousands of sockets that
came and went, connections that no look ever saw, and namespaces that ended.

Each fixture does one thing to the neighbourhood and tells what was asked meanwhile; `kept` comes after all of them.
"""

import datetime
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from system import archive, in_words
from system.archive import Archive, Interval
from system.in_words import Item
from system.laboratory import Laboratory, laboratory
from system.neighbourhood import NAME, Neighbourhood, Place, neighbourhood, remove

from demo.programs import FailedError, until

pytestmark = [pytest.mark.root, pytest.mark.slow]

_WITHIN_S = 90.0
_FLOODS, _CONNECTIONS = 2, 15_000  # for seconds, so that several looks fall among them
_SHORT = 300
_CHANGES = """
link set p0 mtu 1400
link set p1 down
link set p1 name renamed1
link set renamed1 up
route add 10.50.0.0/16 via 10.1.2.7
route delete 10.99.0.0/16 table 1000
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with laboratory(tmp_path_factory.mktemp("past")) as made:
        yield made


@pytest.fixture(scope="module")
def around(lab: Laboratory) -> Iterator[Neighbourhood]:
    with neighbourhood(lab) as made:
        yield made


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()


def asked(around: Neighbourhood, place: Place, *options: str) -> list[Item]:
    """What is answered about one of them, without what every look renews."""
    items = around.documents(*options, "--netns", place.shown)
    return [{name: value for name, value in item.items() if name != "last_seen"} for item in items]


@dataclass(frozen=True)
class Changed:
    """Routes and interfaces of a namespace: as they were, as they are, and as they are said to have been."""

    before: tuple[list[Item], list[Item]]
    after: tuple[list[Item], list[Item]]
    then: tuple[list[Item], list[Item]]


@pytest.fixture(scope="module")
def changed(around: Neighbourhood) -> dict[str, Changed]:
    places = [around.places[kind] for kind in ("host", "named", "empty")]
    before = [as_ip_says(around, place) for place in places]
    moment = now()
    for place in places:
        subprocess.run(place.command("ip", "-batch", "-"), input=_CHANGES, text=True, check=True)
    after = [as_ip_says(around, place) for place in places]
    then = [both(around, place, "--at", moment) for place in places]
    told = zip(before, after, then, strict=True)
    return {place.name: Changed(*each) for place, each in zip(places, told, strict=True)}


def both(around: Neighbourhood, place: Place, *options: str) -> tuple[list[Item], list[Item]]:
    """Routes and interfaces."""
    return asked(around, place, "-r", *options), asked(around, place, "-i", *options)


def as_ip_says(around: Neighbourhood, place: Place) -> tuple[list[Item], list[Item]]:
    """The same, once they are as ip says."""

    differences: list[str] = []

    def shown() -> tuple[list[Item], list[Item]] | None:
        theirs = in_words.routes(place), in_words.interfaces(place)
        routes, interfaces = both(around, place)
        ours = in_words.our(routes, theirs[0]), in_words.our(interfaces, theirs[1])
        differences[:] = [f"ours {a}\nip   {b}" for a, b in zip(ours, theirs, strict=True) if a != b]
        return None if differences else (routes, interfaces)

    try:
        return until(shown, within_s=_WITHIN_S, what="what ip says")
    except FailedError as failure:
        raise FailedError(f"{failure} in {place.name}", "\n".join([*differences, around.agent.tail()])) from None


def test_what_was_before_a_change_is_what_is_answered_for_that_time(changed: dict[str, Changed]) -> None:
    for each in changed.values():
        assert each.then == each.before


def test_the_changes_are_those_that_were_made(changed: dict[str, Changed]) -> None:
    for each in changed.values():
        (routes, interfaces), (routes_after, interfaces_after) = each.before, each.after
        gone = [one for one in routes if one not in routes_after]
        assert {(one["destination"], one["table"]) for one in gone} >= {("10.99.0.0", 1000)}
        made = {one["destination"] for one in routes_after} - {one["destination"] for one in routes}
        assert made == {"10.50.0.0"}
        assert len([one for one in routes_after if one in routes]) > 8, "what did not change is since when it was"
        mtus = [{one["name"]: one["mtu"] for one in shown} for shown in (interfaces, interfaces_after)]
        assert [shown["p0"] for shown in mtus] == [9000, 1400]
        assert (mtus[0].keys() ^ mtus[1].keys()) == {"p1", "renamed1"}


@dataclass(frozen=True)
class Churned:
    """What stayed, what answers showed of it meanwhile, and at which rate others came and went."""

    steady: set[in_words.Extended]
    shown: list[Counter[int | None]]
    opens_per_s: float


def staying(place: Place) -> set[in_words.Extended]:
    """What is neither the flood's nor on its way out."""
    return {one for one in in_words.inet(place) if one[1:2] != (None,) and one[2] and one[0].state != "SYN_SENT"}


@pytest.fixture(scope="module")
def churned(around: Neighbourhood, lab: Laboratory) -> Churned:
    place = around.places["small"]
    # Of a TIME_WAIT whose addresses are used again nothing tells the end: only that the next look does not find it.
    place.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/tcp_tw_reuse")
    before = staying(place)
    until(lambda: before <= in_words.our_inet(asked(around, place, "-tua")), within_s=_WITHIN_S, what="all that stays")
    floods = [lab.start(place, "flood", str(_CONNECTIONS), name=f"flood{n}") for n in range(_FLOODS)]
    began = datetime.datetime.now(datetime.UTC)
    shown: list[Counter[int | None]] = []
    while any(flood.running for flood in floods):
        shown.append(Counter(item["inode"] for item in asked(around, place, "-tua")))
    took_s = (datetime.datetime.now(datetime.UTC) - began).total_seconds()
    for flood in floods:
        flood.succeed()
    shown.append(Counter(item["inode"] for item in asked(around, place, "-tua")))
    assert staying(place) == before
    return Churned(before, shown, _FLOODS * _CONNECTIONS / took_s)


@dataclass(frozen=True)
class Short:
    """Connections that lived for a moment in a namespace: where to, and from which ports."""

    place: Place
    served: int
    ports: list[int]


@pytest.fixture(scope="module")
def short(around: Neighbourhood) -> list[Short]:
    made = []
    for kind in ("host", "empty", "nameless"):
        place = around.places[kind]
        place.tenant.tell(f"short {_SHORT}")
        served, ports = json.loads(place.tenant.wait_for(r"^short (.*)$", within_s=_WITHIN_S)[1])
        made.append(Short(place, served, ports))
    return made


def living(around: Neighbourhood, made: Short) -> list[Item]:
    """Those of them that are told of as if they were not on their way out."""
    # Both ports: another that stays, to somewhere else, may have one of theirs.
    pairs = {frozenset((made.served, port)) for port in made.ports}
    items = asked(around, made.place, "-tan")
    there = [one for one in items if frozenset((one["local_port"], one["remote_port"])) in pairs]
    return [one for one in there if one["state"] != "TIME_WAIT"]


def brief_have_ended(around: Neighbourhood, made: Short) -> None:
    """A look may have caught one of the brief ones, which is then told of as it was until its end is told as well."""
    left: list[Item] = []

    def ended() -> bool:
        left[:] = living(around, made)
        return not left

    try:
        until(ended, within_s=200.0, what="the end of all of them")
    except FailedError as failure:
        log = "\n".join([*map(str, left), around.agent.tail()])
        raise FailedError(f"{failure} in {made.place.name}", log) from None


@dataclass(frozen=True)
class Ended:
    """A namespace that is no more: what was answered while it was there, and what is answered for that time."""

    place: Place
    at_us: int
    before: dict[str, list[Item]]
    then: dict[str, list[Item]]


_TABLES = {"sockets": ("-tuwxa",), "routes": ("-r",), "interfaces": ("-i",)}


@pytest.fixture(scope="module")
def ended(around: Neighbourhood, changed: dict[str, Changed], churned: Churned, short: list[Short]) -> list[Ended]:
    leaving = [around.places[kind] for kind in ("named", "nameless", "container")]
    for each in short:
        brief_have_ended(around, each)
    before = [{table: asked(around, place, *options) for table, options in _TABLES.items()} for place in leaving]
    moment, at_us = now(), int(datetime.datetime.now(datetime.UTC).timestamp() * 1_000_000)
    for place in leaving:
        place.tenant.stop()
    remove(leaving[0].shown)
    inodes = {place.inode for place in leaving}

    def left() -> set[int]:
        answer = around.fleet.ask("netstat", NAME, "-i", "-o", "json")
        return {item["netns_inode"] for item in answer.items} & inodes

    until(lambda: not left(), within_s=_WITHIN_S, what="the end of three namespaces")
    subprocess.run(["ip", "netns", "add", leaving[0].shown], check=True)
    again = Path("/run/netns", leaving[0].shown).stat().st_ino

    def found_again() -> bool:
        answer = around.fleet.ask("netstat", NAME, "-i", "-o", "json", "--netns", leaving[0].shown)
        return answer.status != 2 and {item["netns_inode"] for item in answer.items} == {again}

    until(found_again, within_s=_WITHIN_S, what="the namespace that has got a name of before")
    then = []
    for place in leaving:
        then.append({t: asked(around, place, *options, "--at", moment) for t, options in _TABLES.items()})
    return [Ended(*each) for each in zip(leaving, [at_us] * 3, before, then, strict=True)]


def test_a_namespace_that_ended_is_answered_for_the_time_before_under_the_name_that_it_had(ended: list[Ended]) -> None:
    for each in ended:
        for table, items in each.then.items():
            assert len(items) > 3
            assert {item["netns"] for item in items} == {each.place.shown}
            assert {item["netns_inode"] for item in items} == {each.place.inode}
            # Of now nothing is closed yet.
            shown = [{**item, "closed_at": None, "closed_at_is": None} for item in items]
            before = [{**item, "closed_at": None, "closed_at_is": None} for item in each.before[table]]
            assert sorted(map(str, shown)) == sorted(map(str, before)), (each.place.name, table)


@dataclass(frozen=True)
class Kept:
    """What the collector has kept in the end."""

    data: Path

    def of(self, place: Place) -> Archive:
        return archive.read(self.data, NAME, place.netns)

    def network(self, table: str, place: Place) -> list[dict[str, Any]]:
        return archive.read_network(self.data, NAME, table, place.netns)


@pytest.fixture(scope="module")
def kept(
    around: Neighbourhood, changed: dict[str, Changed], churned: Churned, short: list[Short], ended: list[Ended]
) -> Kept:
    around.agent.stop()
    around.fleet.collector.stop()
    return Kept(around.fleet.data)


def test_while_thousands_come_and_go_what_stays_is_shown_once(churned: Churned) -> None:
    assert len(churned.steady) > 20
    assert len(churned.shown) >= 2
    assert churned.opens_per_s > 1_000
    for look in churned.shown:
        assert {inode: look[inode] for _, _, inode, _ in churned.steady} == {one[2]: 1 for one in churned.steady}


def doubled(found: Archive) -> list[tuple[Interval, Interval]]:
    """What cannot have been open together. Where the kernel lost events, which is a gap, a socket ends with the look
    that did not find it, and another may have had its addresses before."""
    lost = any("lost" in gap.reason for gap in found.gaps)
    return [
        (first, second)
        for first, second in found.doubled()
        if not lost or first.socket_id == second.socket_id or first.closed_at_us is None or first.closed_exactly
    ]


def test_in_history_what_stayed_is_one_interval_and_nothing_is_doubled(
    around: Neighbourhood, churned: Churned, kept: Kept
) -> None:
    found = kept.of(around.places["small"])
    assert doubled(found) == []
    by_name: dict[object, list[Interval]] = {}
    for interval in found.intervals:
        by_name.setdefault(interval.name, []).append(interval)
    for row, _, _, _ in churned.steady:
        remote = row.remote if row.remote[0] else (None, None)
        intervals = by_name[row.protocol, row.family, *row.local, *remote]
        assert [(one.state, one.closed_at_us) for one in intervals] == [(row.state, None)]
    came_and_went = {one.socket_id for one in found.intervals if one.closed_at_us is not None}
    assert len(came_and_went) > _FLOODS * _CONNECTIONS


def test_each_brief_connection_is_in_history_once_under_its_own_namespace(short: list[Short], kept: Kept) -> None:
    for each in short:
        made = Counter(one.socket_id for one in ends(kept.of(each.place), each))
        ports = Counter({one.socket_id: one.name[5] for one in ends(kept.of(each.place), each)}.values())
        assert ports == Counter(each.ports), each.place.name
        assert len(made) == _SHORT
        # The kernel may give the inode of one that ended to the next, whose name is another.
        at_us = max(one.opened_at_us for one in ends(kept.of(each.place), each))
        names = {row["name"] for row in kept.network("namespaces", each.place) if row["opened_at_us"] <= at_us}
        assert names == {"" if each.place.shown == str(each.place.inode) or not each.place.netns else each.place.shown}


def ends(found: Archive, made: Short) -> list[Interval]:
    """The accepted ends of these connections."""
    wanted = set(made.ports)
    return [one for one in found.intervals if one.name[3] == made.served and one.name[5] in wanted]


def test_with_a_namespace_all_that_was_in_it_ends_in_history(ended: list[Ended], kept: Kept) -> None:
    for each in ended:
        found = kept.of(each.place)
        assert len(found.intervals) > 20
        assert [one for one in found.intervals if one.closed_at_us is None] == []
        assert doubled(found) == []
        for table in ("namespaces", "interfaces", "routes"):
            # The kernel may give the inode of one that ended to the next, and often does.
            rows = [row for row in kept.network(table, each.place) if row["opened_at_us"] <= each.at_us]
            assert rows
            assert [row for row in rows if row["closed_at_us"] is None] == [], table
            assert {row["closed_at_us"] >= each.at_us for row in rows} >= {True}


def test_of_namespaces_that_stay_nothing_is_missing_in_history(around: Neighbourhood, kept: Kept) -> None:
    reasons = {gap.reason for gap in kept.of(around.places["host"]).gaps}
    mine = "|".join(re.escape(around.places[kind].shown) for kind in ("empty", "small"))
    assert [reason for reason in reasons if re.search(mine, reason)] == []
