"""The netstat layout where tests/system/test_netstat.py, which holds it to netstat(8) line for line, does not come, and
what is said beside the lines.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli.output.names import Numeric
from fleetnet_cli.output.netstat import inet, unix
from fleetnet_cli.records import Owner, Socket
from fleetnet_proto.v1 import query_pb2, sockets_pb2

from cli import fleet, network


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


def unix_socket(inode: int, peer: int = 0, **changes: object) -> Socket:
    told = {"protocol": "unix", "family": "unix", "inode": inode, "peer_inode": peer, "type": "stream", "owners": ()}
    return socket(**{**told, **changes})


def references(*sockets: Socket, whole: bool = True) -> list[str]:
    """RefCnt of each, where these are all."""
    connections = unix.Connections()
    connections.whole = whole
    for one in sockets:
        connections.add(one)
    return [connections.references(one) for one in sockets]


def test_each_socket_that_has_another_as_its_peer_counts_for_it() -> None:
    log, clients = unix_socket(1, type="dgram", state="CLOSE"), [unix_socket(n, 1, type="dgram") for n in (2, 3)]
    assert references(log, *clients) == ["4", "2", "2"]
    assert references(unix_socket(1, 2), unix_socket(2, 1), unix_socket(3, 99)) == ["3", "3", "3"]


def test_who_waits_counts_and_who_lost_its_peer_does_not() -> None:
    listener = unix_socket(1, state="LISTEN", recv_queue=1)
    assert references(listener, unix_socket(2)) == ["2", "3"]
    assert references(unix_socket(2)) == ["2"]


def test_where_it_is_open_who_waits_the_count_is_open_too() -> None:
    listener = unix_socket(1, state="LISTEN", recv_queue=1)
    assert references(listener, unix_socket(2), unix_socket(3)) == ["2", "-", "-"]
    assert references(unix_socket(1, 2), unix_socket(2, 1), whole=False) == ["-", "-"]


def test_who_waits_stands_beneath_the_path_of_its_listener_in_nobodys_hands() -> None:
    listener = unix_socket(1, state="LISTEN", recv_queue=2, path=" a path\nof two lines")
    lines = [unix.line(one, unix.Connections(), inet.Layout(programs=True)) for one in unix.waiting(listener)]
    assert lines == ["unix  2      [ ]         STREAM     CONNECTING    0        -                    a\n"] * 2


def test_an_answer_that_was_cut_tells_no_references(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.sockets, canned.truncated = network.unix_sockets(), True
    ran = fleetnet("netstat", "web1", "-xa", "--limit", "1")
    assert "unix  -" in ran.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-A ipx", 'agents read nothing of a family "ipx"'),
        ("-A inet,inte6", 'did you mean "inet6"?'),
        ("-rx", "there are no routes of UNIX sockets; leave out -x"),
        ("-s46", "-s is of one family; ask for -4 or -6"),
        ("--context", "SELinux contexts are not read"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_does(
    options: str, said: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("netstat", "web1", *options.split())
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert said in ran.err
    assert not canned.asked


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


_QUEUES = "Recv-Q and Send-Q are as last reported, not as they were then"
_COUNTERS = "counters are not kept"


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        *((option, 3, _QUEUES) for option in ["", "-a", "-l", "-n", "-p", "-e", "-t", "-u", "-w", "-x", "-4", "-6"]),
        *((option, 3, _QUEUES) for option in ["-U", "-S", "-W", "-v", "-N", "-F", "-Ainet", "--numeric-ports"]),
        *((option, 3, _COUNTERS) for option in ["-i", "-ia", "-iW"]),
        *((option, 3, "protocol statistics are not kept") for option in ["-s", "-s6", "-st"]),
        *((option, 3, "timers are not kept") for option in ["--timers", "-tn --timers", "-x --timers"]),
        *((option, 0, "as of 2026-03-01 13:00:00") for option in ["-r", "-re", "-rn6", "-rF"]),
        ("-c", 2, "fleetnet watch"),
    ],
)
def test_of_the_past_what_is_not_kept_is_said_whatever_is_asked(
    options: str, status: int, said: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("netstat", "web1", *options.split(), "--at", "10m ago")
    assert ran.status == status
    assert said in ran.err


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
