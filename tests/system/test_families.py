"""Sockets of every family on a host of their own: the agent beside ss, socket by socket; then a host in which
thousands of others come and go, of which none may be missed, doubled or taken for closed."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from system import families_oracles as theirs
from system import oracles
from system.laboratory import Laboratory

from demo.fabric import Host
from demo.programs import FailedError, Program, until

pytestmark = pytest.mark.root

_AGREE_S = 90.0  # both look at moments of their own
_FLOODS, _CONNECTIONS = 2, 25_000
_BUCKETS = 512
_CHILDREN_BUCKETS = "/proc/sys/net/ipv4/tcp_child_ehash_entries"  # Linux 6.1


def once(host: Host) -> list[dict[str, Any]]:
    """What the agent would send, with owners as root sees them."""
    printed = host.run(str(Path(sys.executable).with_name("fleetnet-agent")), "once", "-o", "json")
    items: list[dict[str, Any]] = json.loads(printed)["items"]
    return items


@pytest.fixture
def full(lab: Laboratory) -> Host:
    """A host with sockets of every family."""
    host = lab.fabric.add_host("families")
    directory = lab.directory / "s"
    directory.mkdir()
    lab.start(host, "families", str(directory)).wait_for(r"^open \d+")
    return host


@pytest.mark.parametrize(
    ("said", "ours", "least"),
    [
        pytest.param(theirs.unix, theirs.our_unix, 20, id="unix"),
        pytest.param(theirs.packet, theirs.our_packet, 2, id="packet"),
        pytest.param(theirs.raw, theirs.our_raw, 3, id="raw"),
        pytest.param(theirs.udplite, theirs.our_udplite, 0, id="udplite"),
        pytest.param(
            lambda host: set(oracles.of_ss(host)), lambda items: set(oracles.of_items(_inet(items))), 2, id="udp"
        ),
    ],
)
def test_the_agent_says_what_ss_says(
    full: Host,
    said: Callable[[Host], set[Any]],
    ours: Callable[[list[dict[str, Any]]], set[Any]],
    least: int,
) -> None:
    last: list[set[Any]] = []

    def agree() -> bool:
        last[:] = [ours(once(full)), said(full)]
        return last[0] == last[1]

    try:
        until(agree, within_s=_AGREE_S, what="an answer equal to that of ss")
    except FailedError:
        pytest.fail(f"ours only: {last[0] - last[1]}\ntheirs only: {last[1] - last[0]}")
    assert len(last[0]) >= least


def _inet(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in items if item["protocol"] in ("tcp", "udp")]


def test_every_socket_is_there_once(full: Host) -> None:
    items = once(full)
    names = [(item["protocol"], item["inode"]) for item in items if item["inode"]]
    assert len(names) == len(set(names))


def test_what_stays_open_stays_so_while_others_come_and_go(lab: Laboratory) -> None:
    host = lab.fabric.add_host("busy")
    assert_steadfast(lab.start(host, "steadfast", str(_FLOODS), str(_CONNECTIONS), str(lab.directory)))


def test_what_stays_open_stays_so_in_a_small_hash_table(lab: Laboratory) -> None:
    if not Path(_CHILDREN_BUCKETS).exists():
        pytest.skip(f"this kernel has no {_CHILDREN_BUCKETS}, so all namespaces share one large table")
    host = lab.fabric.add_host("small")
    # A child of a namespace gets the table that the namespace says its children get.
    inside = f'echo {_BUCKETS} > {_CHILDREN_BUCKETS} && exec unshare --net sh -c "ip link set lo up && exec $*"'
    program = lab.programs.start(
        "small",
        host.command(
            *("sh", "-c", inside, "sh", sys.executable, "-m", "system.steadfast"),
            *(str(_FLOODS), str(_CONNECTIONS), str(lab.directory)),
        ),
    )
    found = assert_steadfast(program)
    assert found["buckets"] == _BUCKETS


def assert_steadfast(program: Program) -> dict[str, Any]:
    """Its verdict, which is to be good, and worth something."""
    found: dict[str, Any] = json.loads(program.wait_for(r"^verdict (.*)$", within_s=100.0)[1])
    assert found["wrong"] == []
    assert found["churned"] == _FLOODS * _CONNECTIONS
    assert found["looks"] >= 2
    assert found["table_looks"] >= 20
    assert found["steady"] >= 2_000
    assert found["blind"] == []
    return found
