"""Logging in and asking over mutual TLS: the real program against a real collector."""

import os
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli.conftest import SCRIPT, Ran
from cli.loading import loaded
from fleetnet_cli import asking, identities
from server.people import OPERATOR, VIEWER, change_role, log_in, person_token, revoke
from server.running import Running, kill_what_is_left

Program = Callable[..., Ran]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("collector") / "data")
    try:
        yield running
    finally:
        running.kill()
        kill_what_is_left()


@pytest.fixture
def logins(tmp_path: Path) -> Path:
    """Where the logins of a test are."""
    return tmp_path / "config/fleetnet/contexts"


@pytest.fixture
def alice(collector: Running, fleetnet: Program, tmp_path: Path, logins: Path) -> Path:
    """Logged in as a viewer; the file of the login."""
    ran = log_in_as("alice", collector, fleetnet, tmp_path)
    assert (ran.status, ran.out) == (0, ""), ran.err
    assert "you are alice (viewer) at 127.0.0.1:" in ran.err
    assert ran.err.endswith('ask with "fleetnet hosts"\n')
    return logins / "127.0.0.1.toml"


def log_in_as(name: str, collector: Running, fleetnet: Program, tmp_path: Path, *more: str) -> Ran:
    token = tmp_path / "token"
    token.write_text(person_token(collector, name) + "\n")
    return fleetnet("login", "--server", collector.enroll_address, "--token-file", str(token), *more)


def one_sentence(err: str) -> str:
    assert err.startswith("fleetnet: ")
    assert err.count("\n") == 1
    return err


def test_who_is_logged_in_just_asks(alice: Path, fleetnet: Program) -> None:
    for asked in (("hosts",), ("who-listens", "443"), ("netstat", "nobody"), ("host", "nobody")):
        ran = fleetnet(*asked)
        assert ran.status == (2 if "nobody" in asked else 1), ran.err
        assert "nobody" not in asked or 'no host "nobody" in this fleet' in ran.err


def test_key_certificate_and_ca_are_one_file_that_is_its_owners_alone(
    alice: Path, collector: Running, logins: Path
) -> None:
    assert [path.name for path in logins.iterdir()] == ["127.0.0.1.toml"]
    assert (alice.stat().st_mode & 0o7777, logins.stat().st_mode & 0o7777) == (0o600, 0o700)
    assert logins.parent.stat().st_mode & 0o7777 == 0o700
    written = tomllib.loads(alice.read_text())
    assert (written["server"], written["person"]) == (collector.report_address, "alice")
    assert written["ca"].encode() == collector.ca_pem
    assert (written["valid_until"] - written["valid_from"]).days == 31  # of which one lies in the past


def test_a_question_over_the_network_loads_no_more_than_one_on_the_machine(alice: Path) -> None:
    status, modules = loaded("who-listens", "443")
    assert status == 1
    assert "grpc" in modules
    heavy = {"rich", "pydantic", "pydantic_core", "sqlalchemy", "cryptography", "structlog"}
    assert not modules & (heavy | {"fleetnet_cli.keys", "fleetnet_cli.reach", "fleetnet_cli.enrollment"})


def test_a_viewer_may_not_administer(alice: Path, fleetnet: Program) -> None:
    for asked in (("token", "create", "--host", "web1"), ("person", "list"), ("person", "role", "alice", "operator")):
        ran = fleetnet(*asked)
        assert (ran.status, ran.out) == (4, "")
        assert "alice is a viewer, and this takes an operator" in one_sentence(ran.err)


def test_an_operator_administers_over_the_network(
    collector: Running, fleetnet: Program, tmp_path: Path, alice: Path
) -> None:
    over_socket = ("--server", f"unix://{collector.admin_socket}")
    assert fleetnet("person", "role", "alice", "operator", *over_socket).err == "alice is now an operator\n"
    made = fleetnet("token", "create", "--person", "bob", "-q")
    assert made.status == 0
    (tmp_path / "bob").write_text(made.out)
    as_bob = ("login", "--server", collector.enroll_address, "--token-file", str(tmp_path / "bob"), "--context", "bob")
    ran = fleetnet(*as_bob)
    assert "you are bob (viewer)" in ran.err
    # Nobody has said which of the two logins counts.
    assert ran.err.endswith('ask with "fleetnet --context bob hosts"\n')
    ran = fleetnet("hosts")
    assert ran.status == 2
    assert "you are logged in at several collectors (127.0.0.1, bob)" in one_sentence(ran.err)
    assert fleetnet("hosts", "--context", "bob").status == 1
    assert fleetnet("person", "revoke", "bob", "--context", "127.0.0.1").status == 0
    ran = fleetnet("hosts", "--context", "bob")
    assert ran.status == 4
    assert "was revoked; log in with a new token" in one_sentence(ran.err)
    (tmp_path / "config/fleetnet/config.toml").write_text('context = "127.0.0.1"  # mine\n')
    assert fleetnet("hosts").status == 1


