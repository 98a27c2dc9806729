"""What can go wrong, gone wrong for real: one sentence with a way out, the right status, and nothing lost."""

import contextlib
import os
import re
import socket
import sqlite3
from pathlib import Path

import hasty
import pytest

from demo.fleet import Answer, Fleet, console_script
from demo.programs import Program, Programs, until

USAGE, DENIED, UNREACHABLE = 2, 4, 5


def assert_one_sentence(said: str, *words: str) -> None:
    """One line that names its speaker, has a way out after a semicolon, and speaks of `words`."""
    assert "Traceback" not in said
    lines = said.strip().splitlines()
    assert len(lines) == 1, said
    assert re.match(r"fleetnet(-server|-agent)?: .+[;,] .+", lines[0]), said
    for word in words:
        assert word in lines[0], f"{word!r} is not in {lines[0]!r}"


def last_line(collector: Program) -> str:
    """What a collector says when it cannot start; its log stands before."""
    assert "Traceback" not in collector.says()
    return collector.says().splitlines()[-1]


def assert_failed(answer: Answer, status: int, *words: str) -> None:
    assert answer.output == ""
    assert_one_sentence(answer.errors, *words)
    assert answer.status == status


def enroll(fleet: Fleet, programs: Programs, token: Path, address: str) -> Program:
    """Try to enroll with a token, at an address."""
    command = [console_script("fleetnet-agent"), "enroll", "--server", address, "--token-file", str(token)]
    return programs.start("enroll", [*command, "--state", str(fleet.state("web1"))])


def make_token(fleet: Fleet, *options: str) -> Path:
    token = fleet.directory / "token"
    token.write_text(fleet.expect(0, "token", "create", "--host", "web1", *options).output)
    return token


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


def test_a_collector_that_is_not_there_is_told_from_an_empty_fleet(programs: Programs) -> None:
    fleet = Fleet(programs.directory, programs)
    assert_failed(fleet.ask("who-listens", "443"), UNREACHABLE, str(fleet.admin_socket))


def test_a_collector_that_was_killed_is_unreachable_though_its_socket_file_is_there(here: Fleet) -> None:
    here.collector.kill()
    assert here.admin_socket.exists()
    assert_failed(here.ask("who-listens", "443"), UNREACHABLE, str(here.admin_socket))


def test_an_unknown_host_is_an_error_and_not_an_empty_answer(here: Fleet) -> None:
    assert_failed(here.ask("netstat", "wbe1", "-tuan"), USAGE, "wbe1")


def test_a_question_over_the_network_is_refused_in_words(here: Fleet) -> None:
    assert_failed(here.ask("--server", here.enroll_address, "hosts"), DENIED, here.enroll_address, "fleetnet login")


def test_enrolling_at_a_wrong_port_leaves_the_token_good(here: Fleet, programs: Programs) -> None:
    token = make_token(here)
    for address in (closed_port(), here.report_address):
        tried = enroll(here, programs, token, address)
        assert tried.wait() == UNREACHABLE
        assert_one_sentence(tried.says(), address.rpartition(":")[2])
    enroll(here, programs, token, here.enroll_address).succeed()


def test_a_token_works_once(here: Fleet, programs: Programs) -> None:
    token = make_token(here)
    enroll(here, programs, token, here.enroll_address).succeed()
    (here.state("web1") / "agent.pem").unlink()
    again = enroll(here, programs, token, here.enroll_address)
    assert again.wait() == DENIED
    assert_one_sentence(again.says(), "token refused", "fleetnet token create")


def test_an_expired_token_is_refused(here: Fleet, programs: Programs) -> None:
    token = make_token(here, "--ttl", "1m")
    here.collector.stop()
    change(here, "UPDATE tokens SET expires_at_us = expires_at_us - 60000000")  # a minute goes by
    here.start_collector()
    tried = enroll(here, programs, token, here.enroll_address)
    assert tried.wait() == DENIED
    assert_one_sentence(tried.says(), "token refused", "fleetnet token create")


