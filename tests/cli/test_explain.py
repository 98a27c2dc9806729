"""What is explained: nothing that is shown lacks a text, each text is well formed, and what the fleet adds is true."""

import json
import os
import shlex
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from cli.loading import loaded
from fleetnet_cli import services, topics
from fleetnet_cli.commands.explain import answer
from fleetnet_cli.output import counts, differences, edges, hosts, interfaces, lives, people, sockets
from fleetnet_cli.states import STATES, parse_state
from fleetnet_proto.v1 import query_pb2, sockets_pb2

from cli import fleet

SERVICES = services.parse(fleet.SERVICES)
PATIENCE_S = answer._PATIENCE_S  # as it is for people
EVERY = [topic for group in topics.GROUPS for topic in topics.of(group)]
NETSTAT = (
    "Proto,Recv-Q,Send-Q,Local Address,Foreign Address,State,User,Inode,PID/Program name,Timer,RefCnt,Flags,Type,"
    "I-Node,Path,Destination,Gateway,Genmask,MSS,Window,irtt,Iface,Metric,Ref,Use,Next Hop,Flag,Met,If,MTU,Flg,"
    "RX-OK,RX-ERR,RX-DRP,RX-OVR,TX-OK,TX-ERR,TX-DRP,TX-OVR"
)


def explained(word: str) -> list[topics.Topic]:
    return topics.find(word, SERVICES)


@pytest.mark.parametrize("state", [*STATES, "NEW_SYN_RECV", "ESTAB", "UNCONN", "FIN-WAIT-1", "SYN-RECV", "listening"])
def test_every_state_is_explained_in_every_spelling(state: str) -> None:
    assert {t.group for t in explained(state)} == {"states"}


def test_a_state_of_tcp_and_of_udp_is_explained_for_both() -> None:
    assert [t.kind for t in explained("ESTAB")] == ["state of a TCP socket", "state of a UDP socket"]
    assert [t.name for t in explained("CLOSE")] == ["CLOSE", "UNCONN"]


def test_the_spelling_of_ss_is_one_that_questions_take() -> None:
    for topic in topics.of("states"):
        if topic.state:
            assert parse_state(topic.ss) == parse_state(topic.name)


def test_every_column_of_every_table_is_explained() -> None:
    shown = [
        *sockets.presentation(SERVICES, "", sockets.listener_columns()).columns,
        *sockets.presentation(SERVICES, "", sockets.connection_columns()).columns,
        *counts.presentation(("host",), "").columns,
        *counts.presentation(("remote",), "").columns,
        *counts.presentation(("process",), "").columns,
        *hosts.presentation().columns,
        *people.presentation().columns,
        *interfaces.presentation().columns,
        *(c for c in differences.presentation(SERVICES, "").columns if c.heading),
        *lives.presentation(SERVICES, "").columns,
        *edges.presentation(SERVICES, "").columns,
        *edges.presentation(SERVICES, "").wide,
    ]
    headings = {c.heading.partition(" (")[0] for c in shown} | set(NETSTAT.split(","))  # type: ignore[attr-defined]  # of any item
    assert [h for h in sorted(headings) if not any("column" in t.kind for t in explained(h))] == []


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (sockets_pb2.OwnerStatus.keys(), "owner_status"),
        (sockets_pb2.OpenedAtIs.keys(), "opened_at_is"),
        (sockets_pb2.ClosedAtIs.keys(), "closed_at_is"),
        (query_pb2.AddressScope.keys(), "address_scope"),
    ],
)
def test_every_word_of_an_answer_is_explained(words: list[str], kind: str) -> None:
    for word in (w.removeprefix(kind.upper() + "_") for w in words):
        if word != "UNSPECIFIED":
            assert any(kind in t.kind or t.group == "scopes" for t in explained(word)), word


def test_a_port_is_found_by_number_by_name_and_by_the_services_of_this_machine() -> None:
    (by_number,) = explained("443/tcp")
    assert (by_number.name, by_number.ports) == ("https", (443,))
    assert explained("HTTPS")[0].meaning == by_number.meaning
    of_here = services.parse("ourown 8123/tcp\n")
    (named,) = topics.find("ourown", of_here)
    assert named.name == "port 8123 (ourown)"
    assert "1024 to 32767" in named.meaning
    assert explained("0") == explained("65536") == []


