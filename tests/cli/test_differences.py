"""What differs between two answers: services and not sockets, each told once, and told to be unknown where it is."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from fleetnet_cli import wire
from fleetnet_cli.differences import (
    BEGAN,
    CHANGED,
    NOT_KNOWN,
    STOPPED,
    Difference,
    Doubt,
    Place,
    Program,
    between,
    place_of,
    program_of,
)
from fleetnet_cli.records import Owner, Socket
from hypothesis import example, given
from hypothesis import strategies as st

from cli import fleet

_NGINX = wire.socket(fleet.listeners()[2])
Service = tuple[str, Place, Program]


def listener(host: str = "web1", program: str = "nginx", pid: int = 812, **more: object) -> Socket:
    owners = (Owner(pid, program, f"/usr/sbin/{program}", pid, program),) if program else ()
    told: dict[str, object] = {"unit": f"{program}.service" if program else "", "inode": pid + 7, **more}
    return replace(_NGINX, host=host, owners=owners, **told)  # type: ignore[arg-type]  # the caller names fields


def all_known(host: str, was: bool, is_now: bool) -> tuple[Doubt, ...]:
    return ()


def told(before: Iterable[Socket], after: Iterable[Socket]) -> list[str]:
    return [difference.change for difference in between(before, after, all_known)]


def test_a_service_that_was_started_again_is_the_same() -> None:
    assert told([listener(pid=812)], [listener(pid=4711, opened_at_us=5)]) == []


def test_how_many_workers_share_a_port_does_not_matter() -> None:
    assert told([listener(pid=1)], [listener(pid=2), listener(pid=3), listener(pid=4)]) == []


def test_another_program_on_the_same_port_is_one_change() -> None:
    (difference,) = between([listener()], [listener(program="haproxy")], all_known)
    assert difference.change == CHANGED
    assert [each and each.owners[0].name for each in (difference.before, difference.after)] == ["nginx", "haproxy"]


def test_of_a_socket_that_was_left_to_another_program_it_is_not_said_that_it_began_then() -> None:
    was = listener(opened_at_us=5, inode=77)
    (handed_over,) = between([was], [listener(program="haproxy", opened_at_us=5, inode=77)], all_known)
    (opened_anew,) = between([was], [listener(program="haproxy", opened_at_us=9, inode=77)], all_known)
    assert [(one.change, one.happened_at_us) for one in (handed_over, opened_anew)] == [(CHANGED, 0), (CHANGED, 9)]


def test_one_of_two_programs_that_shared_a_port_has_stopped() -> None:
    (difference,) = between([listener(), listener(program="haproxy")], [listener()], all_known)
    assert difference.change == STOPPED
    assert difference.socket.owners[0].name == "haproxy"


def test_another_address_interface_or_namespace_is_another_service() -> None:
    for other in ({"local_address": "::1"}, {"interface": "eth1"}, {"netns": "blue", "netns_inode": 9}):
        assert sorted(told([listener()], [listener(**other)])) == [BEGAN, STOPPED]


def test_a_namespace_keeps_its_name_or_its_container_when_its_number_changes() -> None:
    for name in ({"netns": "blue"}, {"container": "0123abc"}):
        before, after = (listener(**{"netns": str(inode), "netns_inode": inode, **name}) for inode in (77, 78))  # type: ignore[arg-type]  # fields by name
        assert told([before], [after]) == []
    unnamed = [[listener(netns=str(inode), netns_inode=inode)] for inode in (77, 78)]
    assert sorted(told(*unnamed)) == [BEGAN, STOPPED]


def test_the_oldest_process_names_the_program() -> None:
    systemd, worker = Owner(1, "systemd", "", 1, ""), Owner(99, "sshd", "", 50, "")
    before, after = replace(_NGINX, owners=(systemd,)), replace(_NGINX, owners=(systemd, worker))
    assert told([before], [after]) == []


def test_a_scope_is_made_anew_for_each_login_and_does_not_count() -> None:
    assert told([listener(unit="session-3.scope")], [listener(unit="session-5.scope")]) == []
    assert told([listener(unit="a.service")], [listener(unit="b.service")]) == [CHANGED]


def test_where_the_process_is_not_known_the_rest_decides() -> None:
    unknown = listener(program="", owner_status="no-helper", unit="nginx.service")
    assert told([listener()], [unknown]) == []
    assert told([unknown], [listener()]) == []
    assert told([unknown], [listener(unit="haproxy.service")]) == [CHANGED]
    assert told([unknown], [listener(uid=33)]) == [CHANGED]


def test_hosts_of_one_answer_alone_are_in_the_order_of_their_bytes() -> None:
    before = [listener("a-b"), listener("web"), listener("web1"), listener("éa")]
    after = [listener("Web"), listener("a.b"), listener("web1"), listener("z")]
    assert [d.socket.host for d in between(before, after, all_known)] == ["Web", "a-b", "a.b", "web", "z", "éa"]


def test_what_is_not_known_has_neither_begun_nor_stopped() -> None:
    silent = Doubt(5, "silent", 3)

    def of_web2(host: str, was: bool, is_now: bool) -> tuple[Doubt, ...]:
        return (silent,) if host == "web2" and not was else ()

    found = list(between([], [listener("web1"), listener("web2")], of_web2))
    assert [(d.socket.host, d.change, d.doubts) for d in found] == [
        ("web1", BEGAN, ()),
        ("web2", NOT_KNOWN, (silent,)),
    ]


@dataclass
class Story:
    """A fleet whose services come and go."""

    draw: random.Random
    listeners: list[Socket]
    pid: int = 100

    def goes_on(self) -> None:
        """Some of what happens to services happens to some."""
        for _ in range(self.draw.randrange(12)):
            self.draw.choice((self.begins, self.begins, self.stops, self.restarts, self.gives_way))()

    def begins(self) -> None:
        port, host = self.draw.choice((22, 80, 443)), self.draw.choice(("a", "a-b", "ab", "é"))
        where = self.draw.choice(
            ({}, {"local_address": "::1"}, {"netns": "blue", "netns_inode": self.draw.choice((5, 6))})
        )
        self.listeners.append(self.new(listener(host, local_port=port, **where)))

    def stops(self) -> None:
        if self.listeners:
            self.listeners.remove(self.draw.choice(self.listeners))

    def restarts(self) -> None:
        if self.listeners:
            at = self.draw.randrange(len(self.listeners))
            self.listeners[at] = self.again(self.listeners[at])

    def gives_way(self) -> None:
        if self.listeners:
            at = self.draw.randrange(len(self.listeners))
            self.listeners[at] = self.new(self.listeners[at])

    def new(self, place: Socket) -> Socket:
        program = self.draw.choice(("nginx", "haproxy", "caddy"))
        return self.again(listener(program=program, **_where(place)))  # type: ignore[arg-type]  # fields by name

    def again(self, one: Socket) -> Socket:
        self.pid += 1
        owner = replace(one.owners[0], pid=self.pid, started_at_us=self.pid)
        return replace(one, owners=(owner,), inode=self.pid, opened_at_us=self.pid)

    def answer(self) -> list[Socket]:
        """In the documented order."""
        return sorted(self.listeners, key=lambda s: (s.host.encode(), s.netns_inode, s.local_port, s.local_address))


def _where(place: Socket) -> dict[str, object]:
    return {name: getattr(place, name) for name in ("host", "local_port", "local_address", "netns", "netns_inode")}


def services(sockets: Iterable[Socket]) -> set[Service]:
    return {(socket.host, place_of(socket), program_of(socket)) for socket in sockets}


def applied(to: set[Service], differences: Iterable[Difference]) -> set[Service]:
    """What is there afterwards, if what is told is true."""
    found = list(differences)
    gone = services(d.before for d in found if d.before)
    come = services(d.after for d in found if d.after)
    assert gone <= to, "what stopped was there"
    assert not come & to, "what began was not"
    return (to - gone) | come


@given(st.integers(0, 1 << 32))
@example(0)
def test_what_differs_applied_to_what_was_gives_what_is(seed: int) -> None:
    story = Story(random.Random(seed), [])
    story.goes_on()
    before = story.answer()
    story.goes_on()
    after = story.answer()
    found = list(between(before, after, all_known))
    assert applied(services(before), found) == services(after)
    back = list(between(after, before, all_known))
    assert applied(services(after), back) == services(before)
    assert list(between(before, before, all_known)) == []
    hosts = [difference.socket.host.encode() for difference in found]
    assert hosts == sorted(hosts)


def test_no_more_than_a_host_of_each_answer_is_held() -> None:
    taken = []

    def answer() -> Iterator[Socket]:
        for number in range(1000):
            taken.append(number)
            yield listener(f"host{number:04}", program=f"p{number}")

    first = next(between([], answer(), all_known))
    assert first.change == BEGAN
    assert len(taken) <= 2
