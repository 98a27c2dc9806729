"""Namespaces beside the own one, on a helper that says what a test wants: its sockets are those of this machine."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent.proc_tree import Clock, ProcTree, fixture_host
from fleetnet_agent.helper.client import HelperUnavailableError, Inside
from fleetnet_agent.helper.entering import NETLINK_ROUTE
from fleetnet_agent.helper.requests import TABLE_FILES, Kind, Listed, Listing
from fleetnet_agent.namespaces import HELPER_RESTS_US, Namespaces, name_of
from fleetnet_agent.neighbours import ENDING_US
from fleetnet_agent.owners.lookup import OwnerLookup
from fleetnet_agent.places import place_in
from fleetnet_agent.records import Difference, LiveSocket, LiveWanted, SocketKey, SourceStatus, Trouble
from fleetnet_agent.sources.diag import NETLINK_SOCK_DIAG, DiagSocket
from fleetnet_agent.watch import Watch

OWN, THERE = 1, 7
CONTAINER = "ab" * 32


def listed(inode: int = THERE, nsid: int | None = 3) -> Listed:
    return Listed(inode, ("/run/netns/blue",), (10,), nsid)


class ScriptedHelper:
    """Lists what it was told to, and opens this machine's own diagnostics for any namespace."""

    def __init__(self) -> None:
        self.there: tuple[Listed, ...] = (listed(),)
        self.numbers: frozenset[int] | None = frozenset({3})
        self.refused = ""
        self.away = False
        self.opens = "diag"
        self.asked = 0

    def namespaces(self) -> Listing:
        self.asked += 1
        if self.away:
            raise HelperUnavailableError("away")
        return Listing(OWN, True, (Listed(OWN, (), (1,), None), *self.there), self.numbers, "")

    def open(self, kind: Kind, inodes: list[int]) -> Inside:
        if self.away:
            raise HelperUnavailableError("away")
        if self.refused:
            return Inside((), dict.fromkeys(inodes, self.refused))
        return Inside([(inode, name, one) for inode in inodes for name, one in self._opened(kind)], {})

    def _opened(self, kind: Kind) -> list[tuple[str, int]]:
        if kind is Kind.ROUTE:
            return [("route", socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE).detach())]
        diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG).detach()
        files = TABLE_FILES if kind is Kind.TABLES else ()
        return [(self.opens, diag), *((name, os.open(f"/proc/self/net/{name}", os.O_RDONLY)) for name in files)]


def held() -> int:
    """Descriptors that this process has open."""
    return len(os.listdir("/proc/self/fd"))


