"""Two thousand sockets in every state: our answers beside those of ss and netstat, which are run on the host itself."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest
from system import oracles
from system.laboratory import laboratory
from system.population import populate

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import FailedError, until

pytestmark = pytest.mark.root

# Both tools look at moments of their own, and TIME_WAIT ends by itself: what differs once may agree soon after.
_AGREE_S = 90.0
_STATES = {
    *("ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"),
    *("CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"),
}


@dataclass(frozen=True, slots=True)
class Full:
    """A fleet with one host that is full of sockets."""

    fleet: Fleet
    host: Host


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    with laboratory(tmp_path_factory.mktemp("full")) as lab:
        host, far = lab.fabric.add_host("full"), lab.fabric.add_host("far")
        fleet = lab.fleet()
        fleet.enroll("full", host)
        populate(lab, host, far)
        fleet.start_agent("full", host)
        fleet.wait_until_fresh("full")
        yield Full(fleet, host)


def test_json_equals_ss_socket_by_socket(full: Full) -> None:
    ours, theirs = [oracles.of_ss(full.host)], [oracles.of_ss(full.host)]

    def agree() -> bool:
        theirs[:] = [oracles.of_ss(full.host)]
        ours[:] = [oracles.of_items(full.fleet.expect(0, "netstat", "full", "-tuan", "-o", "json").items)]
        return ours == theirs

    assert len(theirs[0]) >= 2000
    assert {row.state for row in theirs[0]} == _STATES
    assert {len(row.owners) for row in theirs[0]} >= {0, 1, 4}
    try:
        until(agree, within_s=_AGREE_S, what="an answer equal to that of ss")
    except FailedError:
        ours_only, theirs_only = Counter(ours[0]) - Counter(theirs[0]), Counter(theirs[0]) - Counter(ours[0])
        pytest.fail(
            f"{len(ours_only)} rows are ours only, {len(theirs_only)} those of ss only:\n"
            + _some(ours_only, theirs_only)
        )


def test_netstat_prints_what_netstat_prints(full: Full) -> None:
    options = "-tuanp"  # of all others test_netstat.py knows, on a host with fewer states
    ours: list[str] = []
    theirs: list[str] = []

    def agree() -> bool:
        theirs[:] = full.host.run("netstat", options).splitlines()
        ours[:] = full.fleet.expect(0, "netstat", "full", options).output.splitlines()
        return sorted(ours) == sorted(theirs)

    try:
        until(agree, within_s=_AGREE_S, what="an answer equal to that of netstat")
    except FailedError:
        pytest.fail(f"with {options}:\n" + _some(Counter(ours) - Counter(theirs), Counter(theirs) - Counter(ours)))
    assert ours[:2] == theirs[:2], "the heading comes first"
    assert len(ours) > 10


def _some(ours_only: Iterable[object], theirs_only: Iterable[object]) -> str:
    lines = [f"ours:   {row}" for row in list(ours_only)[:8]] + [f"theirs: {row}" for row in list(theirs_only)[:8]]
    return os.linesep.join(lines)
