"""`fleetnet history`: what it asks for, and what it refuses."""

import json
from collections.abc import Callable

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli import times
from fleetnet_proto.v1 import query_pb2, sockets_pb2

from cli import fleet

DAY_US = 24 * fleet.HOUR_US


@pytest.fixture
def asked(canned: Canned) -> Canned:
    """A collector that knows what happened on web1."""
    canned.lives = fleet.lives()
    return canned


def question(canned: Canned) -> query_pb2.ListLivesRequest:
    (request,) = canned.asked
    assert isinstance(request, query_pb2.ListLivesRequest)
    return request


def test_every_filter_reaches_the_collector(asked: Canned, fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet(
        "history", "web1:https", "--since", "2026-02-27T13:00:00Z", "--until", "2026-02-28T13:00:00Z", "--tcp",
        "--state", "estab", "--state", "CLOSE_WAIT", "--process", "nginx", "--unit", "nginx.service", "--user", "root",
        "--limit", "9",
    )  # fmt: skip
    assert ran.status == 0
    request = question(asked)
    assert request.sockets.selection.host == "web1"
    assert request.sockets.selection.limit == 9
    assert request.sockets.selection.at_us - request.since_us == DAY_US
    assert [(ports.first, ports.last) for ports in request.sockets.local_ports] == [(443, 443)]
    assert list(request.sockets.states) == [sockets_pb2.STATE_ESTABLISHED, sockets_pb2.STATE_CLOSE_WAIT]
    assert list(request.sockets.protocols) == [sockets_pb2.PROTOCOL_TCP]
    told = request.sockets
    assert (told.process, told.unit, told.user) == ("nginx", "nginx.service", "root")


def test_without_times_it_is_the_last_day(asked: Canned, fleetnet: Callable[..., Ran]) -> None:
    before_us = times.now_us()
    assert fleetnet("history", "web1").status == 0
    request = question(asked)
    assert request.sockets.selection.at_us == 0
    assert before_us - DAY_US <= request.since_us <= times.now_us() - DAY_US
    assert not request.sockets.local_ports


def test_a_document_tells_of_each_item_what_it_is(asked: Canned, fleetnet: Callable[..., Ran]) -> None:
    items = json.loads(fleetnet("history", "web1", "-o", "json").out)["items"]
    assert [item["what"] for item in items] == ["socket", "socket", "agent-start", "gap", "socket"]
    assert all(item["host"] == "web1" for item in items)


def test_what_a_newer_collector_tells_of_is_an_error_and_not_left_out(
    asked: Canned, fleetnet: Callable[..., Ran]
) -> None:
    asked.lives.append(query_pb2.LifeItem())
    ran = fleetnet("history", "web1")
    assert ran.status == 2
    assert "upgrade fleetnet" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["web1:"], "is not HOST or HOST:PORT"),
        ([":443"], "is not HOST or HOST:PORT"),
        (["web1:no-such-service"], "is not a port"),
        (["web1", "--state", "CLOSEWEIT"], 'did you mean "CLOSE_WAIT"?'),
        (["web1", "--since", "1h ago", "--until", "2h ago"], "is not before"),
        (["nowhere"], 'no host "nowhere" in this fleet'),
    ],
)
def test_what_makes_no_sense_is_2(asked: Canned, fleetnet: Callable[..., Ran], arguments: list[str], said: str) -> None:
    ran = fleetnet("history", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
