"""`fleetnet watch`: what is written of what comes and goes, also over a connection that was lost."""

import io
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import grpc
import pytest
from cli.canned import Canned
from cli.conftest import SCRIPT, Ran
from fleetnet_cli.client import Collector
from fleetnet_cli.records import Selection, SocketQuestion
from fleetnet_cli.settings import Destination
from fleetnet_proto.v1 import query_pb2

from cli import fleet

SECOND_US = 1_000_000
Message = query_pb2.WatchSocketsResponse


def _page(*sockets: query_pb2.SocketItem) -> query_pb2.SocketPage:
    return query_pb2.SocketPage(items=sockets)


def _told() -> Message:
    return Message(at_us=fleet.AS_OF_US, coverage=fleet.all_fresh())


def _story() -> list[Message]:
    """Two listeners are there, one comes, one goes, and a host falls silent."""
    db1, odd, web1, inside = fleet.listeners()
    less = fleet.all_fresh()
    less.hosts_stale.extend(fleet.stale(3, "db1"))
    return [
        Message(at_us=fleet.AS_OF_US, coverage=fleet.all_fresh()),
        Message(at_us=fleet.AS_OF_US, there=_page(db1, web1)),
        Message(at_us=fleet.AS_OF_US, mark=query_pb2.Mark()),
        Message(at_us=fleet.AS_OF_US + SECOND_US, came=_page(inside, odd)),
        Message(at_us=fleet.AS_OF_US + 2 * SECOND_US, went=_page(web1)),
        Message(at_us=fleet.AS_OF_US + 3 * SECOND_US, coverage=less),
        Message(at_us=fleet.AS_OF_US + 4 * SECOND_US, mark=query_pb2.Mark()),
    ]


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch, canned: Canned) -> list[float]:
    """Somebody presses Ctrl-C while nobody is connected, after so many attempts; how long was waited before each."""
    pauses: list[float] = []

    def sleep(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) >= len(canned.watched):
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    return pauses


def test_each_change_is_a_line_with_its_time(
    canned: Canned, fleetnet: Callable[..., Ran], interrupted: list[float]
) -> None:
    canned.watched = [_story()]
    ran = fleetnet("watch", "who-listens")
    lines = [line.split("  since")[0].rstrip() for line in ran.out.splitlines()]
    assert ran.status == 130
    assert [line[:14] for line in lines] == [
        "  TIME      HO", "            db", "            we", "4 hosts, all f",
        # A column that nothing was in so far.
        "  TIME      HO", "+ 13:00:01  we", "+ 13:00:01  od", "- 13:00:02  we", "! 13:00:03  db",
    ]  # fmt: skip
    assert "NETNS" in lines[4]
    assert lines[-1] == "! 13:00:03  db1 is silent"
    assert "\\x1b[2J" in ran.out
    assert "\x1b" not in ran.out
    assert "(shutting down); ask again when it runs); trying again" in ran.err
    assert interrupted == [1.0]


def test_quiet_leaves_rows(canned: Canned, fleetnet: Callable[..., Ran], interrupted: list[float]) -> None:
    canned.watched = [_story()]
    assert [line[0] for line in fleetnet("watch", "who-listens", "-q").out.splitlines()] == [" ", " ", "+", "+", "-"]
    assert interrupted


def test_programs_read_a_line_of_json_each(
    canned: Canned, fleetnet: Callable[..., Ran], interrupted: list[float]
) -> None:
    canned.watched = [_story()]
    told = [json.loads(line) for line in fleetnet("watch", "who-listens", "-o", "ndjson").out.splitlines()]
    kinds = ["SocketNews", "There", "There", "Begun", "Came", "Came", "Went", "Coverage"]
    assert [line["kind"] for line in told] == kinds
    assert told[-2]["socket"]["local_port"] == 443
    assert told[-2]["at"] == "2026-03-01T13:00:02.123456Z"
    assert told[-1]["coverage"]["hosts_stale"][0]["host"] == "db1"
    assert interrupted


