"""Live looks: what is asked, what is shown, and what is said where there is none."""

import json
from collections.abc import Callable

import grpc
import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli import times
from fleetnet_cli.commands.netstat import asking
from fleetnet_cli.live import Timer
from fleetnet_cli.output.names import Numeric
from fleetnet_cli.output.netstat import inet
from fleetnet_proto.v1 import live_pb2, query_pb2

from cli import fleet, network

TOO_SOON = (grpc.StatusCode.RESOURCE_EXHAUSTED, "it was looked at a moment ago")
AWAY = (grpc.StatusCode.UNAVAILABLE, "no stream")


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_AGAIN_AFTER_S", 0.0)


def looks(canned: Canned) -> list[query_pb2.LiveRequest]:
    return [q for q in canned.asked if isinstance(q, query_pb2.LiveRequest)]


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("-tan", "--live"), live_pb2.LiveWanted(sockets=True, netns=0)),
        (("-tan", "--timers"), live_pb2.LiveWanted(sockets=True, netns=0)),
        (("-tan", "--live", "--netns", str(network.INSIDE)), live_pb2.LiveWanted(sockets=True, netns=network.INSIDE)),
        (("-s", "--netns", str(network.INSIDE)), live_pb2.LiveWanted(statistics=True, netns=network.INSIDE)),
        (("-tan", "--live", "-o", "json"), live_pb2.LiveWanted(sockets=True, details=True)),
        (("-i", "--live"), live_pb2.LiveWanted(interfaces=True, netns=0)),
        (("-s",), live_pb2.LiveWanted(statistics=True, netns=0)),
    ],
)
def test_a_live_look_asks_for_what_is_shown(
    options: tuple[str, ...], wanted: live_pb2.LiveWanted, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    assert fleetnet("netstat", "web1", *options).status == 0
    assert looks(canned) == [query_pb2.LiveRequest(host="web1", wanted=wanted)]


def test_a_live_look_is_sifted_as_history_is(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    def kinds(*options: str) -> set[str]:
        items = json.loads(fleetnet("netstat", "web1", "--live", "-o", "json", *options).out)["items"]
        return {f"{i['protocol']} {i['state']}" for i in items}

    assert kinds("-t") == {"tcp ESTABLISHED"}
    assert kinds("-xl") == {"unix LISTEN"}
    assert kinds("-x") == {"unix ESTABLISHED", "unix CLOSE"}
    assert kinds("-w") == set()
    assert kinds("-wl") == {"raw CLOSE"}
    assert kinds("-6a") == set()


@pytest.mark.parametrize(
    ("timer", "shown"),
    [
        (None, "off (0.00/0/0)"),
        (Timer(1, 219, 3), "on (0.21/3/0)"),
        (Timer(2, 7_196_204, 0), "keepalive (7196.20/0/0)"),
        (Timer(3, 59_999, 0), "timewait (59.99/0/0)"),
        (Timer(4, 1000, 2), "probe (1.00/0/2)"),
        (Timer(7, 10, 0), "unkn-7 (0.01/0/0)"),
    ],
)
def test_a_timer_is_written_as_netstat_does(timer: Timer | None, shown: str) -> None:
    from cli.test_netstat import socket

    assert inet.line(socket(), Numeric(), inet.Layout(timers=True), timer).endswith(f" {shown}\n")


def test_one_namespace_can_be_looked_at(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet("netstat", "web1", "-tn", "--live", "--netns", str(network.INSIDE))
    assert "50003" in ran.out
    assert "50001" not in ran.out
    assert "other network namespaces" not in ran.err


def test_a_look_that_came_too_soon_is_asked_for_once_more(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.live_refusals = [TOO_SOON]
    assert fleetnet("netstat", "web1", "-tn", "--live").status == 0
    assert len(looks(canned)) == 2


def test_a_look_that_is_too_soon_twice_is_said(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.live_refusals = [TOO_SOON, TOO_SOON]
    ran = fleetnet("netstat", "web1", "-tn", "--live")
    assert (ran.status, ran.out, len(looks(canned))) == (2, "", 2)
    assert ran.err == "fleetnet: web1 cannot be looked at yet (it was looked at a moment ago); wait a moment\n"


def test_a_host_that_is_away_is_said_with_what_to_do(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(times, "now_us", lambda: fleet.AS_OF_US)
    canned.live_refusals = [AWAY]
    ran = fleetnet("netstat", "web1", "-tn", "--live")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == ("fleetnet: web1 is not connected (last heard 3 h ago): leave out --live for what is kept\n")
    canned.live_refusals = [AWAY]
    assert "never heard): this is not kept" in fleetnet("netstat", "web2", "-s").err


def test_an_agent_that_is_there_and_silent_is_said_as_the_collector_does(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.live_refusals = [(grpc.StatusCode.UNAVAILABLE, "it does not answer; is it of an older version?")]
    ran = fleetnet("netstat", "db1", "-i", "--live")
    assert ran.status == 2
    assert "db1 cannot be looked at (it does not answer; is it of an older version?): leave out --live" in ran.err


@pytest.mark.parametrize("options", [("-tn", "--live"), ("-i", "--live"), ("-s",)])
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_look_that_is_not_whole_is_status_3_and_says_why(
    options: tuple[str, ...], output: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.trouble = "udp could not be read\x1b[2J"
    ran = fleetnet("netstat", "web1", *options, "-o", output)
    assert ran.status == 3
    assert "udp could not be read\\x1b[2J\n" in ran.err
    assert ran.out


def test_what_is_not_kept_of_the_past_is_status_3_and_a_contradiction_is_2(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    for options, status, said in [
        (("-s", "--at", "10m ago"), 3, "protocol statistics are not kept"),
        (("-t", "--timers", "--at", "10m ago"), 3, "timers are not kept"),
        (("-t", "--live", "--at", "10m ago"), 2, "--live shows what is now"),
        (("-r", "--live"), 2, "routes have nothing"),
        (("-r", "-i"), 2, "one at a time"),
        (("-i", "--timers"), 2, "--timers is of sockets"),
        (("-r", "--timers"), 2, "--timers is of sockets"),
        (("-ie",), 2, "ifconfig(8)"),
    ]:
        ran = fleetnet("netstat", "web1", *options)
        assert (ran.status, ran.out) == (status, "")
        assert said in ran.err
        assert ran.err.count("\n") == 1
    assert not canned.asked


@pytest.mark.parametrize("options", [("-r",), ("-i",), ("-s",), ("--live",), ("-t", "--netns", "x")])
def test_an_unknown_host_gets_the_nearest_name_whatever_is_asked(
    options: tuple[str, ...], canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("netstat", "wbe1", *options)
    assert (ran.status, ran.out) == (2, "")
    assert 'did you mean "web1"?' in ran.err


def test_an_unknown_namespace_is_said_with_those_there_are(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    for options in (("-t",), ("-r",), ("-i",), ("-s",)):
        ran = fleetnet("netstat", "web1", *options, "--netns", "blue")
        assert (ran.status, ran.out) == (2, "")
        assert 'web1 has no network namespace "blue"; there are host, 4026532281' in ran.err
    del canned.namespaces[1:]
    assert (
        'web1 has no network namespace "blue"; "host" is the only one'
        in fleetnet("netstat", "web1", *options, "--netns", "blue").err
    )


def test_sockets_of_a_namespace_are_those_of_its_name_or_inode(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.namespaces[1].namespace.name = "blue"
    for name in ("blue", "4026532281"):
        ran = fleetnet("netstat", "web1", "-tln", "--netns", name)
        assert "fe80::1:80" in ran.out
        assert ":::443" not in ran.out
    items = json.loads(fleetnet("netstat", "web1", "-tln", "--netns", "blue", "-o", "json").out)["items"]
    assert [i["netns_inode"] for i in items] == [4026532281]


def test_a_host_without_history_can_be_looked_at(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.namespaces = []
    ran = fleetnet("netstat", "web1", "-i", "--live")
    assert ran.status == 0
    assert [line.split()[0] for line in ran.out.splitlines()[2:]] == ["eth0", "new0"]
    assert fleetnet("netstat", "web1", "-s").status == 0
