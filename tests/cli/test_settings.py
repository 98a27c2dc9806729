"""Where the collector is looked for: option, environment, files, default; each before the next."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_cli.errors import UsageError
from fleetnet_cli.settings import Destination, Machine, destination


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(
        system_socket=tmp_path / "run/admin.sock",
        user_socket=tmp_path / "user/admin.sock",
        config_files=(tmp_path / "config.toml", tmp_path / "cli.toml"),
    )


def test_without_any_word_it_is_the_systems_collector_or_else_the_users(machine: Machine) -> None:
    assert machine.user_socket is not None
    assert destination(None, None, machine).address == str(machine.system_socket)
    machine.user_socket.parent.mkdir()
    machine.user_socket.touch()
    assert destination(None, None, machine).address == str(machine.user_socket)
    machine.system_socket.parent.mkdir()
    machine.system_socket.touch()
    assert destination(None, None, machine).address == str(machine.system_socket)


@pytest.mark.parametrize("server", ["unix:///tmp/a.sock", "unix:/tmp/a.sock", "/tmp/a.sock"])
def test_a_socket_may_be_written_three_ways(server: str, machine: Machine) -> None:
    assert destination(server, None, machine).address == "/tmp/a.sock"


@pytest.mark.parametrize("server", ["collector", "unix://", "unix:", ""])
def test_what_is_no_address_says_what_one_looks_like(server: str, machine: Machine) -> None:
    with pytest.raises(UsageError, match=r"write unix:///run/fleetnet/admin\.sock"):
        destination(server, None, machine)


@pytest.mark.parametrize("server", ["collector:7443", "collector.example.com:7443", "10.0.0.5:7443", "[::1]:7443"])
def test_a_collector_may_be_on_the_network(server: str, machine: Machine) -> None:
    assert destination(server, None, machine) == Destination(server)


@pytest.mark.parametrize("server", ["https://collector", "::1:7443", "a b:7443", "collector:https", "collector:"])
def test_what_is_no_address_on_the_network_says_how_one_is_written(server: str, machine: Machine) -> None:
    with pytest.raises(UsageError, match="write HOST:PORT"):
        destination(server, None, machine)


def test_a_context_is_found_in_either_file_and_the_users_comes_first(machine: Machine) -> None:
    mine, everybodys = machine.config_files
    everybodys.write_text('server = "unix:///all.sock"\n[contexts.lab]\nserver = "unix:///lab.sock"\n')
    assert destination(None, None, machine).address == "/all.sock"
    assert destination(None, "lab", machine).address == "/lab.sock"
    mine.write_text('context = "home"\n[contexts.home]\nserver = "unix:///home.sock"\n')
    assert destination(None, None, machine).address == "/home.sock"
    assert destination(None, "lab", machine).address == "/lab.sock"
    assert destination("unix:///given.sock", "lab", machine).address == "/given.sock"


@pytest.mark.parametrize(
    ("content", "context", "said"),
    [
        ("server = ", None, "is not TOML"),
        ("server = 7", None, "put it in quotes"),
        ("contexts = 7", None, r"write \[contexts\.NAME\]"),
        ("[contexts.home]\n", "home", r"contexts\.home\.server is missing"),
        ('[contexts.home]\nserver = "unix:///a"', "hmoe", 'no context "hmoe"; did you mean "home"'),
        ('context = "hom"\n[contexts.home]\nserver = "unix:///a"', None, 'did you mean "home"'),
        ("", "home", "contexts stand in "),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(
    content: str, context: str | None, said: str, machine: Machine
) -> None:
    machine.config_files[0].write_text(content)
    with pytest.raises(UsageError, match=said):
        destination(None, context, machine)


def test_the_option_after_the_command_outranks_the_one_before_and_that_the_environment(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = f"unix://{tmp_path}/admin.sock"
    assert fleetnet("hosts").status == 0  # FLEETNET_SERVER, set by the fixture
    monkeypatch.setenv("FLEETNET_SERVER", "unix:///nowhere")
    assert fleetnet("hosts").status == 5
    assert fleetnet("--server", there, "hosts").status == 0
    assert fleetnet("hosts", "--server", there).status == 0
    assert fleetnet("--server", there, "hosts", "--server", "unix:///nowhere").status == 5


def test_every_option_has_its_twin_in_the_environment(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "OUTPUT": "json", "AT": "2026-01-01T00:00:00Z", "HOST": "web*", "MAX_AGE": "90s", "LIMIT": "7", "QUIET": "1",
        "WHO_LISTENS_TCP": "1", "WHO_LISTENS_EXPOSED": "true", "WHO_LISTENS_PROCESS": "nginx",
        "WHO_LISTENS_UNIT": "nginx.service", "WHO_LISTENS_USER": "root",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"FLEETNET_{name}", value)
    from_environment = fleetnet("who-listens")
    typed = (
        "who-listens", "-o", "json", "--at", "2026-01-01T00:00:00Z", "--host", "web*", "--max-age", "90s",
        "--limit", "7", "-q", "--tcp", "--exposed", "--process", "nginx", "--unit", "nginx.service", "--user", "root",
    )  # fmt: skip
    assert fleetnet(*typed) == from_environment
    assert canned.asked[0] == canned.asked[1]
    assert from_environment.out.startswith("{")
    # netstat has one host as its argument and no glob; the twin of --host must not reach it.
    fleetnet("netstat", "web1")
    assert canned.asked[2].selection.host_glob == ""  # type: ignore[union-attr]  # a question, not a token


@pytest.mark.parametrize(
    ("name", "value", "asked", "said"),
    [
        ("QUIET", "maybe", ("hosts",), 'FLEETNET_QUIET: "maybe" is neither yes nor no; write 1 or 0'),
        ("LIMIT", "many", ("hosts",), "FLEETNET_LIMIT: 'many' is not a valid integer"),
        ("AT", "tomorow", ("hosts",), "(--at is from FLEETNET_AT)"),
        ("OUTPUT", "jsn", ("hosts",), "(--output is from FLEETNET_OUTPUT)"),
        ("TIMEOUT", "7", ("hosts",), "(--timeout is from FLEETNET_TIMEOUT)"),
        ("SERVER", "collector", ("hosts",), "(--server is from FLEETNET_SERVER)"),
        ("WHO_LISTENS_CIDR", "10/8", ("who-listens",), "(--cidr is from FLEETNET_WHO_LISTENS_CIDR)"),
        ("AT", "1h ago", ("netstat", "web1", "--live"), "(--at is from FLEETNET_AT)"),
    ],
)
def test_what_is_wrong_with_a_value_of_the_environment_is_said_with_its_variable(
    name: str, value: str, asked: tuple[str, ...], said: str, canned: Canned, fleetnet: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv(f"FLEETNET_{name}", value)
    ran = fleetnet(*asked)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    assert "''" not in ran.err


def test_a_value_that_was_typed_is_told_without_a_variable(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETNET_AT", "1h ago")
    assert "FLEETNET" not in fleetnet("hosts", "--at", "tomorow").err


@pytest.mark.parametrize(
    ("output", "asked"),
    [
        ("junit", ("hosts",)),
        ("csv", ("explain", "CLOSE_WAIT", "-q")),
        ("name", ("netstat", "web1", "-rn")),
        ("wide", ("host", "web1")),
        ("json", ("audit", "--learn")),
    ],
)
def test_a_format_of_the_environment_that_a_command_does_not_take_is_passed_over(
    output: str, asked: tuple[str, ...], canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = fleetnet(*asked)
    monkeypatch.setenv("FLEETNET_OUTPUT", output)
    ran = fleetnet(*asked)
    assert (ran.status, ran.out.splitlines()[0]) == (plain.status, plain.out.splitlines()[0])
    assert fleetnet("hosts", "-o", "junit").status == 2


def test_min_and_by_have_twins_named_as_they_are_typed(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETNET_WHO_HOLDS_MIN", "2")
    monkeypatch.setenv("FLEETNET_WHO_HOLDS_BY", "host")
    assert fleetnet("who-holds", "LISTEN", "-q").out == "2  web1\n"


def test_the_context_of_a_file_is_used_by_the_program(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("FLEETNET_SERVER")
    (tmp_path / "config/fleetnet").mkdir(parents=True)
    file = tmp_path / "config/fleetnet/config.toml"
    file.write_text(f'[contexts.lab]\nserver = "unix://{tmp_path}/admin.sock"\n')
    assert fleetnet("hosts", "--context", "lab").status == 0
    assert fleetnet("--context", "lab", "hosts").status == 0
    monkeypatch.setenv("FLEETNET_CONTEXT", "lab")
    assert fleetnet("hosts").status == 0


def test_a_context_that_is_typed_outranks_a_server_of_the_environment(
    canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config/fleetnet").mkdir(parents=True)
    file = tmp_path / "config/fleetnet/config.toml"
    file.write_text('[contexts.lab]\nserver = "unix:///lab.sock"\n')
    for typed in (("hosts", "--context", "lab"), ("--context", "lab", "hosts")):
        assert "no collector at /lab.sock" in fleetnet(*typed).err
        # A server that is typed too is the nearer word of the two.
        assert fleetnet(*typed, "--server", f"unix://{tmp_path}/admin.sock").status == 0
    monkeypatch.setenv("FLEETNET_CONTEXT", "lab")
    assert fleetnet("hosts").status == 0


@pytest.mark.parametrize("typed", [(), ("--server", "unix:///given.sock")])
def test_a_context_that_there_is_not_is_wrong_whatever_server_is_named(
    typed: tuple[str, ...], canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = fleetnet("hosts", "--context", "lba", *typed)
    assert (ran.status, ran.err[:28]) == (2, 'fleetnet: no context "lba"; ')
    monkeypatch.setenv("FLEETNET_CONTEXT", "lba")
    assert fleetnet("hosts", *typed).status == 2


def test_a_socket_that_nobody_serves_is_not_waited_for(tmp_path: Path, fleetnet: Callable[..., Ran]) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        ran = fleetnet("hosts", "--server", f"unix://{path}")
    assert ran.status == 5
    assert "is not the admin socket of a collector" in ran.err
