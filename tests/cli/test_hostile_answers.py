"""Every command in every format, on an answer in which every text is one that an attacker chose: what is written has as
many lines as with harmless texts, and nothing in it that a terminal, a shell or a spreadsheet acts upon.

Commands and formats are those that the program itself lists: a new one without a question here fails.
"""

import csv
import io
import re
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import grpc
import pytest
from cli.canned import Canned
from cli.conftest import Ran
from cli.nasty import DRAWN, PIECES, WIDE_SIGNS, assert_nothing_acts
from cli.test_golden import ANSWERS
from fleetnet_cli import commands, exits, times
from fleetnet_cli.output.presentation import FORMATS, OF_AUDIT, OF_MAP
from fleetnet_proto.v1 import query_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from cli import fleet, network

ALL_FORMATS = (*FORMATS, *OF_AUDIT, *OF_MAP)
# Without a 6, which is what a group of counters has that is left out unless IPv6 is asked for.
HARMLESS, HOSTILE = "x", "".join([*PIECES, *DRAWN]).replace("6", "5")
# What the collector itself has chosen, and lets nobody call otherwise.
NOT_OF_A_HOST = frozenset({"host", "person"})
# Texts of this machine alone.
OF_NO_HOST = frozenset({"login", "completion", "help", "config explain"})
UNTIL = "2026-02-27T13:00:00Z"
_PATH_BYTES = 108  # UNIX_PATH_MAX of include/uapi/linux/un.h

Question = tuple[str, ...]


def _without_format(words: Sequence[str]) -> Question:
    at = words.index("-o") if "-o" in words else len(words)
    return (*words[:at], *words[at + 2 :])


def _of_hosts(question: Question) -> bool:
    return not any(" ".join(question).startswith(command) for command in OF_NO_HOST)


QUESTIONS: list[Question] = sorted(
    {question for words in ANSWERS.values() if _of_hosts(question := _without_format(words))}
    | {
        ("watch", "who-listens"),
        ("watch", "who-holds", "CLOSE_WAIT"),
        ("watch", "who-talks-to", "198.18.0.3"),
        ("person", "role", "alice", "operator"),
        ("person", "revoke", "alice"),
    }
)


def _defile(message: Message, before: str) -> None:
    """Have every text in it begin so."""
    for field in message.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_MESSAGE and (field.is_repeated or message.HasField(field.name)):
            value = getattr(message, field.name)
            for inner in value if field.is_repeated else [value]:
                _defile(inner, before)
        elif field.type == FieldDescriptor.TYPE_STRING and field.name not in NOT_OF_A_HOST:
            value = getattr(message, field.name)
            if field.is_repeated:
                value[:] = [before + text for text in value]
            else:
                setattr(message, field.name, before + value)
        elif field.name == "path" and getattr(message, field.name):
            path = b"\xff" * (before == HOSTILE) + before.encode() + message.path  # type: ignore[attr-defined]  # it has one
            message.path = path[:_PATH_BYTES]  # type: ignore[attr-defined]


def _defile_all(canned: Canned, before: str) -> None:
    """All that it answers."""
    canned.hosts = fleet.hosts()
    canned.hosts[2].degraded.append("owners: no helper")
    canned.sockets = [*fleet.listeners(), *fleet.connections(), *network.unix_sockets()]
    canned.lives, canned.people = fleet.lives(), fleet.people()
    canned.namespaces, canned.live_sockets = network.namespaces(), network.live_sockets()
    canned.counters, canned.statistics = network.counters(), network.statistics()
    canned.described = fleet.described()
    told: tuple[Iterable[Message], ...] = (
        canned.sockets, canned.hosts, canned.lives, canned.namespaces, canned.live_sockets, canned.counters,
        canned.statistics, [canned.described],
    )  # fmt: skip
    for messages in told:
        for message in messages:
            _defile(message, before)
    canned.trouble = before + "a part could not be looked at"
    page = query_pb2.SocketPage(items=canned.sockets)
    story = query_pb2.WatchSocketsResponse
    canned.watched = [[
        story(at_us=fleet.AS_OF_US, coverage=fleet.all_fresh()),
        story(at_us=fleet.AS_OF_US, there=page),
        story(at_us=fleet.AS_OF_US, mark=query_pb2.Mark()),
        story(at_us=fleet.AS_OF_US + 1, went=page),
        story(at_us=fleet.AS_OF_US + 2, came=page),
    ]]  # fmt: skip


@pytest.fixture
def asks(canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs a command on such an answer; what is watched is interrupted when it has been told."""

    def interrupt(_pause_s: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(times, "now_us", lambda: fleet.AS_OF_US)
    monkeypatch.setattr(time, "sleep", interrupt)
    monkeypatch.chdir(Path(__file__).parent)

    def ask(before: str, *words: str) -> Ran:
        _defile_all(canned, before)
        return fleetnet(*words)

    return ask


def test_every_command_that_shows_what_hosts_say_is_asked_here() -> None:
    groups = {path.rpartition(" ")[0] for path in commands._COMMANDS}
    asked = {" ".join(question[:2]) for question in QUESTIONS} | {question[0] for question in QUESTIONS}
    # `host NAME` is `host show NAME`.
    missing = set(commands._COMMANDS) - groups - OF_NO_HOST - asked
    assert missing == {"host show"}
    assert ("host", "web1") in QUESTIONS


def _acts_on_nothing(output: str, out: str) -> None:
    assert_nothing_acts(out.replace("\r\n", "\n") if output == "csv" else out)
    if output in ("json", "ndjson", "sarif"):
        assert out.isascii()
    if output == "csv":
        for separator in ",;":
            for row in csv.reader(io.StringIO(out, newline=""), delimiter=separator):
                for cell in row:
                    assert re.fullmatch(r"-\d+", cell) or cell.lstrip()[:1] not in set(f"=+-@\t\r{WIDE_SIGNS}")
    if output == "name":
        for name in out.splitlines():
            assert shlex.split(name) == [name]
            assert not name.startswith("-")


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_what_hosts_say_acts_upon_nothing_in_any_format(question: Question, asks: Callable[..., Ran]) -> None:
    made_sense = []
    for output in ALL_FORMATS:
        harmless, hostile = (asks(before, *question, "-o", output) for before in (HARMLESS, HOSTILE))
        assert hostile.status == harmless.status, output
        _acts_on_nothing(output, hostile.out)
        assert_nothing_acts(hostile.err)
        # A name that cannot be one is left out, and that is said.
        if output != "name":
            assert hostile.out.count("\n") == harmless.out.count("\n"), output
            assert hostile.err.count("\n") == harmless.err.count("\n"), output
        if hostile.status != exits.FAILED:
            made_sense.append(output)
    assert made_sense


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_a_refusal_is_one_line_whatever_it_says(question: Question, canned: Canned, asks: Callable[..., Ran]) -> None:
    canned.refuses = (grpc.StatusCode.INVALID_ARGUMENT, HOSTILE)
    ran = asks(HARMLESS, *question)
    assert_nothing_acts(ran.out + ran.err)
    if not ran.out:
        assert ran.status != exits.FOUND
        assert ran.err.count("\n") == 1
