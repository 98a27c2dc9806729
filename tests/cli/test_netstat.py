"""The netstat layout where tests/system/test_netstat.py, which holds it to netstat(8) line for line, does not come, and
what is said beside the lines.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli.output.names import Numeric
from fleetnet_cli.output.netstat import inet
from fleetnet_cli.records import Owner, Socket
from fleetnet_proto.v1 import query_pb2, sockets_pb2

from cli import fleet


def socket(**changes: object) -> Socket:
    one = Socket(
        host="web1", netns="host", protocol="tcp", family="ipv4", state="ESTABLISHED", interface="", v6only=None,
        local_address="198.18.0.1", local_port=40000, remote_address="198.18.0.2", remote_port=443, recv_queue=0,
        send_queue=0, uid=0, user="root", inode=1, unit="", container="",
        owners=(Owner(20, "b", "", 0, "b"), Owner(3, "a", "", 0, "a")), owner_status="known", scope="", exposed="",
        opened_at_us=1, opened_at_is="seen", closed_at_us=0, closed_at_is="", last_seen_us=1, source="diag",
    )  # fmt: skip
    return replace(one, **changes)  # type: ignore[arg-type]  # the fields of a Socket by name


def test_the_lowest_pid_stands_for_all_owners() -> None:
    assert inet.line(socket(), Numeric(), inet.Layout(programs=True)).endswith(" 3/a                 \n")


def test_an_inferred_owner_of_an_unaccepted_connection_is_nobody_to_netstat() -> None:
    line = inet.line(socket(inode=0, owner_status="inferred"), Numeric(), inet.Layout(programs=True))
    assert line.endswith(" -                   \n")


def test_a_program_is_cut_and_padded_by_bytes() -> None:
    owner = Owner(7, "x", "", 0, "ü" * 18)
    line = inet.line(socket(owners=(owner,)), Numeric(), inet.Layout(programs=True))
    assert line.endswith(" 7/" + "ü" * 8 + " \n")


def test_a_hostile_program_cannot_leave_its_column() -> None:
    owner = Owner(7, "x", "", 0, "\x1b[2J\r\n‮x")
    line = inet.line(socket(owners=(owner,)), Numeric(), inet.Layout(programs=True))
    assert line.rstrip().endswith("7/.[2J...x")
    assert line.count("\n") == 1


def test_an_unconnected_udp_socket_has_no_state_and_a_strange_one_is_unknown() -> None:
    unconnected = socket(protocol="udp", state="CLOSE", remote_address="", remote_port=0)
    assert inet.line(unconnected, Numeric(), inet.Layout()).endswith("0.0.0.0:*                          \n")
    assert "UNKNOWN" in inet.line(socket(protocol="udp", state="unknown"), Numeric(), inet.Layout())


@pytest.mark.parametrize(
    ("options", "states", "listeners"),
    [
        ("-n", True, False),
        ("-an", False, False),
        ("-ln", False, True),
        ("-aln", False, False),
    ],
)
def test_what_is_shown_is_asked_for_and_not_sifted_here(
    options: str, states: bool, listeners: bool, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    fleetnet("netstat", "web1", options, "-t")
    request = canned.asked[0]
    assert isinstance(request, query_pb2.ListSocketsRequest)
    assert request.selection.host == "web1"
    assert list(request.protocols) == [sockets_pb2.PROTOCOL_TCP]
    assert request.listeners_only is listeners
    asked = set(request.states)
    assert bool(asked) is states
    assert sockets_pb2.STATE_LISTEN not in asked
    assert sockets_pb2.STATE_CLOSE not in asked
    assert not states or len(asked) == 9


@pytest.mark.parametrize(
    ("options", "packet"),
    [("-a -o json", True), ("-a", False), ("-ta -o json", False), ("-4a -o json", False), ("-x -o json", False)],
)
def test_packet_sockets_are_asked_for_where_a_document_is_to_have_everything(
    options: str, packet: bool, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    fleetnet("netstat", "web1", *options.split())
    request = canned.asked[0]
    assert isinstance(request, query_pb2.ListSocketsRequest)
    assert (sockets_pb2.PROTOCOL_PACKET in request.protocols) is packet


def test_an_unknown_host_is_an_error_with_the_nearest_name(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet("netstat", "wbe1")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == 'fleetnet: no host "wbe1" in this fleet, did you mean "web1"? "fleetnet hosts" lists them\n'
    ran = fleetnet("netstat", "somewhere-else")
    assert ran.err == 'fleetnet: no host "somewhere-else" in this fleet; "fleetnet hosts" lists them\n'


def test_queues_of_the_past_are_said_not_to_be_known(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet("netstat", "web1", "-an", "--at", "10m ago")
    assert ran.status == 3
    assert "Recv-Q and Send-Q are as last reported, not as they were then\n" in ran.err
    assert "as of 2026-03-01 13:00:00" in ran.err
    assert canned.asked[0].selection.at_us > 0  # type: ignore[union-attr]  # a question, not a token


def test_sockets_of_other_namespaces_are_counted_not_mixed_in(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.sockets = fleet.listeners()
    ran = fleetnet("netstat", "web1", "-an")
    assert "fe80" not in ran.out
    assert "1 socket in other network namespaces not shown" in ran.err


def test_nothing_there_is_a_heading_alone_and_status_1(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.sockets = []
    ran = fleetnet("netstat", "web1", "-n")
    assert ran.status == 1
    assert len(ran.out.splitlines()) == 4
    assert len(fleetnet("netstat", "web1", "-nt").out.splitlines()) == 2
    assert len(fleetnet("netstat", "web1", "-nx").out.splitlines()) == 2
    assert "no such sockets" in ran.err