class Told:
    """A watch on the scripted namespaces alone, and what its differences come to."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.keys: set[SocketKey] = set()

    def look(self) -> Difference:
        before = held()
        difference = self.watch.look(everything=True)
        self.keys -= {closed.key for closed in difference.closed}
        self.keys |= {row.key for row in difference.opened}
        assert {row.key for row in difference.changed} <= self.keys
        assert {row.key for row in self.watch.snapshot().sockets} == self.keys
        assert held() <= before  # others of this process may close some meanwhile
        return difference

    def live(self, netns: int) -> list[LiveSocket]:
        items = list(self.watch.live(LiveWanted(sockets=True, netns=netns)))
        found = [item for item in items if isinstance(item, LiveSocket)]
        assert len(found) == len(items)
        return found

    def troubles(self, netns: int) -> list[str]:
        items = self.watch.live(LiveWanted(sockets=True, netns=netns))
        return [item.sentence for item in items if isinstance(item, Trouble)]

    def has(self, one: socket.socket) -> bool:
        port, inode = one.getsockname()[1], os.fstat(one.fileno()).st_ino
        rows = [row for row in self.watch.snapshot().sockets if (row.local_port, row.inode) == (port, inode)]
        assert {row.key.netns for row in rows} <= {THERE}
        return bool(rows)

    @property
    def status(self) -> SourceStatus:
        (status,) = [status for status in self.watch.snapshot().sources if status.name == "namespaces"]
        return status


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def helper() -> ScriptedHelper:
    return ScriptedHelper()


@pytest.fixture
def told(tmp_path: Path, clock: Clock, helper: ScriptedHelper) -> Iterator[Told]:
    proc = ProcTree(tmp_path / "proc")
    (proc.root / "self/net").mkdir(parents=True)
    (proc.root / "self/net/protocols").write_bytes(Path("/proc/self/net/protocols").read_bytes())
    proc.add(10, sockets=[])
    (proc.root / "10" / "cgroup").write_text(f"0::/system.slice/docker-{CONTAINER}.scope\n")
    host = fixture_host(proc.root, clock)
    namespaces = Namespaces(host, helper, wanted="all")
    namespaces._own = OWN  # the fixture's /proc has no namespaces
    watch = Watch(host, OwnerLookup(host, None, is_root=True), [], DiagSocket(), namespaces=namespaces)
    yield Told(watch)
    watch.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def test_a_namespace_is_told_with_what_lives_in_it_and_its_sockets_under_its_inode(
    told: Told, listener: socket.socket
) -> None:
    first = told.look()
    assert told.has(listener)
    place = {"container": CONTAINER, "unit": f"docker-{CONTAINER}.scope"}
    (own, other) = first.namespaces
    assert (own.netns, own.name) == (0, "")
    assert (other.netns, other.name, other.container, other.unit) == (THERE, "blue", *place.values())
    assert {"lo"} <= {interface.name for interface in other.interfaces}
    assert not other.unread
    assert told.look().namespaces == ()
    assert told.status == SourceStatus("namespaces", True, "")


def test_a_live_look_at_one_namespace_leaves_the_others_alone(
    told: Told, helper: ScriptedHelper, listener: socket.socket
) -> None:
    told.look()
    [there] = [item for item in told.live(THERE) if item.socket.inode == os.fstat(listener.fileno()).st_ino]
    assert there.socket.key.netns == THERE
    helper.refused = "nobody is to enter"
    assert told.live(0) == []
    with pytest.raises(AssertionError):
        told.live(THERE)


def test_a_live_look_at_a_namespace_that_is_not_there_says_so(told: Told, helper: ScriptedHelper) -> None:
    told.look()
    assert told.troubles(0) == told.troubles(THERE) == []
    assert told.troubles(THERE + 1) == [
        f"there is no network namespace {THERE + 1} on this host now, or it is not read"
    ]


def test_what_cannot_be_entered_stays_as_it_was_and_becomes_a_gap(
    told: Told, helper: ScriptedHelper, listener: socket.socket
) -> None:
    first = told.look()
    helper.refused = "Operation not permitted"
    port_was_there = told.has(listener)
    listener.close()
    difference = told.look()
    assert port_was_there
    assert (difference.closed, difference.gaps, difference.namespaces_gone) == ((), (), ())
    assert told.status.detail == "not read, and shown as seen last: blue (Operation not permitted)"
    assert not told.status.blind, "the host itself goes on"
    helper.refused = ""
    difference = told.look()
    assert difference.closed
    (gap,) = difference.gaps
    assert (gap.from_us, gap.to_us) == (first.look_at_us, difference.look_at_us)
    assert gap.reason == "network namespace blue could not be read: Operation not permitted"
    assert told.status.ok


def test_what_was_opened_under_another_name_is_not_taken_for_a_socket(told: Told, helper: ScriptedHelper) -> None:
    helper.opens = "route"
    told.look()
    assert told.keys == set()
    assert "the helper opened something else" in told.status.detail


def test_a_namespace_whose_number_was_taken_back_has_ended(told: Told, helper: ScriptedHelper) -> None:
    told.look()
    helper.there, helper.numbers = (), frozenset()
    difference = told.look()
    assert told.keys == set()
    assert (difference.namespaces_gone, difference.gaps) == ((THERE,), ())
    assert [one.netns for one in told.watch.snapshot().namespaces] == [0]
    assert told.look().empty


def test_a_namespace_that_nothing_leads_to_but_that_has_its_number_stays_as_it_was(
    told: Told, helper: ScriptedHelper, listener: socket.socket, clock: Clock
) -> None:
    told.look()
    helper.there = ()
    for _ in range(3):
        difference = told.look()
        assert (difference.closed, difference.namespaces_gone) == ((), ())
        assert told.status.ok, "it may be on its way out"
    clock.go(ENDING_US / 1_000_000)
    assert told.look().closed == ()
    assert told.has(listener)
    assert "has not ended" in told.status.detail


def test_of_a_namespace_without_a_number_the_end_is_taken_for_sure_after_two_lists_with_a_gap(
    told: Told, helper: ScriptedHelper
) -> None:
    helper.there, helper.numbers = (listed(nsid=None),), None
    told.look()
    assert told.keys
    helper.there = ()
    assert told.look().closed == ()
    difference = told.look()
    assert (told.keys, difference.namespaces_gone) == (set(), (THERE,))
    (gap,) = difference.gaps
    assert "nobody knows since when" in gap.reason


def test_another_namespace_with_the_inode_of_one_that_ended_has_sockets_of_its_own(
    told: Told, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiagSocket, "namespace_cookie", lambda self: 100)
    told.look()
    before = set(told.keys)
    monkeypatch.setattr(DiagSocket, "namespace_cookie", lambda self: 101)
    difference = told.look()
    assert {closed.key for closed in difference.closed} == before
    assert told.has(listener)
    assert difference.namespaces_gone == ()
    assert [one.netns for one in difference.namespaces] == [THERE]


def test_a_helper_that_is_away_is_left_in_peace_for_a_while_and_asked_again_then(
    told: Told, helper: ScriptedHelper, clock: Clock, listener: socket.socket
) -> None:
    told.look()
    helper.away = True
    told.look()
    asked = helper.asked
    for _ in range(3):
        told.look()
    assert helper.asked == asked
    assert told.has(listener)
    assert "the helper does not answer (away)" in told.status.detail
    helper.away = False
    clock.go(HELPER_RESTS_US / 1_000_000)
    assert told.look().gaps
    assert told.status.ok


@pytest.mark.parametrize(
    ("mounts", "name"),
    [
        ((), ""),
        (("/run/docker/netns/5f3a", "/run/netns/blue"), "blue"),
        (("/var/run/netns/cni-1",), "cni-1"),
        (("/mnt/b", "/mnt/a"), "a"),
        (("/run/netns/\udcff",), "?"),
    ],
)
def test_a_namespace_is_called_as_ip_netns_calls_it_else_by_its_file(mounts: tuple[str, ...], name: str) -> None:
    assert name_of(mounts) == name


@pytest.mark.parametrize(
    ("text", "container", "unit"),
    [
        ("", "", ""),
        ("0::/system.slice/ssh.service\n", "", "ssh.service"),
        (f"12:pids:/docker/{CONTAINER}\n0::/\n", CONTAINER, ""),
        (
            f"1:name=systemd:/user.slice\n0::/system.slice/docker-{CONTAINER}.scope\n",
            CONTAINER,
            f"docker-{CONTAINER}.scope",
        ),
        ("0\n::\nnonsense", "", ""),
    ],
)
def test_a_process_tells_its_place_by_either_kind_of_control_groups(text: str, container: str, unit: str) -> None:
    place = place_in(text)
    assert (place.container, place.unit) == (container, unit)


@pytest.mark.parametrize("mark", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_no_name_of_a_control_group_makes_a_line_of_its_own(mark: str) -> None:
    # The kernel refuses a line feed in it and nothing else.
    place = place_in(f"1:pids:/mine{mark}0::/system.slice/sshd.service\n0::/user.slice/mine.service\n")
    assert (place.container, place.unit) == ("", "mine.service")


def test_descriptors_are_closed_even_where_the_caller_stops_in_the_middle(
    told: Told, helper: ScriptedHelper, tmp_path: Path, clock: Clock
) -> None:
    helper.there = tuple(listed(inode) for inode in range(7, 20))
    namespaces = Namespaces(fixture_host(tmp_path / "proc", clock), helper, wanted="all")
    namespaces.ask()
    before = len(os.listdir("/proc/self/fd"))
    with contextlib.suppress(ZeroDivisionError):
        for netns, _ in namespaces.inside(Kind.DIAG, namespaces.others):
            if netns == 9:
                raise ZeroDivisionError
    assert len(os.listdir("/proc/self/fd")) == before
    namespaces.close()