def test_login_alone_renews_what_there_is(alice: Path, fleetnet: Program) -> None:
    before = tomllib.loads(alice.read_text())
    ran = fleetnet("login")
    assert (ran.status, ran.out) == (0, "")
    assert ran.err.startswith("renewed: you are alice at ")
    after = tomllib.loads(alice.read_text())
    assert before["key"] != after["key"]
    assert (before["server"], before["person"], before["ca"]) == (after["server"], after["person"], after["ca"])
    assert fleetnet("hosts").status == 1


def test_what_stands_in_the_configuration_stays_and_outranks_a_login(
    collector: Running, fleetnet: Program, tmp_path: Path
) -> None:
    config = tmp_path / "config/fleetnet/config.toml"
    config.parent.mkdir(parents=True)
    mine = '# mine\nserver = "unix:///nowhere.sock"\n[contexts.home]\nserver = "unix:///home.sock"\n'
    config.write_text(mine)
    ran = log_in_as("carol", collector, fleetnet, tmp_path, "--context", "office")
    assert ran.err.endswith('ask with "fleetnet --context office hosts"\n')
    assert config.read_text() == mine
    assert fleetnet("hosts").status == 5
    assert fleetnet("hosts", "--context", "office").status == 1
    ran = log_in_as("carol", collector, fleetnet, tmp_path, "--context", "home")
    assert (ran.status, ran.out) == (2, "")
    assert 'a context "home" stands in' in one_sentence(ran.err)


def test_where_the_collector_was_named_is_explained(alice: Path, fleetnet: Program, collector: Running) -> None:
    told = [line.split() for line in fleetnet("config", "explain").out.splitlines()]
    assert ["--server", collector.report_address, f"{alice}:2"] in told
    assert ["--context", "127.0.0.1", f"{alice}:2"] in told


