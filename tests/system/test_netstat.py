"""`fleetnet netstat HOST` beside netstat(8) on that host, which is full of sockets, routes and interfaces of every
kind: each option by itself, and all pairs of those of sockets.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from system import every_route
from system.beside_netstat import Beside, Comparison, moved_lines, moved_numbers, moved_routes
from system.laboratory import Laboratory, be_patient, laboratory
from system.own_names import with_own_names
from system.pairwise import pairwise

from demo.fleet import Fleet
from demo.programs import Program

pytestmark = pytest.mark.root

_ALONE = [
    *("-a", "-l", "-n", "-p", "-e", "-ee", "-t", "-u", "-U", "-S", "-w", "-x", "-4", "-6", "-W", "-v", "-N", "-F"),
    *("--numeric-hosts", "--numeric-ports", "--numeric-users", "-Ainet", "-Ainet6,unix", "--timers"),
]
_PAIRED = pairwise(["-a", "-l", "-n", "-p", "-e", "-t", "-u", "-w", "-x", "-4", "-6", "-W", "--timers"])
SOCKETS = [*dict.fromkeys(" ".join(options) for options in [*([one] for one in _ALONE), *_PAIRED, ["-ape"]])]
ROUTES = ["-r", "-rn", "-re", "-reen", "-r6", "-rn6", "-rn46", "-rN", "-rvF", "-rW", "-r --numeric-hosts"]
COUNTERS = ["-i --live", "-ia --live", "-s", "-s6"]


@dataclass(frozen=True, slots=True)
class Zoo:
    """The host, who holds its sockets, and all that both have said of it in the same words."""

    beside: Beside
    keeper: Program
    said: list[str] = field(default_factory=list)

    def agree(self, options: str, compare: Comparison) -> list[str]:
        """Both say the same: this."""
        said = self.beside.agree(*options.split(), compare=compare)
        self.said.extend(said)
        return said


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    with laboratory(tmp_path_factory.mktemp("net")) as lab:
        yield opened(lab)


def opened(lab: Laboratory) -> Zoo:
    """A zoo whose agent has told of all that is there."""
    host, place = lab.fabric.add_host("zoo"), lab.fabric.add_host("collector")
    be_patient(host)
    every_route.make(host)
    host.run("sh", "-c", "echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range")
    keeper = lab.start(host, "every_kind", str(lab.directory))
    fleet = Fleet(lab.directory, lab.programs, with_own_names(place, lab.directory))
    fleet.start_collector()
    fleet.enroll("zoo", host)
    keeper.wait_for("^open", within_s=90.0)
    fleet.start_agent("zoo", host)
    fleet.wait_until_fresh("zoo")
    return Zoo(Beside(fleet, with_own_names(host, lab.directory), "zoo"), keeper)


@pytest.mark.parametrize("options", SOCKETS)
def test_sockets_are_those_of_netstat_line_for_line(options: str, zoo: Zoo) -> None:
    said = zoo.agree(options, moved_lines)
    assert len(said) > (1 if options == "-S" else 2), "this kernel has no SCTP; all else has lines"


@pytest.mark.parametrize("options", ROUTES)
def test_routes_are_those_of_netstat_line_for_line(options: str, zoo: Zoo) -> None:
    said = zoo.agree(options, moved_routes)
    assert len(said) > 6


@pytest.mark.parametrize("options", COUNTERS)
def test_counters_lie_between_those_of_netstat_before_and_after(options: str, zoo: Zoo) -> None:
    said = zoo.agree(options, moved_numbers)
    assert len(said) > 6


def test_timers_of_a_connection_that_just_closed_run_down_as_those_of_netstat(zoo: Zoo) -> None:
    zoo.keeper.tell("")
    zoo.keeper.wait_for("^again")
    zoo.agree("-t --timers", moved_lines)


def test_all_of_this_was_about_every_kind_of_line(zoo: Zoo) -> None:
    said = "\n".join(zoo.said)
    for kind in ["tcp ", "tcp6 ", "udp ", "udp6 ", "udpl ", "udpl6 ", "raw ", "raw6 ", "STREAM", "DGRAM", "SEQPACKET"]:
        assert kind in said
    for state in [*("LISTEN", "ESTABLISHED", "SYN_SENT", "FIN_WAIT2", "TIME_WAIT", "CLOSE_WAIT"), " CONNECTING "]:
        assert state in said
    for timer in ["off (", "on (", "keepalive (", "timewait (", "probe ("]:
        assert timer in said
    for way in [
        " UG ",
        " UH ",
        " ! ",
        " !H ",
        " Un ",
        " !n ",
        "-1  1",
        "default ",
        "near-net ",
        "forbidden ",
        "1440 5000",
    ]:
        assert way in said
    for name in ["a-near-host-with-a:http", "0.0.:a-service-with-a-v", "far-six.example.com:", "webcache", "nobody"]:
        assert name in said
    assert {letter for line in zoo.said if line[:2] in ("v0", "v1", "v2", "lo") for letter in line.split()[-1]} >= set(
        "ABLMOPRUd"
    )
