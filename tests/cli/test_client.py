"""The border to the collector: what each failure becomes, and that a broken answer never looks whole."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import grpc
import pytest
from cli.canned import Canned, serve
from cli.conftest import Ran
from fleetnet_cli import errors, exits, wire
from fleetnet_cli.client import Collector, Stream, translated
from fleetnet_cli.live import LiveQuestion
from fleetnet_cli.records import Selection, SocketQuestion
from fleetnet_cli.settings import Destination
from fleetnet_cli.states import STATES
from fleetnet_proto.v1 import query_pb2, query_pb2_grpc, sockets_pb2

from cli import fleet

BECOMES: dict[grpc.StatusCode, type[errors.CliError]] = {
    grpc.StatusCode.CANCELLED: errors.Unreachable,
    grpc.StatusCode.UNKNOWN: errors.CollectorFailed,
    grpc.StatusCode.INVALID_ARGUMENT: errors.UsageError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.Unreachable,
    grpc.StatusCode.NOT_FOUND: errors.UnknownHost,
    grpc.StatusCode.ALREADY_EXISTS: errors.CollectorFailed,
    grpc.StatusCode.PERMISSION_DENIED: errors.NotAuthorised,
    grpc.StatusCode.UNAUTHENTICATED: errors.NotAuthorised,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.CollectorFailed,
    grpc.StatusCode.FAILED_PRECONDITION: errors.CollectorFailed,
    grpc.StatusCode.ABORTED: errors.CollectorFailed,
    grpc.StatusCode.OUT_OF_RANGE: errors.UsageError,
    grpc.StatusCode.UNIMPLEMENTED: errors.CollectorTooOld,
    grpc.StatusCode.INTERNAL: errors.CollectorFailed,
    grpc.StatusCode.UNAVAILABLE: errors.Unreachable,
    grpc.StatusCode.DATA_LOSS: errors.CollectorFailed,
}
STATUS = {
    errors.UsageError: exits.FAILED,
    errors.UnknownHost: exits.FAILED,
    errors.CollectorFailed: exits.FAILED,
    errors.CollectorTooOld: exits.FAILED,
    errors.HostAway: exits.FAILED,
    errors.TooSoon: exits.FAILED,
    errors.OutputFailed: exits.FAILED,
    errors.BrokenAnswer: exits.PARTIAL,
    errors.NotKept: exits.PARTIAL,
    errors.NotAuthorised: exits.DENIED,
    errors.Unreachable: exits.UNREACHABLE,
}


@pytest.mark.parametrize("code", list(BECOMES), ids=lambda c: c.name)
def test_every_status_of_grpc_becomes_one_of_our_errors(code: grpc.StatusCode, canned: Canned) -> None:
    canned.refuses = (code, "because")
    question = SocketQuestion(Selection(host="web1"))
    with Collector(Destination(os.environ["FLEETNET_SERVER"].removeprefix("unix://")), 10) as collector:
        with pytest.raises(errors.CliError) as refused:
            collector.sockets(question)
        assert type(refused.value) is BECOMES[code]


@pytest.mark.parametrize("code", list(BECOMES), ids=lambda c: c.name)
def test_every_status_of_a_live_look_becomes_one_of_our_errors(code: grpc.StatusCode, canned: Canned) -> None:
    becomes = {grpc.StatusCode.UNAVAILABLE: errors.HostAway, grpc.StatusCode.RESOURCE_EXHAUSTED: errors.TooSoon}
    canned.live_refusals = [(code, "because")]
    with Collector(Destination(os.environ["FLEETNET_SERVER"].removeprefix("unix://")), 10) as collector:
        with pytest.raises(errors.CliError) as refused:
            collector.live(LiveQuestion("web1", sockets=True))
        assert type(refused.value) is {**BECOMES, **becomes}[code]


def test_the_walk_forgets_no_status() -> None:
    assert set(BECOMES) == set(grpc.StatusCode) - {grpc.StatusCode.OK}


def test_a_refused_token_is_told_in_the_collectors_own_sentence(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.refuses = (grpc.StatusCode.ALREADY_EXISTS, 'host "web1" is in the fleet; forget it first')
    ran = fleetnet("token", "create", "--host", "web1")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == 'fleetnet: host "web1" is in the fleet; forget it first\n'


def test_every_error_knows_its_exit_status_and_the_module_draws_them_all() -> None:
    def tree(kind: type[errors.CliError]) -> list[type[errors.CliError]]:
        return [k for sub in kind.__subclasses__() for k in [sub, *tree(sub)]]

    assert {k: k.exit_status for k in tree(errors.CliError)} == STATUS
    assert all(k.__name__ in (errors.__doc__ or "") for k in STATUS)


@pytest.mark.parametrize("through", [True, False], ids=["read to its end", "left early"])
def test_when_an_answer_is_left_grpc_has_done_with_it(through: bool, canned: Canned) -> None:
    with Collector(Destination(os.environ["FLEETNET_SERVER"].removeprefix("unix://")), 10) as collector:
        answer = collector.sockets(SocketQuestion(Selection()))
        with contextlib.closing(iter(answer)) as items:  # type: ignore[type-var]  # it is a generator
            for _ in items:
                if not through:
                    break
        # Else its thread may hold the lock of the call when Python ends, and the command line would hang for ever.
        assert answer._ended.is_set()


class Interrupted:
    """A call during which somebody presses Ctrl-C; a real one cannot be had to be just there."""

    def __init__(self) -> None:
        self.ended: Callable[[], None] | None = None
        self.left = False

    def __next__(self) -> NoReturn:
        raise KeyboardInterrupt

    def cancel(self) -> None:
        assert self.ended is not None
        self.left = True
        self.ended()

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self.ended = callback
        return True


def test_an_interrupt_before_the_first_word_leaves_the_call_too() -> None:
    call = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        Stream(call, lambda _message: (), 10, translated)
    assert call.left


@pytest.mark.parametrize("arguments", [("who-listens",), ("who-listens", "-o", "json"), ("netstat", "web1", "-an")])
@pytest.mark.parametrize("how", ["breaks", "forgets its end"])
def test_an_answer_that_breaks_off_is_status_3_and_never_looks_whole(
    arguments: tuple[str, ...], how: str, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.sockets = canned.sockets * 2
    canned.breaks_after_pages = 1 if how == "breaks" else None
    canned.forgets_the_end = how != "breaks"
    ran = fleetnet(*arguments)
    assert ran.status == 3
    assert ran.err.startswith("fleetnet: the answer broke off after ")
    assert "all fresh" not in ran.out
    assert ran.out.splitlines()[1:], "what came is shown"
    with pytest.raises(json.JSONDecodeError):
        json.loads(ran.out)


def test_an_answer_that_was_held_back_for_its_limit_is_not_begun_when_it_breaks(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.breaks_after_pages = 1
    ran = fleetnet("who-listens", "--limit", "3", "-o", "json")
    assert (ran.status, ran.out) == (3, "")


def test_counts_of_a_broken_answer_are_not_given(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.breaks_after_pages = 1
    ran = fleetnet("who-holds", "LISTEN", "--by", "host")
    assert (ran.status, ran.out) == (3, "")


def test_a_cut_is_said_in_both_formats(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.truncated = True
    ran = fleetnet("who-listens", "--limit", "4")
    assert ran.status == 0
    assert ran.out.endswith("4 hosts, all fresh; cut at 4 by --limit, there is more\n")
    document = json.loads(fleetnet("who-listens", "--limit", "4", "-o", "json").out)
    assert document["coverage"]["truncated"] is True


def test_a_cut_that_nobody_asked_for_is_no_whole_document(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.truncated = True
    ran = fleetnet("who-listens", "-o", "json")
    assert ran.status == 3
    with pytest.raises(json.JSONDecodeError):
        json.loads(ran.out)


def test_a_limit_on_counts_cuts_the_counts_and_not_what_is_counted(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    document = json.loads(fleetnet("who-holds", "LISTEN", "--by", "host", "--limit", "1", "-o", "json").out)
    assert document["items"] == [{"host": "web1", "count": 2}]
    assert document["coverage"]["truncated"] is True
    assert canned.asked[0].selection.limit == 0  # type: ignore[union-attr]  # a question, not a token


def test_min_alone_counts_by_host_and_can_leave_nothing(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    document = json.loads(fleetnet("who-holds", "LISTEN", "--min", "2", "-o", "json").out)
    assert (document["kind"], document["items"]) == ("CountList", [{"host": "web1", "count": 2}])
    ran = fleetnet("who-holds", "LISTEN", "--min", "9")
    assert ran.status == 1
    assert ran.out == "nobody holds 9 or more sockets in LISTEN: 4 hosts, all fresh\n"


def test_an_empty_fleet_and_a_glob_that_matches_nobody_say_so(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.sockets = []
    canned.coverage.hosts_asked = canned.coverage.hosts_fresh = 0
    assert 'no hosts in this fleet yet; "fleetnet token create' in fleetnet("who-listens").out
    ran = fleetnet("who-listens", "--host", "x*")
    assert (ran.status, 'no host matches "x*"' in ran.out) == (1, True)
    assert 'no host matches "x*" or "y*"' in fleetnet("who-listens", "--host", "x*", "--host", "y*").out


def test_a_question_arrives_as_it_was_asked(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    fleetnet(
        "who-listens", "https", "8000-8010", "--tcp", "--exposed", "--process", "nginx", "--unit", "nginx.service",
        "--user", "root", "--host", "web*", "--max-age", "90s", "--limit", "7", "--at", "2026-01-01T00:00:00Z",
    )  # fmt: skip
    assert canned.asked == [
        query_pb2.ListSocketsRequest(
            selection=query_pb2.Selection(host_glob="web*", at_us=1_767_225_600_000_000, max_age_ms=90_000, limit=7),
            protocols=[sockets_pb2.PROTOCOL_TCP],
            local_ports=[query_pb2.PortRange(first=443, last=443), query_pb2.PortRange(first=8000, last=8010)],
            listeners_only=True,
            exposed_only=True,
            process="nginx",
            unit="nginx.service",
            user="root",
        )
    ]


_HTTPS = query_pb2.PortRange(first=443, last=443)
_WEB = query_pb2.Label(key="role", value="web")
_PEER = query_pb2.Net(address=bytes([10, 0, 0, 5]), prefix_bits=32)
_TEN = query_pb2.Net(address=bytes([10, 0, 0, 0]), prefix_bits=8)
_SINCE_US = 1_767_225_600_000_000


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("who-talks-to", "10.0.0.5"), query_pb2.FindSocketsRequest(remote=_PEER)),
        (("who-talks-to", "10.0.0.5:https"), query_pb2.FindSocketsRequest(remote=_PEER, remote_port=443)),
        (
            ("who-talks-to", "10.0.0.0/8", "--since", "2026-01-01T00:00:00Z"),
            query_pb2.FindSocketsRequest(remote=_TEN, opened_since_us=_SINCE_US),
        ),
        (
            ("who-talks-to", "10.0.0.5:443,5000-5009"),
            query_pb2.SeekSocketsRequest(
                remotes=[_PEER], remote_ports=[_HTTPS, query_pb2.PortRange(first=5000, last=5009)]
            ),
        ),
        (("who-talks-to", ":443"), query_pb2.SeekSocketsRequest(remote_ports=[_HTTPS])),
        (
            ("who-talks-to", "10.0.0.5", "--container", "c0ffee"),
            query_pb2.SeekSocketsRequest(remotes=[_PEER], container="c0ffee"),
        ),
        (
            ("who-talks-to", "10.0.0.5", "--host", "web*", "--host", "db*"),
            query_pb2.SeekSocketsRequest(remotes=[_PEER], host_globs=["web*", "db*"]),
        ),
        (("hosts", "--host", "web*", "--host", "db*"), query_pb2.SeekHostsRequest(host_globs=["web*", "db*"])),
        (
            ("hosts", "--host", "web*", "--label", "role=web", "--label", "env"),
            query_pb2.SeekHostsRequest(host_globs=["web*"], labels=[_WEB, query_pb2.Label(key="env")]),
        ),
        (("who-holds", "ESTAB", "--label", "role=web"), query_pb2.SeekSocketsRequest(labels=[_WEB])),
        (
            ("hosts", "--host", "web*", "--host", "web*"),
            query_pb2.ListHostsRequest(selection=query_pb2.Selection(host_glob="web*")),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_question_is_asked_in_the_oldest_form_that_has_a_place_for_it(
    arguments: tuple[str, ...], asked: object, canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    assert fleetnet(*arguments).status == 0
    for request in canned.asked:  # what the forms have in common is another matter
        if isinstance(request, query_pb2.FindSocketsRequest | query_pb2.SeekSocketsRequest):
            request.ClearField("sockets")
        elif isinstance(request, query_pb2.SeekHostsRequest):
            request.ClearField("hosts")
    assert canned.asked == [asked]


class Older(Canned):
    """One of before there were questions that may grow."""

    SeekSockets = query_pb2_grpc.QueryServiceServicer.SeekSockets  # type: ignore[assignment]  # which is not there
    SeekHosts = query_pb2_grpc.QueryServiceServicer.SeekHosts  # type: ignore[assignment]  # likewise


@pytest.mark.parametrize(
    "arguments",
    [
        ("who-listens", "443", "--cidr", "10.0.0.0/8"),
        ("who-talks-to", "10.0.0.5", "--container", "c0ffee"),
        ("hosts", "--host", "web*", "--host", "db*"),
        ("who-listens", "443", "--label", "role=web"),
        ("hosts", "--label", "role=web"),
    ],
)
def test_an_older_collector_refuses_what_it_does_not_know_and_answers_the_rest(
    arguments: tuple[str, ...], fleetnet: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = Older()
    older.coverage, older.sockets, older.hosts = fleet.all_fresh(), fleet.connections(), fleet.hosts()
    end = serve(older, tmp_path / "older.sock")
    monkeypatch.setenv("FLEETNET_SERVER", f"unix://{tmp_path / 'older.sock'}")
    try:
        ran = fleetnet(*arguments)
        assert (ran.status, ran.out) == (2, "")
        assert "the collector does not know this question; upgrade fleetnet-server" in ran.err
        assert fleetnet(*arguments[:-2]).status == 0
    finally:
        end()


def test_what_is_asked_of_listeners_and_states_is_narrowed_likewise(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    fleetnet("who-listens", "443", "--cidr", "10.0.0.0/8", "--container", "c0ffee")
    fleetnet("who-holds", "CLOSE_WAIT", "--remote", "10.0.0.5:443", "--port", "80,https", "--port", "8000-8010")
    fleetnet("who-holds", "CLOSE_WAIT", "--since", "2026-01-01T00:00:00Z")
    listens, holds, since = canned.asked
    assert isinstance(listens, query_pb2.SeekSocketsRequest)
    assert (listens.local, listens.container, listens.sockets.listeners_only) == (_TEN, "c0ffee", True)
    assert isinstance(holds, query_pb2.FindSocketsRequest)
    assert (holds.remote, holds.remote_port) == (_PEER, 443)
    assert [(r.first, r.last) for r in holds.sockets.local_ports] == [(80, 80), (443, 443), (8000, 8010)]
    assert isinstance(since, query_pb2.FindSocketsRequest)
    assert since.opened_since_us == _SINCE_US


@pytest.mark.parametrize("command", [("who-talks-to", "10.0.0.5"), ("who-holds", "ESTABLISHED", "--by", "host")])
def test_of_what_began_since_a_socket_counts_once_however_many_states_it_came_to(
    command: tuple[str, ...], canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    one = query_pb2.SocketItem(host="web1", protocol=sockets_pb2.PROTOCOL_TCP, cookie=7)
    canned.sockets = [one, one, one]
    assert fleetnet(*command, "-q").out.split()[:2] == ["3", "web1"]
    assert fleetnet(*command, "-q", "--since", "2026-01-01T00:00:00Z").out.split()[:2] == ["1", "web1"]


@pytest.mark.parametrize("by", [(), ("--by", "host"), ("--by", "process,remote")])
def test_a_limit_is_one_of_what_is_shown_and_never_of_what_is_counted(
    by: tuple[str, ...], canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    fleetnet("who-talks-to", "10.0.0.5", "--limit", "1", *by)
    request = canned.asked[0]
    assert isinstance(request, query_pb2.FindSocketsRequest)
    assert request.sockets.selection.limit == 0
    fleetnet("who-talks-to", "10.0.0.5", "--limit", "1", "-o", "json")
    request = canned.asked[1]
    assert isinstance(request, query_pb2.FindSocketsRequest)
    assert request.sockets.selection.limit == 1


@pytest.mark.parametrize(
    ("arguments", "protocols", "port"),
    [
        (("who-listens",), ["tcp", "udp", "udplite", "sctp"], None),
        (("who-listens", "--tcp", "--udp"), ["tcp", "udp"], None),
        (("who-listens", "89", "--raw"), ["raw"], 89),
        (("who-listens", "ICMP", "--raw"), ["raw"], 1),
        (("who-holds", "LISTEN"), ["tcp", "udp", "udplite", "sctp"], None),
        (("who-holds", "LISTEN", "--unix"), ["unix"], None),
        (("netstat", "web1", "-a"), ["tcp", "sctp", "udp", "udplite", "raw", "unix"], None),
        (("netstat", "web1", "-4a"), ["tcp", "sctp", "udp", "udplite", "raw"], None),
        (("netstat", "web1", "-xwa"), ["raw", "unix"], None),
    ],
)
def test_the_protocols_asked_for_are_those_that_are_meant(
    arguments: tuple[str, ...],
    protocols: list[str],
    port: int | None,
    canned: Canned,
    fleetnet: Callable[..., Ran],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "protocols").write_text("icmp\t1\tICMP # internet control\nospf 89 OSPFIGP\nodd x\n")
    monkeypatch.setattr("fleetnet_cli.protocols.PATH", tmp_path / "protocols")
    fleetnet(*arguments)
    request = canned.asked[0]
    assert isinstance(request, query_pb2.ListSocketsRequest)
    assert [sockets_pb2.Protocol.Name(p).removeprefix("PROTOCOL_").lower() for p in request.protocols] == protocols
    assert [(r.first, r.last) for r in request.local_ports] == ([(port, port)] if port else [])


@pytest.mark.parametrize(
    ("options", "states"),
    [
        (("-xa",), []),
        (("-xl",), ["LISTEN"]),
        (("-l",), ["CLOSE", "LISTEN"]),
        (("-wl",), ["CLOSE", "LISTEN"]),
        (("-x",), []),  # a listener knows who waits to be accepted
        (("-x", "-o", "json"), sorted(set(STATES) - {"LISTEN"})),
        (("-w",), sorted(set(STATES) - {"LISTEN", "CLOSE"})),
    ],
)
def test_states_are_asked_for_where_the_collector_has_no_word_for_listeners(
    options: tuple[str, ...], states: list[str], canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    fleetnet("netstat", "web1", *options)
    request = canned.asked[0]
    assert isinstance(request, query_pb2.ListSocketsRequest)
    assert sorted(sockets_pb2.State.Name(s).removeprefix("STATE_") for s in request.states) == states
    assert not request.listeners_only


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"/run/a.sock", "/run/a.sock"),
        (b"\0abstract\0x", "@abstract\0x"),
        (b"/tmp/\xff", "/tmp/\\xff"),
        (b"", ""),
    ],
)
def test_the_name_of_a_unix_socket_is_text_whatever_its_bytes(name: bytes, shown: str) -> None:
    assert wire.socket(query_pb2.SocketItem(path=name)).path == shown


def test_every_state_can_be_asked_for_and_every_number_has_a_word() -> None:
    request = wire.sockets_request(SocketQuestion(Selection(), states=STATES, protocols=("tcp", "udp")))
    assert isinstance(request, query_pb2.ListSocketsRequest)
    assert sorted(request.states) == [n for n in sorted(sockets_pb2.State.values()) if n]
    for number in sockets_pb2.State.values():
        assert (wire.socket(query_pb2.SocketItem(state=sockets_pb2.State.Name(number))).state == "unknown") is (
            number == 0
        )


def test_numbers_of_a_newer_collector_are_unknown_and_no_error() -> None:
    item = query_pb2.SocketItem.FromString(
        # state, owner_status, scope and exposure 99
        bytes([5 << 3, 99]) + bytes([0xA0, 0x01, 99]) + bytes([0xA8, 0x01, 99]) + bytes([0xB0, 0x01, 99])
    )
    record = wire.socket(item)
    assert (record.state, record.owner_status, record.scope, record.exposed) == ("unknown",) * 4


def test_an_address_of_a_wrong_length_is_none() -> None:
    assert wire.socket(query_pb2.SocketItem(local_address=b"abc")).local_address == ""


@pytest.mark.parametrize(
    "command",
    [
        ("hosts",),
        ("who-listens",),
        ("who-holds", "CLOSE_WAIT", "--by", "process"),
        ("who-talks-to", "10.0.0.5"),
        ("diff", "--since", "2026-02-27T13:00:00Z"),
        ("audit", "--learn"),
    ],
    ids=" ".join,
)
def test_each_question_of_several_hosts_is_asked_by_labels_and_none_of_one(
    command: tuple[str, ...], canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    # With differences, gaps and hosts that came between, for all of which diff asks again.
    canned.then = (query_pb2.Coverage(as_of_us=fleet.AS_OF_US, hosts_asked=1, gaps=1), fleet.listeners_before())
    assert fleetnet(*command, "--label", "role=web").err == ""
    assert canned.asked
    for request in canned.asked:
        if isinstance(request, query_pb2.ListHostsRequest):
            assert request.selection.host, "whether one has a gap"
        else:
            assert isinstance(request, query_pb2.SeekSocketsRequest | query_pb2.SeekHostsRequest)
            assert list(request.labels) == [_WEB]