def test_the_server_may_be_named_in_the_environment_and_on_the_line(
    alice: Path, fleetnet: Program, collector: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_name = collector.report_address.replace("127.0.0.1", "localhost")
    assert fleetnet("hosts", "--server", by_name).status == 1
    monkeypatch.setenv("FLEETNET_SERVER", by_name)
    assert fleetnet("hosts").status == 1


def test_who_is_not_logged_in_is_told_how_to(fleetnet: Program, collector: Running) -> None:
    ran = fleetnet("hosts", "--server", collector.report_address)
    assert (ran.status, ran.out) == (4, "")
    assert "fleetnet login --server HOST:7444 --token-file FILE" in one_sentence(ran.err)
    assert fleetnet("config", "explain", "--server", collector.report_address).status == 0


def test_a_token_works_once_and_may_come_by_standard_input_or_as_an_option(
    collector: Running, fleetnet: Program, logins: Path
) -> None:
    token = person_token(collector, "dave")
    command = [SCRIPT, "login", "--server", collector.enroll_address, "--token-file", "-"]
    done = subprocess.run(command, input=token, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    ran = fleetnet("login", "--server", collector.enroll_address, "--token", token)
    assert ran.status == 4
    first, second = ran.err.splitlines()
    assert "others on this machine can read a token given as an option" in first
    assert "token refused: it is unknown, used up, revoked or expired" in second
    assert token not in ran.err
    assert [path.name for path in logins.iterdir()] == ["127.0.0.1.toml"]  # as it was, and nothing half done beside


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "there is no login that could be renewed"),
        (("--context", "home"), '"home" is no login that could be renewed'),
        (("--server", "collector"), "a token is needed"),
        (("--token", "fnt1.x"), "--server HOST:7444 is needed"),
        (("--server", "collector:x", "--token-file", "/dev/null"), "is not an address"),
        (("--server", "127.0.0.1", "--token-file", "/dev/null"), "this is not a token"),
        (("--server", "127.0.0.1", "--token-file", "/nowhere"), "/nowhere cannot be read"),
        (
            ("--server", "127.0.0.1", "--token-file", "/dev/null", "--context", "../x"),
            "cannot be the name of a context",
        ),
    ],
)
def test_a_login_that_makes_no_sense_says_what_is_missing(
    arguments: tuple[str, ...], said: str, fleetnet: Program
) -> None:
    ran = fleetnet("login", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert said in one_sentence(ran.err)


def test_a_token_that_was_cut_is_told_from_one_that_is_refused(collector: Running, fleetnet: Program) -> None:
    token = person_token(collector, "erin")
    ran = fleetnet("login", "--server", collector.enroll_address, "--token-file", "/dev/null", "--token", token[:-20])
    assert ran.status == 2
    assert "the token is damaged or cut short" in ran.err


@pytest.mark.root
def test_a_login_that_others_can_read_or_that_is_anothers_is_not_used(alice: Path, fleetnet: Program) -> None:
    alice.chmod(0o640)
    ran = fleetnet("hosts")
    assert ran.status == 4
    assert "is open to others (mode 0640) and is not used, for it holds a private key; chmod 600" in one_sentence(
        ran.err
    )
    alice.chmod(0o600)
    assert fleetnet("hosts").status == 1
    os.chown(alice, 65534, 65534)
    ran = fleetnet("hosts")
    assert ran.status == 4
    assert "belongs to another user (uid 65534)" in one_sentence(ran.err)


def test_a_link_in_the_place_of_the_folder_of_logins_leads_nowhere(
    collector: Running, fleetnet: Program, tmp_path: Path, logins: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    logins.parent.mkdir(parents=True)
    logins.symlink_to(elsewhere)
    ran = log_in_as("linus", collector, fleetnet, tmp_path)
    assert ran.status == 2
    assert "cannot be written" in one_sentence(ran.err)
    assert (elsewhere.stat().st_mode & 0o777, list(elsewhere.iterdir())) == (0o755, [])
    logins.unlink()
    # The token is as good as before.
    ran = fleetnet("login", "--server", collector.enroll_address, "--token-file", str(tmp_path / "token"))
    assert ran.status == 0, ran.err


def test_a_damaged_login_says_so(alice: Path, fleetnet: Program) -> None:
    alice.write_text('server = "127.0.0.1:1"\n')
    ran = fleetnet("hosts")
    assert ran.status == 2
    assert "is damaged" in one_sentence(ran.err)


def rewritten(path: Path, **changes: object) -> None:
    """A login with something else in it."""
    told = identities.load(path)
    with identities.Draft(path) as draft:
        draft.keep(identities.Identity(**{name: changes.get(name, getattr(told, name)) for name in told.__slots__}))  # type: ignore[arg-type]  # of any type


def test_a_certificate_that_has_ended_is_told_before_anybody_is_asked(alice: Path, fleetnet: Program) -> None:
    rewritten(alice, valid_until=identities.load(alice).valid_from)
    for ran in (fleetnet("hosts"), fleetnet("watch", "who-listens")):
        assert (ran.status, ran.out) == (4, "")
        assert "your certificate for 127.0.0.1:" in one_sentence(ran.err)
        assert "log in anew with a new token" in ran.err


def test_in_its_last_week_a_certificate_is_told_to_end(
    alice: Path, fleetnet: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fleetnet("hosts", "-o", "csv", "-q").err == ""
    asking._warn.cache_clear()
    monkeypatch.setattr(asking, "_WARN_S", 30 * 86_400)
    ran = fleetnet("hosts", "-o", "csv", "-q")
    assert ran.err == (
        'fleetnet: your certificate ends in 29 d, and what you ask is refused then; renew it with "fleetnet login"\n'
    )
    assert fleetnet("login", "-q").status == 0


def test_a_collector_of_another_ca_is_told_from_one_that_is_away(
    alice: Path, fleetnet: Program, tmp_path: Path
) -> None:
    other = Running(tmp_path / "other")
    try:
        ran = fleetnet("hosts", "--server", other.report_address)
        assert (ran.status, ran.out) == (5, "")
        assert "its certificate comes from another CA" in one_sentence(ran.err)
        ran = log_in_as("frank", other, fleetnet, tmp_path, "--server", other.report_address)
        assert ran.status == 5
        assert "check that it is the enrollment port (7444 unless set otherwise)" in one_sentence(ran.err)
    finally:
        other.kill()
    ran = fleetnet("hosts", "--server", other.report_address)
    assert ran.status == 5
    assert "Connection refused" in one_sentence(ran.err)


def test_a_certificate_that_the_collectors_ca_did_not_make_is_told_so(
    alice: Path, fleetnet: Program, collector: Running, tmp_path: Path
) -> None:
    other = Running(tmp_path / "other")
    try:
        stranger = log_in(other, "alice")
    finally:
        other.kill()
    rewritten(alice, key_pem=stranger.key_pem, certificate_pem=stranger.certificate_pem)
    ran = fleetnet("hosts")
    assert ran.status == 4
    assert "hangs up when it is shown your certificate" in one_sentence(ran.err)


def test_an_enrollment_port_answers_no_question(alice: Path, fleetnet: Program, collector: Running) -> None:
    ran = fleetnet("hosts", "--server", collector.enroll_address)
    assert ran.status == 2
    assert "it is an enrollment port (7443 is that for questions" in one_sentence(ran.err)


def test_who_is_revoked_in_the_midst_of_watching_is_told_and_it_ends(alice: Path, collector: Running) -> None:
    command = [str(SCRIPT), "watch", "who-listens", "-o", "ndjson"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert '"SocketNews"' in watching.stdout.readline()
        assert '"Begun"' in watching.stdout.readline()
        revoke(collector, "alice")
        _, err = watching.communicate(timeout=60)
    assert watching.returncode == 4
    assert "was revoked; log in with a new token" in one_sentence(err)


def test_a_role_that_was_taken_counts_at_once(alice: Path, collector: Running, fleetnet: Program) -> None:
    change_role(collector, "alice", VIEWER)
    assert fleetnet("person", "list").status == 4


def test_the_doctor_looks_at_the_login_and_at_the_way_over_the_network(
    alice: Path, collector: Running, fleetnet: Program
) -> None:
    ran = fleetnet("doctor")
    whole = ran.out
    assert (ran.status, ran.err) == (1, "")  # there are no hosts
    assert "problem" not in whole
    assert "told to operators only" in whole
    assert "clock: the collector's and that of this machine agree" in whole
    assert f"network: {collector.report_address} is the collector of this login" in whole
    assert "login: you are alice until " in whole
    change_role(collector, "alice", OPERATOR)
    whole = fleetnet("doctor").out
    assert "certificate: that of the collector lasts until" in whole
    assert "operators only" not in whole


def test_the_doctor_says_what_is_wrong_with_a_login(alice: Path, collector: Running, fleetnet: Program) -> None:
    rewritten(alice, valid_until=datetime.now(UTC) + timedelta(days=3))
    assert "the certificate of alice ends on " in fleetnet("doctor").out
    rewritten(alice, valid_until=datetime.now(UTC) - timedelta(days=3))
    ran = fleetnet("doctor")
    assert ran.status == 4
    assert "the certificate of alice ended on " in ran.out
    alice.chmod(0o644)
    ran = fleetnet("doctor")
    assert (ran.status, str(alice) in ran.out) == (4, True), (ran.out, ran.err)
    alice.unlink()
    ran = fleetnet("doctor", "--server", collector.report_address)
    assert ran.status == 4
    assert f"login: you are not logged in at {collector.report_address}" in ran.out


def test_a_token_goes_nowhere_where_the_disk_is_full(
    collector: Running, fleetnet: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logins: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(person_token(collector, "grace"))
    arguments = ("login", "--server", collector.enroll_address, "--token-file", str(token))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as there_is_no_room:
        there_is_no_room.setattr(os, "posix_fallocate", full)
        ran = fleetnet(*arguments)
    assert ran.status == 2
    assert "No space left on device" in one_sentence(ran.err)
    assert list(logins.iterdir()) == []
    assert fleetnet(*arguments).status == 0


def test_hosts_are_completed_over_the_network(alice: Path, collector: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from fleetnet_cli import known_hosts, settings

    collector.join("completed")
    here = settings.destination(None, None, settings.this_machine())
    known_hosts.ask(here)
    assert "completed" in known_hosts.names(here)