def test_what_changed_while_the_connection_was_lost_is_written_once(
    canned: Canned, fleetnet: Callable[..., Ran], interrupted: list[float]
) -> None:
    db1, odd, _, _ = fleet.listeners()
    at_us = fleet.AS_OF_US + 60 * SECOND_US
    again = [
        Message(at_us=at_us, coverage=fleet.all_fresh()),
        Message(at_us=at_us, there=_page(db1, odd)),
        Message(at_us=at_us, mark=query_pb2.Mark()),
    ]
    canned.watched = [_story()[:3], again, again]
    ran = fleetnet("watch", "who-listens", "-q", "-o", "table")
    assert [(line[0], line[2:10]) for line in ran.out.splitlines()[2:]] == [("-", "13:01:00"), ("+", "13:01:00")]
    assert ran.err.count("trying again") == 3
    assert interrupted == [1.0, 1.0, 1.0], "each of them had come to something"


def test_a_connection_that_is_there_again_is_said_before_what_changed_meanwhile(
    canned: Canned, fleetnet: Callable[..., Ran], interrupted: list[float]
) -> None:
    _, odd, _, _ = fleet.listeners()
    less = fleet.all_fresh()
    less.hosts_stale.extend(fleet.stale(3, "db1"))
    at_us = fleet.AS_OF_US + 60 * SECOND_US
    coverage = Message(at_us=at_us, coverage=less)
    again = [coverage, Message(at_us=at_us, there=_page(odd)), Message(at_us=at_us + SECOND_US, mark=query_pb2.Mark())]
    canned.watched = [_story()[:3], [coverage], again]
    ran = fleetnet("watch", "who-listens", "--host", "*")
    assert [line.split("  since")[0][:30].rstrip() for line in ran.out.splitlines() if line[0] in "!"] == [
        "! 13:01:01  connected again",
        "! 13:01:01  db1 is silent",
    ]
    assert [line[0] for line in ran.out.splitlines() if line[0] in "!+-"] == ["!", "!", "-", "-", "+"]
    assert interrupted


def test_a_host_that_is_not_there_yet_is_waited_for(
    canned: Canned, fleetnet: Callable[..., Ran], interrupted: list[float]
) -> None:
    nobody = Message(at_us=fleet.AS_OF_US, coverage=query_pb2.Coverage(as_of_us=fleet.AS_OF_US))
    unmatched = Message(at_us=fleet.AS_OF_US, coverage=query_pb2.Coverage(as_of_us=fleet.AS_OF_US))
    unmatched.coverage.unmatched_labels.add(key="role", value="wbe")
    for options, coverage, sentence in (
        ((), nobody, "no hosts in this fleet yet;"),
        (("--host", "no*"), nobody, 'no host matches "no*" yet;'),
        (("--label", "role=web"), nobody, "no host has role=web yet;"),
        (("--label", "role=wbe"), unmatched, 'no host has role=wbe, did you mean "role=web"?'),
    ):
        canned.connections, canned.watched = 0, [[coverage, Message(mark=query_pb2.Mark())]]
        interrupted.clear()
        assert fleetnet("watch", "who-listens", *options).out == f"{sentence} waiting for one\n"
        canned.connections = 0
        interrupted.clear()
        assert fleetnet("watch", "who-listens", "-q", *options).out == ""


def test_what_is_the_same_to_the_collector_is_the_same_after_a_connection_was_lost(
    canned: Canned, fleetnet: Callable[..., Ran], interrupted: list[float]
) -> None:
    first, _, second, _ = fleet.listeners()
    first.cookie, first.inode = 7, 0
    second.cookie = 8
    beginning = [_told(), Message(at_us=fleet.AS_OF_US, there=_page(first, second)), Message(mark=query_pb2.Mark())]
    accepted, another = query_pb2.SocketItem(), query_pb2.SocketItem()
    accepted.CopyFrom(first)
    accepted.inode, accepted.opened_at_us = 4711, first.opened_at_us + 1
    another.CopyFrom(second)
    another.cookie = 9
    again = [_told(), Message(at_us=fleet.AS_OF_US, there=_page(accepted, another)), Message(mark=query_pb2.Mark())]
    canned.watched = [beginning, again]
    ran = fleetnet("watch", "who-listens", "-o", "ndjson")
    told = [json.loads(line) for line in ran.out.splitlines()]
    changes = [(line["kind"], line["socket"]["local_port"]) for line in told if line["kind"] in ("Came", "Went")]
    assert changes == [("Went", second.local_port), ("Came", second.local_port)]
    assert interrupted


def test_a_collector_that_is_away_is_tried_less_and_less_often(
    canned: Canned, fleetnet: Callable[..., Ran], interrupted: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    canned.watched = [_story()[:3]] + [[]] * 5
    assert fleetnet("watch", "who-listens").status == 130
    assert interrupted == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0]


