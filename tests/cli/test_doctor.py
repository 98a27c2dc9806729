"""`fleetnet doctor`: whatever is broken, it says what, why and what to do, and goes on as far as there is a way."""

import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli import settings, times
from fleetnet_proto.v1 import query_pb2

from cli import fleet


@pytest.fixture(autouse=True)
def this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the files and sockets of the machine that this runs on, at the moment of the small fleet."""
    monkeypatch.setattr(settings, "SYSTEM_FILE", tmp_path / "etc.toml")
    monkeypatch.setattr(settings, "SYSTEM_SOCKET", tmp_path / "system.sock")
    monkeypatch.setattr(times, "now_us", lambda: fleet.AS_OF_US)


@pytest.fixture
def well(canned: Canned, tmp_path: Path) -> Canned:
    """A collector and a fleet of which all is well."""
    canned.described = fleet.described()
    del canned.described.refused[:]
    for host in canned.hosts:
        host.fresh, host.last_seen_us, host.agent_version = True, fleet.AS_OF_US, "0.1.0"
        del host.degraded[:]
    (tmp_path / "admin.sock").chmod(0o660)
    return canned


def problems(ran: Ran) -> list[str]:
    """The lines that are not ok, without their verdict."""
    return [line[8:] for line in ran.out.splitlines() if not line.startswith("ok ")]


def test_where_all_is_well_each_thing_is_said_to_be_and_with_q_nothing_is_said(
    well: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("doctor")
    assert (ran.status, problems(ran), ran.err) == (0, [], "")
    topics = [line[8:].partition(":")[0] for line in ran.out.splitlines()]
    assert list(dict.fromkeys(topics)) == [
        "settings", "socket", "collector", "version", "clock", "certificate", "quarantine", "quota", "hosts", "sight",
        "clocks", "agents", "gaps",
    ]  # fmt: skip
    assert "(by FLEETNET_SERVER)" in ran.out
    assert fleetnet("doctor", "-q").out == ""


def test_nobody_there_is_a_problem_with_the_status_of_that(
    tmp_path: Path, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = fleetnet("doctor")
    assert ran.status == 5
    assert problems(ran) == [
        f"socket: there is no {tmp_path / 'system.sock'}; start fleetnet-server, or name its admin socket with "
        "--server unix:///PATH"
    ]
    (tmp_path / "file").touch()
    for path, words in (("file", "is no socket; correct --server"), ("no/sock", "once there is a directory")):
        ran = fleetnet("doctor", "--server", f"unix://{tmp_path / path}")
        assert ran.status == 5
        assert words in problems(ran)[0]


def test_a_socket_that_its_collector_left_behind_is_told_from_one_where_somebody_answers(
    tmp_path: Path, fleetnet: Callable[..., Ran]
) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left.sock"))
    (tmp_path / "left.sock").chmod(0o660)
    ran = fleetnet("doctor", "--server", f"unix://{tmp_path / 'left.sock'}")
    assert ran.status == 5
    assert problems(ran) == [
        f"collector: nobody answers at {tmp_path / 'left.sock'}, where a collector was; start fleetnet-server again"
    ]


@pytest.mark.root
def test_who_may_not_ask_is_told_which_group_may(as_nobody: Callable[..., Ran]) -> None:
    load = "import fleetnet_cli.doctor.examination, fleetnet_cli.doctor.fleet, fleetnet_cli.output.doctor"
    # Not in pytest's folders, which every pytest that begins closes to other users.
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
        path = Path(directory, "admin.sock")
        Path(directory).chmod(0o711)
        listener.bind(str(path))
        path.chmod(0o660)
        ran = as_nobody("doctor", "-q", "--server", f"unix://{path}", before=load)
        assert ran.status == 4
        (said,) = problems(ran)
        assert "group root, mode 0660, and not open to nobody; ask as root, or join the group" in said
        Path(directory).chmod(0o700)
        ran = as_nobody("doctor", "-q", "--server", f"unix://{path}", before=load)
        assert ran.status == 4
        assert "a directory above it is closed to nobody" in problems(ran)[0]


def test_a_socket_that_is_open_to_all_is_a_problem_and_the_rest_is_looked_at(
    well: Canned, tmp_path: Path, fleetnet: Callable[..., Ran]
) -> None:
    (tmp_path / "admin.sock").chmod(0o666)
    ran = fleetnet("doctor")
    assert ran.status == 2
    assert "every user may ask, and make tokens; chmod o= " in problems(ran)[0]
    assert "ok      hosts: 4 hosts, all fresh" in ran.out


def test_a_collector_that_says_nothing_is_given_up(well: Canned, fleetnet: Callable[..., Ran]) -> None:
    well.silent = threading.Event()
    ran = fleetnet("doctor", "--timeout", "1s")
    well.silent.set()
    assert ran.status == 5
    assert problems(ran) == [
        "collector: the collector did not answer in time; look at its log, or give it longer with --timeout"
    ]


def test_a_collector_that_fails_is_quoted(well: Canned, fleetnet: Callable[..., Ran]) -> None:
    well.refuses = (grpc.StatusCode.INTERNAL, "the disk is full; make room")
    ran = fleetnet("doctor")
    assert ran.status == 2
    assert problems(ran) == ["collector: the collector says: the disk is full; make room"]


def test_an_older_collector_is_asked_all_that_it_knows(well: Canned, fleetnet: Callable[..., Ran]) -> None:
    well.described = None
    ran = fleetnet("doctor")
    assert ran.status == 1
    (said,) = problems(ran)
    assert "the collector is older and does not say which it is; upgrade fleetnet-server" in said
    assert "ok      hosts: 4 hosts, all fresh" in ran.out


def test_what_the_collector_says_of_itself_is_weighed(well: Canned, fleetnet: Callable[..., Ran]) -> None:
    assert well.described is not None
    day_us = 24 * fleet.HOUR_US
    well.described.version = "9.9"
    well.described.at_us = fleet.AS_OF_US + 4 * fleet.MINUTE_US - 1
    well.described.server_certificate_until_us = fleet.AS_OF_US + 13 * day_us
    well.described.ca_certificate_until_us = fleet.AS_OF_US
    well.described.refused.add(host="odd", reports=1, last_at_us=fleet.AS_OF_US, reason="a \x1b state")
    well.described.held_back.add(host="odd", over="reports", held_s=312.4, since_us=fleet.AS_OF_US - fleet.HOUR_US)
    ran = fleetnet("doctor")
    assert ran.status == 2
    version, clock, server, ca, refused, held_back = problems(ran)
    assert "the collector 9.9; what one of them does not know it refuses; install the same" in version
    assert "is 3 min ahead of this one" in clock
    assert "that of the collector expires on 2026-03-14 13:00:00 UTC; restart it" in server
    assert "that of the CA expired on 2026-03-01 13:00:00 UTC; let another take its place" in ca
    assert "1 report of odd could not be stored" in refused
    assert "odd has reports beyond its quota, and was not read for 312 s since 2026-03-01 12:00:00" in held_back
    assert "fleetnet netstat odd" in held_back
    assert "\x1b" not in ran.out


def test_what_is_wrong_with_the_fleet_is_named(well: Canned, fleetnet: Callable[..., Ran]) -> None:
    db1, odd, web1, web2 = well.hosts
    db1.fresh, db1.last_seen_us = False, fleet.AS_OF_US - 3 * fleet.HOUR_US
    web2.fresh, web2.last_seen_us = False, 0
    odd.degraded.append("owners: no helper")
    web1.degraded.extend(["owners: no helper", "namespaces: not entered"])
    web1.clock_offset_us = 10 * fleet.MINUTE_US
    well.coverage.gaps = 2
    ran = fleetnet("doctor")
    assert ran.status == 1
    silent, owners, namespaces, clocks, gaps = problems(ran)
    assert silent.startswith("hosts: 4 hosts, 2 of them are silent: db1 (3 h), web2 (never heard); run")
    assert owners.startswith("sight: not all is seen of odd, web1: owners: no helper; run")
    assert namespaces.startswith("sight: not all is seen of web1: namespaces: not entered; run")
    assert "web1 (10 min)" in clocks
    assert gaps.startswith("gaps: 2 of the last day")
    asked = well.asked[-1]
    assert isinstance(asked, query_pb2.FindSocketsRequest)
    assert fleet.AS_OF_US - asked.opened_since_us == 24 * fleet.HOUR_US
    assert asked.sockets.selection.limit == 1


def test_a_fleet_that_is_all_silent_is_a_problem_and_an_empty_one_is_a_beginning(
    well: Canned, fleetnet: Callable[..., Ran]
) -> None:
    for host in well.hosts:
        host.fresh = False
    assert fleetnet("doctor").status == 2
    del well.hosts[:]
    ran = fleetnet("doctor")
    assert ran.status == 1
    assert problems(ran) == ['hosts: none has joined this fleet; "fleetnet token create --host NAME" lets one in']


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the user's file."""

    def write(text: str) -> Path:
        file = tmp_path / "config/fleetnet/config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o644)
        return file

    return write


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("contexts = [", (), "is not TOML"),
        ("context = 'home'", (), 'context "home" is not in it'),
        ("contexts = 3", (), "contexts are tables"),
        ("[contexts.home]\nserver = 'unix:///run/x'", ("--context", "hom"), 'no context "hom"; did you mean "home"?'),
        ("", ("--server", "x"), '"x" is not an address'),
    ],
)
def test_settings_that_are_broken_are_a_problem_and_not_the_end_of_the_program(
    text: str, options: tuple[str, ...], words: str, written: Callable[[str], Path], fleetnet: Callable[..., Ran]
) -> None:
    written(text)
    ran = fleetnet("doctor", *options)
    assert (ran.status, ran.err) == (2, "")
    assert any(line.startswith("settings: ") and words in line for line in problems(ran)), ran.out


