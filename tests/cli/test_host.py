"""`fleetnet host`: what it puts together, and how it ends."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli import wire
from fleetnet_cli.lives import AgentStart, Gap
from fleetnet_cli.sheet import PEERS, put_together
from fleetnet_proto.v1 import query_pb2

from cli import fleet

HOST = wire.host(fleet.hosts()[0])
LISTENER, CONNECTION = wire.socket(fleet.listeners()[2]), wire.socket(fleet.connections()[1])


def test_what_is_exposed_comes_first_and_all_else_is_counted() -> None:
    inside, nearby = replace(LISTENER, exposed="unknown", local_port=2), replace(LISTENER, exposed="no", local_port=3)
    ends = ("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.2", "127.0.0.1", "::1")
    connections = [replace(CONNECTION, remote_address=end) for end in ends]
    hidden = replace(CONNECTION, owners=(), owner_status="no-helper", remote_address="")
    sheet = put_together(HOST, [], [nearby, inside, *connections, LISTENER, hidden], [])
    assert [socket.exposed for socket in sheet.listeners] == ["yes", "unknown", "no"]
    assert sheet.states == {("tcp", "CLOSE_WAIT"): 6, ("tcp", "LISTEN"): 3}
    assert sheet.peers == (("10.0.0.1", 2), ("10.0.0.2", 1))
    assert sheet.without_owners == {"no-helper": 1}


def test_only_the_ends_of_most_connections_are_named() -> None:
    connections = [replace(CONNECTION, remote_address=f"10.0.0.{n % 40}") for n in range(400)]
    assert len(put_together(HOST, [], connections, []).peers) == PEERS


def test_of_what_happened_sockets_are_left_out() -> None:
    gap, start = (
        Gap("db1", 1, 2, "away"),
        AgentStart("db1", 2, booted=False, agent_version="", kernel="", booted_at_us=0),
    )
    assert put_together(HOST, [], [], [start, LISTENER, gap]).lately == (start, gap)


@pytest.fixture
def web1(canned: Canned) -> Canned:
    """A collector that is asked about web1."""
    canned.coverage.hosts_asked = canned.coverage.hosts_fresh = 1
    return canned


def test_all_four_questions_are_about_the_same_time(web1: Canned, fleetnet: Callable[..., Ran]) -> None:
    assert fleetnet("host", "web1", "--at", "2026-02-28T13:00:00Z").status == 0
    told = [r.sockets.selection if isinstance(r, query_pb2.ListLivesRequest) else r.selection for r in web1.asked]  # type: ignore[union-attr]  # each has one
    assert len(told) == 4
    assert {selection.host for selection in told} == {"web1"}
    assert {selection.at_us for selection in told} == {fleet.AS_OF_US // 1_000_000 * 1_000_000 - 24 * fleet.HOUR_US}


def test_a_stale_host_is_3(web1: Canned, fleetnet: Callable[..., Ran]) -> None:
    web1.coverage.hosts_fresh = 0
    web1.coverage.hosts_stale.extend(fleet.stale(180, "web1"))
    for more in ([], ["-q"], ["-o", "json"]):
        assert fleetnet("host", "web1", *more).status == 3


def test_a_host_without_listeners_is_found_all_the_same(web1: Canned, fleetnet: Callable[..., Ran]) -> None:
    web1.sockets = []
    ran = fleetnet("host", "web1")
    assert ran.status == 0
    assert ran.out.endswith("nothing listens on web1: 1 host, fresh\n")


def test_an_unknown_host_is_2_and_its_nearest_name_is_told(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet("host", "wbe1")
    assert (ran.status, ran.out) == (2, "")
    assert 'did you mean "web1"?' in ran.err


def test_a_document_has_one_item(web1: Canned, fleetnet: Callable[..., Ran]) -> None:
    document = json.loads(fleetnet("host", "web1", "-o", "json").out)
    (item,) = document["items"]
    assert item["host"] == "web1"
    assert [each["local_port"] for each in item["listening"]] == [443, 80]