def test_the_first_connection_fails_as_any_question_does(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.refuses = (grpc.StatusCode.INVALID_ARGUMENT, "more than 50000 sockets are asked for")
    ran = fleetnet("watch", "who-listens")
    assert (ran.status, ran.out) == (2, "")
    assert "more than 50000 sockets" in ran.err
    canned.refuses = (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
    assert fleetnet("watch", "who-listens").status == 2


def test_a_collector_that_does_not_answer_at_all_is_waited_for_as_long_as_was_said(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.silent, canned.watched = threading.Event(), [[]]
    ran = fleetnet("watch", "who-listens", "--timeout", "1s")
    assert ran.status == 5
    assert "said nothing for 1 s" in ran.err


def test_one_that_hangs_later_is_noticed_after_three_marks_or_as_late_as_was_said(canned: Canned) -> None:
    canned.watched = [_story()[:3]] * 2
    canned.stays = True
    for said_s, patience_s in ((10.0, 75.0), (100.0, 100.0)):
        with Collector(Destination(os.environ["FLEETNET_SERVER"].removeprefix("unix://")), said_s) as collector:
            stream = collector.watch(SocketQuestion(Selection()))
            assert stream._patience.timeout_s == patience_s
            assert next(iter(stream)).kind == "there"


@pytest.mark.usefixtures("canned")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("who-listens", "--at", "1h ago"), "--at makes no sense"),
        (("who-listens", "--limit", "5"), "--limit makes no sense"),
        (("who-listens", "--since", "1h ago"), "--since makes no sense"),
        (("who-holds", "ESTAB", "--by", "host"), "--by makes no sense"),
        (("who-holds", "ESTAB", "--min", "5"), "--min makes no sense"),
        (("who-talks-to", "10.0.0.1", "--by", "host"), "--by makes no sense"),
        (("who-listens", "-o", "csv"), "-o csv makes no sense for watch who-listens; ask for table or ndjson"),
        (("who-listens", "-o", "ndjsn"), 'did you mean "ndjson"?'),
        (("hosts",), "no such command"),
    ],
)
def test_what_cannot_be_watched_is_said(fleetnet: Callable[..., Ran], arguments: tuple[str, ...], words: str) -> None:
    ran = fleetnet("watch", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert words in ran.err


@pytest.mark.parametrize("command", ["who-listens", "who-holds", "who-talks-to"])
def test_what_cannot_be_watched_is_not_offered(fleetnet: Callable[..., Ran], command: str) -> None:
    ran = fleetnet("watch", command, "--help")
    offered = {word.rstrip(",") for word in ran.out.split() if word.startswith("--")}
    assert ran.status == 0
    assert not offered & {"--at", "--since", "--limit", "--by", "--min"}
    assert {"--host", "--max-age", "--tcp"} <= offered
    assert "table|ndjson" in ran.out
    assert {"--at", "--since", "--limit"} <= set(fleetnet(command, "--help").out.replace(",", " ").split())


def test_a_row_is_there_as_soon_as_it_is_known_and_ctrl_c_ends_it(canned: Canned) -> None:
    canned.watched = [_story()[:4]]
    canned.stays = True
    process = subprocess.Popen([SCRIPT, "watch", "who-listens", "-q"], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert isinstance(process.stdout, io.TextIOBase)
            assert [process.stdout.readline()[0] for _ in range(4)] == [" ", " ", "+", "+"]
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()


def test_of_a_host_that_is_not_asked_about_any_more_it_is_not_said_that_it_is_heard(
    canned: Canned, fleetnet: Callable[..., Ran], interrupted: list[float]
) -> None:
    silent = query_pb2.Coverage(
        as_of_us=fleet.AS_OF_US, hosts_asked=2, hosts_fresh=1, hosts_stale=fleet.stale(9, "db1")
    )
    left = query_pb2.Coverage(as_of_us=fleet.AS_OF_US, hosts_asked=1, hosts_fresh=1)
    first, later = (Message(at_us=fleet.AS_OF_US, coverage=coverage) for coverage in (silent, left))
    canned.watched = [[first, Message(mark=query_pb2.Mark()), later]]
    out = fleetnet("watch", "who-listens", "--label", "role=db").out
    assert "db1 is heard again, or is not asked about any more\n" in out
    assert interrupted