def test_a_file_that_others_may_write_and_a_word_that_nobody_reads_are_warned_of(
    well: Canned, written: Callable[[str], Path], fleetnet: Callable[..., Ran]
) -> None:
    file = written(f"sever = 'x'\nserver = '{os.environ['FLEETNET_SERVER']}'\n")
    file.chmod(0o666)
    ran = fleetnet("doctor")
    assert ran.status == 1
    assert problems(ran) == [
        f"settings: others may write {file} (mode 0666); chmod go-w {file}",
        f"settings: sever in {file} is read by nobody; correct or remove it; "
        '"fleetnet config explain" lists the settings',
    ]


def test_it_is_said_who_names_the_collector(
    well: Canned, written: Callable[[str], Path], fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = os.environ["FLEETNET_SERVER"]
    file = written(f"context = 'home'\n[contexts.home]\nserver = '{server}'\n")
    assert f"{server} (by --server)" in fleetnet("doctor", "--server", server).out
    monkeypatch.delenv("FLEETNET_SERVER")
    assert f"{server} (by contexts.home.server in {file})" in fleetnet("doctor").out


def test_a_document_has_the_same_and_the_same_status(well: Canned, fleetnet: Callable[..., Ran]) -> None:
    well.coverage.gaps = 1
    ran = fleetnet("doctor", "-o", "json")
    assert ran.status == 1
    document = json.loads(ran.out)
    assert document["kind"] == "DoctorReport"
    assert [(item["topic"], bool(item["todo"])) for item in document["items"] if item["verdict"] != "ok"] == [
        ("gaps", True)
    ]
