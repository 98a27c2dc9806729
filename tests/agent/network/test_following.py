"""When a namespace is read, and what of it is told: on a clock that goes when it is told to."""

import errno
import socket
from collections import Counter
from collections.abc import Generator

import pytest
from agent.network.scripted_rtnetlink import ScriptedNamespace, interface, route4
from agent.proc_tree import Clock
from fleetnet_agent.network import ethtool, following, place
from fleetnet_agent.network.following import PATIENCE_S, Network
from fleetnet_agent.network.rtnetlink import RTM_GETLINK, RTM_GETROUTE
from fleetnet_agent.records import Namespace
from fleetnet_agent.sources.source import RefusedError, SourceError


class ScriptedNews:
    """Tells of a change once after a test said so."""

    def __init__(self) -> None:
        self.waiting = False
        self.closed = False

    def heard(self) -> bool:
        heard, self.waiting = self.waiting, False
        return heard

    def close(self) -> None:
        self.closed = True


class Told:
    """A network, and what it has told, put together."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.own = ScriptedNamespace()
        self.news = ScriptedNews()
        self.others: dict[int, ScriptedNamespace] = {}
        self.network = Network(self.clock, self.own.opens, self.news, self.inside)
        self.namespaces: dict[int, Namespace] = {}
        self.times: Counter[int] = Counter()

    def look(self, *, after_s: float = 1.0) -> list[int]:
        """The numbers of the namespaces that are told at the next look."""
        self.clock.go(after_s)
        has_news = self.network.look()
        changed = self.network.changed()
        assert has_news == bool(changed)
        for namespace in changed:
            assert self.namespaces.get(namespace.netns) != namespace
            self.namespaces[namespace.netns] = namespace
            self.times[namespace.netns] += 1
        assert self.network.changed() == ()
        assert {one.netns: one for one in self.network.all()} == self.namespaces
        return [namespace.netns for namespace in changed]

    def inside(self, numbers: list[int]) -> Generator[tuple[int, socket.socket | SourceError], None, None]:
        for number in numbers:
            other = self.others[number]
            yield number, SourceError(other.refused) if other.refused else other.opens()

    def change(self, what: ScriptedNamespace, mtu: int) -> None:
        what.links[1] = interface(2, mtu)

    def mtu(self, netns: int = 0) -> int:
        return self.namespaces[netns].interfaces[1].mtu


@pytest.fixture
def told() -> Told:
    return Told()


def details(told: Told) -> dict[str, tuple[bool, str]]:
    return {status.name: (status.ok, status.detail) for status in told.network.statuses()}


def test_before_the_first_look_nothing_is_known() -> None:
    told = Told()
    assert told.network.all() == told.network.changed() == ()
    assert told.own.opened == 0


def test_the_first_look_tells_the_own_namespace_whole(told: Told) -> None:
    assert told.look() == [0]
    own = told.namespaces[0]
    assert [one.name for one in own.interfaces] == ["scripted1", "scripted2"]
    assert (len(own.routes), own.unread, own.routes_left_out) == (3, False, 0)
    assert details(told) == {"interfaces": (True, ""), "routes": (True, "")}


def test_in_a_quiet_hour_nothing_is_told_after_the_first_look_and_little_is_read(told: Told) -> None:
    told.look()
    for _ in range(3600):
        assert told.look() == []
    assert told.own.readings == 1 + 60


def test_a_change_is_told_at_the_next_look(told: Told) -> None:
    told.look()
    told.change(told.own, 1400)
    told.news.waiting = True
    assert told.look() == [0]
    assert told.mtu() == 1400


def test_an_announced_change_that_changes_nothing_we_tell_is_not_told(told: Told) -> None:
    told.look()
    told.news.waiting = True
    assert told.look() == []
    assert told.own.readings == 2


def test_a_change_that_nobody_announced_is_told_within_a_minute(told: Told) -> None:
    told.look()
    told.change(told.own, 1400)
    looks = next(n for n in range(1, 100) if told.look())
    assert looks == 60


def test_where_the_kernel_announces_nothing_the_namespace_is_read_more_often_and_says_so() -> None:
    told = Told()
    told.network = Network(told.clock, told.own.opens, RefusedError("no groups here"))
    told.look()
    told.change(told.own, 1400)
    assert next(n for n in range(1, 100) if told.look()) == 10
    assert details(told)["routes"] == (True, "changes are seen within 10 s only: no groups here")


def test_a_storm_of_changes_costs_one_hundredth_of_the_time(told: Told) -> None:
    told.own.takes = lambda: told.clock.go(0.01)  # for each of four tables
    told.look()
    before_us, readings = told.clock.now_us, told.own.readings
    for n in range(1000):
        told.own.routes4[0] = route4(n)
        told.news.waiting = True
        told.look()
    passed_s = (told.clock.now_us - before_us) / 1e6
    assert (told.own.readings - readings) * 0.04 <= place.SHARE * passed_s + 0.04
    assert told.own.readings - readings >= 150


def test_a_large_table_that_changes_all_the_time_is_told_less_often(told: Told) -> None:
    told.own.routes4 = [route4(n) for n in range(2_000)]
    told.look()
    for n in range(100):
        told.own.routes4[0] = route4(3_000 + n)
        told.news.waiting = True
        told.look()
    rows = len(told.namespaces[0].routes)
    assert 10 < told.times[0] * rows * place.TELLING_US <= place.SHARE * 101_000_000 + rows * place.TELLING_US


def test_at_most_one_reading_is_made_however_early_the_next_look_comes(told: Told) -> None:
    told.look()
    for _ in range(4):
        told.news.waiting = True
        told.look(after_s=0.1)
    assert told.own.readings == 1
    told.look(after_s=0.2)
    assert told.own.readings == 2


def test_what_cannot_be_read_stays_and_says_so_until_it_can(told: Told) -> None:
    told.look()
    told.own.fails[RTM_GETROUTE] = errno.ENOMEM
    told.change(told.own, 1400)
    told.news.waiting = True
    assert told.look() == [0]
    now = told.namespaces[0]
    assert (now.unread, len(now.routes), told.mtu()) == (True, 3, 1400)
    assert details(told)["interfaces"] == (True, "")
    assert details(told)["routes"][0] is False
    assert "Cannot allocate memory" in details(told)["routes"][1]
    assert told.look() == []  # told once
    told.own.fails.clear()
    assert told.look() == [0]  # tried again without being asked
    assert not told.namespaces[0].unread
    assert details(told)["routes"] == (True, "")


def test_a_namespace_that_was_never_read_is_told_as_that(told: Told) -> None:
    told.own.refused = "a socket is refused: Operation not permitted"
    assert told.look() == [0]
    assert told.namespaces[0] == Namespace(0, unread=True)
    assert details(told)["interfaces"] == (False, "not read: a socket is refused: Operation not permitted")


def test_drivers_are_asked_again_every_minute(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def ask(descriptor: int, name: str) -> ethtool.Said:
        nonlocal asked
        asked += 1
        return ethtool.Said()

    monkeypatch.setattr("fleetnet_agent.network.ethtool.ask", ask)
    told.look()
    assert asked == 2
    for _ in range(10):
        told.news.waiting = True
        told.look()
    assert asked == 2  # the kernel's word of both was the same
    told.change(told.own, 1400)
    told.news.waiting = True
    told.look()
    assert asked == 3
    for _ in range(60):
        told.look()
    assert asked == 5


def follow(told: Told, netns: int, name: str = "") -> ScriptedNamespace:
    other = ScriptedNamespace()
    told.others[netns] = other
    told.network.follow(Namespace(netns, name=name))
    return other


def test_other_namespaces_are_told_at_once_and_read_every_ten_seconds(told: Told) -> None:
    told.look()
    other = follow(told, 40, "web")
    assert told.look() == [40]
    assert (told.namespaces[40].name, told.mtu(40)) == ("web", 1500)
    told.change(other, 1400)
    assert next(n for n in range(1, 100) if told.look()) == 10
    assert told.mtu(40) == 1400
    for _ in range(600):
        assert told.look() == []


def test_a_change_that_is_announced_in_another_namespace_is_told_at_the_next_look(told: Told) -> None:
    other = follow(told, 40)
    told.look()
    told.change(other, 1400)
    told.network.announce(40)
    told.network.announce(41)  # not followed: nothing happens
    assert told.look() == [40]


def test_a_namespace_may_get_another_name(told: Told) -> None:
    other = follow(told, 40, "old")
    told.look()
    told.network.follow(Namespace(40, name="new", unit="web.service"))
    assert told.look() == [40]
    assert (told.namespaces[40].name, told.namespaces[40].unit, told.mtu(40)) == ("new", "web.service", 1500)
    assert other.readings == 1


def test_a_namespace_that_is_left_is_forgotten(told: Told) -> None:
    follow(told, 40)
    told.look()
    told.network.leave(40)
    told.network.leave(41)
    del told.namespaces[40]
    assert told.look() == []


def test_one_namespace_that_cannot_be_read_stops_no_other(told: Told) -> None:
    bad, good = follow(told, 40), follow(told, 41)
    bad.fails[RTM_GETLINK] = errno.EPERM
    assert told.look() == [0, 40, 41]
    assert [one.unread for one in told.network.all()] == [False, True, False]
    told.change(good, 1400)
    told.network.announce(41)
    assert told.look() == [41]
    assert details(told)["interfaces"] == (
        False,
        "in 1 of 3 network namespaces not read: the kernel refuses to list its tables (EPERM)",
    )


def test_a_namespace_that_cannot_be_entered_says_why_and_is_tried_again(told: Told) -> None:
    other = follow(told, 40)
    other.refused = "the helper does not answer"
    assert [told.look() for _ in range(1 + int(PATIENCE_S))] == [[0], *[[]] * (int(PATIENCE_S) - 1), [40]]
    assert told.namespaces[40] == Namespace(40, unread=True)
    assert details(told)["routes"] == (False, "in 1 of 2 network namespaces not read: the helper does not answer")
    other.refused = ""
    assert told.look() == [40]
    assert told.mtu(40) == 1500


def test_without_a_way_into_other_namespaces_they_are_told_as_unread(told: Told) -> None:
    told.network = Network(told.clock, told.own.opens, told.news)
    told.network.follow(Namespace(40))
    assert [told.look() for _ in range(1 + int(PATIENCE_S))] == [[0], *[[]] * (int(PATIENCE_S) - 1), [40]]
    assert told.namespaces[40].unread


def test_what_nothing_ever_leads_into_is_told_at_once(told: Told) -> None:
    def refused(numbers: list[int]) -> Generator[tuple[int, socket.socket | SourceError], None, None]:
        for number in numbers:
            yield number, RefusedError("it cannot be entered")

    told.network = Network(told.clock, told.own.opens, told.news, refused)
    told.network.follow(Namespace(40))
    assert told.look() == [0, 40]
    assert told.namespaces[40].unread


def test_a_namespace_that_is_shut_while_it_ends_is_no_trouble(told: Told) -> None:
    other = follow(told, 40)
    told.look()
    other.refused = "No such file or directory"
    told.network.announce(40)
    for _ in range(int(PATIENCE_S)):
        assert told.look() == []
    assert details(told)["routes"] == (True, "")
    told.network.leave(40)
    del told.namespaces[40]
    assert told.look() == []


def test_many_namespaces_share_a_small_part_of_the_time_and_each_has_its_turn(told: Told) -> None:
    others = [follow(told, 40 + n) for n in range(100)]
    for other in others:
        other.takes = lambda: told.clock.go(0.001)
    assert len(told.look()) == 101
    before_us = told.clock.now_us
    for _ in range(1000):
        told.look()
    passed_s = (told.clock.now_us - before_us) / 1e6
    readings = [other.readings - 1 for other in others]
    assert sum(readings) * 0.004 <= following.OTHERS_SHARE * passed_s + 0.03
    assert min(readings) >= max(readings) - 1 >= 4


def test_at_the_end_news_are_no_longer_heard(told: Told) -> None:
    told.network.close()
    assert told.news.closed