def test_a_token_of_another_collector_is_never_shown_to_this_one(
    here: Fleet, programs: Programs, tmp_path: Path
) -> None:
    other = Fleet(tmp_path, programs)
    other.start_collector()
    token = make_token(here)
    tried = enroll(here, programs, token, other.enroll_address)
    assert tried.wait() == DENIED
    assert_one_sentence(tried.says(), other.enroll_address)
    enroll(here, programs, token, here.enroll_address).succeed()


def test_an_agent_that_never_enrolled_says_so(here: Fleet) -> None:
    here.state("web1").mkdir()
    agent = here.start_agent("web1")
    assert agent.wait() == USAGE
    assert_one_sentence(agent.says(), "enroll")


@pytest.mark.timeout(300)
def test_an_agent_outlives_a_collector_that_is_away_or_refuses_it(here: Fleet) -> None:
    here.enroll("web1")
    agent = here.start_agent("web1")
    here.wait_until_fresh("web1")
    here.collector.kill()
    agent.wait_for(r"^fleetnet-agent: no connection to .*; trying again")
    change(here, "UPDATE hosts SET status = 'revoked'")
    here.start_collector()
    agent.wait_for(r"^fleetnet-agent: .* refuses this host: .*; .*enroll", within_s=60.0)
    assert "Traceback" not in agent.says()
    here.collector.stop()
    change(here, "UPDATE hosts SET status = 'active'")
    here.start_collector()
    assert agent.running
    # A new agent of the same host, for the old one rightly waits long after a refusal.
    agent.stop()
    here.start_agent("web1")
    until(lambda: here.expect(0, "hosts", "-o", "json").items[0]["connected"], within_s=60.0, what="web1 again")


@pytest.mark.timeout(300)
def test_an_agent_tells_nothing_to_a_collector_of_another_ca(here: Fleet, programs: Programs, tmp_path: Path) -> None:
    here.enroll("web1")
    agent = here.start_agent("web1", environment=hasty.ENVIRONMENT)
    here.wait_until_fresh("web1")
    here.collector.stop()
    stranger = Fleet(tmp_path, programs)
    stranger.start_collector("--listen", here.report_address)
    agent.wait_for(r"^fleetnet-agent: .*another CA.*", within_s=60.0)
    assert stranger.ask("hosts", "-o", "json").items == []
    stranger.collector.stop()
    here.start_collector()
    agent.wait_for(r"(?s)another CA.*^fleetnet-agent: connected to", within_s=60.0)
    assert "Traceback" not in agent.says()


def change(fleet: Fleet, statement: str) -> None:
    """Change what a collector keeps, which is not running; what else brings it about takes long, or is yet to come."""
    with contextlib.closing(sqlite3.connect(fleet.data / "fleetnet.db")) as database, database:
        database.execute(statement)


@pytest.mark.parametrize("damage", ["not-a-database", "torn-page"])
def test_a_corrupt_database_is_refused_and_left_as_it_is(here: Fleet, damage: str) -> None:
    here.enroll("web1")
    here.collector.stop()
    database = here.data / "fleetnet.db"
    content = bytearray(database.read_bytes())
    if damage == "not-a-database":
        content[:16] = b"SQLite format ?\0"
    else:
        content[4096:] = os.urandom(len(content) - 4096)
    database.write_bytes(content)
    collector = here.launch_collector()
    assert collector.wait() == USAGE
    assert_one_sentence(last_line(collector), str(database))
    assert database.read_bytes() == bytes(content), "a damaged database is evidence, and perhaps all there is"


def test_a_port_in_use_is_said_by_its_number(here: Fleet, programs: Programs, tmp_path: Path) -> None:
    second = Fleet(tmp_path, programs)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        collector = second.launch_collector("--listen", address)
        assert collector.wait() == USAGE
        assert_one_sentence(last_line(collector), address)


def test_a_second_collector_on_the_same_data_is_refused(here: Fleet) -> None:
    first = here.collector
    second = here.launch_collector("--admin-socket", str(here.directory / "second.sock"))
    assert second.wait() == USAGE
    assert_one_sentence(last_line(second), str(here.data))
    assert first.running
    here.expect(1, "hosts")