def test_every_port_has_a_text_and_just_one_range() -> None:
    for port in (1, 1023, 1024, 32767, 32768, 60999, 61000, 65535):
        assert len(explained(str(port))) == 1
    assert len([t for t in topics.of("ports") if t.ports]) >= 60


def test_no_two_texts_of_a_kind_claim_one_word_or_port() -> None:
    claimed = [(t.kind, s.lower()) for t in EVERY for s in {t.name, *t.also}]
    assert len(claimed) == len(set(claimed))
    ports = [p for t in EVERY for p in t.ports]
    assert len(ports) == len(set(ports))


@pytest.mark.parametrize("topic", EVERY, ids=lambda t: f"{t.name}-{t.kind}")
def test_a_text_is_whole_sentences_and_names_a_question(topic: topics.Topic) -> None:
    for text in filter(None, (topic.meaning, topic.many)):
        assert text[-1] in ".)"
        assert text.isprintable()
    assert topic.ask
    assert all(a.run.startswith("fleetnet ") and a.why for a in topic.ask)


def test_every_question_that_is_proposed_is_one_that_the_program_takes(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    proposed = {a.run for t in EVERY for s in (t.name, *t.also) for found in explained(s) for a in found.ask}
    assert len(proposed) > 150
    for line in sorted(proposed):
        ran = fleetnet(*shlex.split(line)[1:])
        # 1: the canned collector has nothing of it, which is an answer too.
        assert ran.status in (0, 1), f"{line}: {ran.err}"
        assert not ran.err.startswith("fleetnet:"), line


def test_what_is_unknown_is_told_what_is_near(fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet("explain", "CLOSEWEIT")
    assert (ran.status, ran.out) == (2, "")
    assert 'did you mean "CLOSE_WAIT"?' in ran.err
    assert '"fleetnet explain" lists what can be explained' in fleetnet("explain", "zzzz\x1b").err


def test_without_a_collector_nothing_is_said_of_one_and_nothing_is_loaded(
    fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("fleetnet_cli.settings.SYSTEM_SOCKET", tmp_path / "absent.sock")
    ran = fleetnet("explain", "CLOSE_WAIT")
    assert (ran.status, ran.err) == (0, "")
    assert "fleet has" not in ran.out
    assert "In this fleet" not in ran.out


def test_an_explanation_alone_loads_neither_grpc_nor_anything_heavy() -> None:
    for arguments in (["explain"], ["explain", "TIME_WAIT", "-q"], ["explain", "Recv-Q"]):
        status, modules = loaded(*arguments)
        assert status == 0
        assert not modules & {"grpc", "google", "rich", "pydantic", "fleetnet_cli.client"}
    _, modules = loaded("--help")
    assert not modules & {
        "tomllib",
        "fleetnet_cli.topics",
        "fleetnet_cli.output.topics",
        "fleetnet_cli.commands.explain.answer",
    }


def test_the_fleets_numbers_are_those_of_who_holds_and_who_listens(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.sockets = fleet.connections()
    fleetnet("who-holds", "CLOSE_WAIT", "--by", "host")
    ran = fleetnet("explain", "CLOSE_WAIT")
    assert ran.out.endswith(
        "\nIn this fleet now: 3 sockets in CLOSE_WAIT on 2 hosts, most on web1 (2)\n4 hosts, all fresh\n"
    )
    assert canned.asked[0] == canned.asked[1]
    fleetnet("who-listens", "443")
    fleetnet("explain", "443")
    assert canned.asked[2] == canned.asked[3]


def test_a_stale_host_is_said_beneath_the_fleets_numbers_and_in_the_status(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    canned.sockets = []
    canned.coverage.hosts_fresh = 3
    canned.coverage.hosts_stale.extend(fleet.stale(180, "db1"))
    ran = fleetnet("explain", "LAST_ACK")
    assert ran.status == 3
    assert ran.out.endswith("In this fleet now: no socket in LAST_ACK\n4 hosts, 1 stale: db1 (3 h)\n")
    assert fleetnet("explain", "LAST_ACK", "-o", "json").status == 3


def test_a_collector_that_was_named_and_is_not_there_is_one_sentence_and_no_failure(
    fleetnet: Callable[..., Ran], tmp_path: Path
) -> None:
    ran = fleetnet("explain", "CLOSE_WAIT", "--server", f"unix://{tmp_path}/absent.sock")
    assert (ran.status, ran.err) == (0, "")
    said = " ".join(ran.out.split())
    assert "What this fleet has of it cannot be said: no collector at " in said
    ran = fleetnet("explain", "443", "-o", "json", "--server", f"unix://{tmp_path}/absent.sock")
    (item,) = json.loads(ran.out)["items"]
    assert item["fleet"]["sockets"] is None
    assert "no collector at" in item["fleet"]["why_not"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user to whom the folder is closed")
def test_a_collector_that_is_closed_to_us_is_one_sentence_and_no_failure(
    tmp_path: Path, as_nobody: Callable[..., Ran]
) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    before = (
        "import fleetnet_cli.commands.explain.answer, tomllib\nfrom fleetnet_cli import settings, topics\n"
        "[topics.of(group) for group in topics.GROUPS]\n"
        f"settings.SYSTEM_SOCKET = settings.Path({str(tmp_path / 'run/admin.sock')!r})"
    )
    ran = as_nobody("explain", "443", before=before)
    assert (ran.status, ran.err) == (0, "")
    assert "is not open to you; ask as root or as a member of its group" in " ".join(ran.out.split())


def test_a_collector_that_says_nothing_is_given_up(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PATIENCE_S == 1.0
    monkeypatch.setattr(answer, "_PATIENCE_S", 0.2)
    canned.silent = threading.Event()
    ran = fleetnet("explain", "CLOSE_WAIT")
    assert ran.status == 0
    assert "said nothing for 0.2 s" in ran.out


def test_where_counting_takes_too_long_it_says_so(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock of explain alone has gone on by an hour with each look at it.
    clock = iter(range(0, 1_000_000, 3600))
    monkeypatch.setattr(answer, "time", type("Clock", (), {"monotonic": staticmethod(lambda: next(clock))}))
    ran = fleetnet("explain", "443", "-o", "json")
    assert json.loads(ran.out)["items"][0]["fleet"] == {
        "sockets": 1, "hosts": 1, "most": None, "whole": False, "why_not": None,
    }  # fmt: skip
    assert "more than 1 listener on port 443 on 1 host, where counting was given up" in " ".join(
        fleetnet("explain", "443").out.split()
    )


def test_hostile_names_of_hosts_do_not_reach_the_terminal(canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    canned.sockets = fleet.connections()
    for item in canned.sockets:
        item.host = f"\x1b[2J{item.host}"
    assert "\x1b" not in fleetnet("explain", "CLOSE_WAIT").out


def test_the_admin_socket_of_nobody_is_no_reason_to_wait(fleetnet: Callable[..., Ran], tmp_path: Path) -> None:
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    ran = fleetnet("explain", "443", "--server", f"unix://{path}")
    assert ran.status == 0
    assert "nobody answers at" in " ".join(ran.out.split())


def test_what_stands_beside_sockets_of_since_can_be_explained(fleetnet: Callable[..., Ran]) -> None:
    assert "while it is open" in fleetnet("explain", "ENDED", "-q").out


def test_of_the_sockets_of_a_host_it_is_told_which_are_counted(fleetnet: Callable[..., Ran]) -> None:
    told = " ".join(fleetnet("explain", "Sockets", "-q").out.split())
    assert "UNIX and packet sockets are not counted" in told
    assert "of all kinds" not in told


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("violated", "What a rule of the policy asks"),
        ("not-judged", "could not be told"),
        ("silent", "Nothing was heard"),
    ],
)
def test_what_audit_and_watch_print_can_be_explained(word: str, said: str, fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet("explain", word, "-q")
    assert ran.status == 0
    assert said in " ".join(ran.out.split())
