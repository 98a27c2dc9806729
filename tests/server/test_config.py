"""Option, environment, file, default: in this order, each with its own clear refusal."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import pytest
from fleetnet_server import config
from fleetnet_server.config import Address
from fleetnet_server.errors import ConfigError
from fleetnet_server.keep import Keep
from fleetnet_server.limits import Limits


def loaded(*arguments: str, environment: Mapping[str, str] | None = None) -> config.Config:
    parser = argparse.ArgumentParser()
    config.add_options(parser)
    config.add_run_options(parser)
    return config.load(parser.parse_args(arguments), environment or {})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(
        'data = "/from/file"\nlisten = "10.0.0.1:1"\nenroll-listen = "10.0.0.1:2"\nadvertise = ["file:1", "file:2"]\n'
    )
    return path


def test_defaults_are_those_of_a_system_service(tmp_path: Path) -> None:
    empty = tmp_path / "empty.toml"
    empty.touch()
    settings = loaded(f"--config={empty}")
    assert settings.data == Path("/var/lib/fleetnet")
    assert settings.database == "sqlite:////var/lib/fleetnet/fleetnet.db"
    assert (str(settings.listen), str(settings.enroll_listen)) == ("0.0.0.0:7443", "0.0.0.0:7444")
    assert settings.advertise == ()


def test_the_file_outranks_the_default(file: Path) -> None:
    settings = loaded(f"--config={file}")
    assert settings.data == Path("/from/file")
    assert settings.database == "sqlite:////from/file/fleetnet.db"
    assert settings.listen == Address("10.0.0.1", 1)
    assert settings.advertise == (Address("file", 1), Address("file", 2))


def test_the_environment_outranks_the_file(file: Path) -> None:
    environment = {
        "FLEETNET_SERVER_CONFIG": str(file),
        "FLEETNET_SERVER_DATA": "/from/environment",
        "FLEETNET_SERVER_DATABASE": "sqlite:////elsewhere.db",
        "FLEETNET_SERVER_LISTEN": "[::]:7",
        "FLEETNET_SERVER_ENROLL_LISTEN": "10.0.0.2:8",
        "FLEETNET_SERVER_ADVERTISE": "a.example:1, b.example:2",
        "FLEETNET_SERVER_ADMIN_SOCKET": "/from/environment.sock",
        "FLEETNET_SERVER_METRICS_LISTEN": "127.0.0.1:9",
    }
    assert loaded(environment=environment) == config.Config(
        data=Path("/from/environment"),
        database="sqlite:////elsewhere.db",
        listen=Address("::", 7),
        advertise=(Address("a.example", 1), Address("b.example", 2)),
        enroll_listen=Address("10.0.0.2", 8),
        admin_socket=Path("/from/environment.sock"),
        metrics_listen=Address("127.0.0.1", 9),
    )


def test_metrics_are_shown_to_this_machine_unless_told_otherwise() -> None:
    assert loaded().metrics_listen == Address("127.0.0.1", 9464)
    assert loaded("--metrics-listen=off").metrics_listen is None
    with pytest.raises(ConfigError, match="--metrics-listen 'none' is not HOST:PORT"):
        loaded("--metrics-listen=none")


def test_an_option_outranks_the_environment() -> None:
    environment = {"FLEETNET_SERVER_LISTEN": "10.0.0.1:1", "FLEETNET_SERVER_ADVERTISE": "a.example:1"}
    settings = loaded(
        "--listen=10.0.0.9:9", "--advertise=x.example:1", "--advertise=y.example:2", environment=environment
    )
    assert settings.listen == Address("10.0.0.9", 9)
    assert settings.advertise == (Address("x.example", 1), Address("y.example", 2))


def test_limits_come_from_option_environment_file_and_default_in_this_order(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('memory-mib = 7\nrows-per-minute = "8"\nmib-per-minute = 9\n')
    environment = {"FLEETNET_SERVER_CONFIG": str(file), "FLEETNET_SERVER_ROWS_PER_MINUTE": "80"}
    settings = loaded("--mib-per-minute=90", environment=environment)
    assert settings.limits == Limits(memory_mib=7, rows_per_minute=80, mib_per_minute=90, streams_per_second=200)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "99999999999", "\u0663"])
def test_a_limit_that_is_no_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--memory-mib .* is not a number from 1"):
        loaded(f"--memory-mib={text}")


def test_what_is_kept_comes_from_the_same_places_as_limits_do(tmp_path: Path) -> None:
    assert loaded().keep == Keep(keep_listeners_days=400, keep_sockets_days=30, keep_brief_days=1)
    file = tmp_path / "server.toml"
    file.write_text('keep-listeners-days = "forever"\nkeep-sockets-days = 8\nkeep-brief-days = 9\n')
    environment = {"FLEETNET_SERVER_CONFIG": str(file), "FLEETNET_SERVER_KEEP_SOCKETS_DAYS": "80"}
    settings = loaded("--keep-brief-days=90", environment=environment)
    assert settings.keep == Keep(keep_listeners_days=None, keep_sockets_days=80, keep_brief_days=90)
    assert settings.keep.longest_days is None
    assert Keep().longest_days == 400


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "never", "99999", "30d", "\u0663"])
def test_days_that_are_no_number_are_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match=r'^--keep-sockets-days .* a number of days from 1 to 36500 nor "forever"; '):
        loaded(f"--keep-sockets-days={text}")


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert loaded(environment={"FLEETNET_SERVER_DATA": ""}).data == Path("/var/lib/fleetnet")


@pytest.mark.parametrize(
    "text",
    ["", "host", "host:", ":7443", "host:port", "host:70000", "host:-1", "host:+1", "::1:7443", "a b:1", "[x]:1"],
)
def test_what_is_not_host_and_port_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--listen .* is not HOST:PORT"):
        config.parse_address(text, "--listen")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("collector.example:7443", Address("collector.example", 7443)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: Address) -> None:
    assert config.parse_address(text, "--listen") == address
    assert str(address) == text


@pytest.mark.parametrize("address", ["0.0.0.0:7443", "[::]:7443", "collector.example:0"])
def test_nobody_is_told_to_report_to_nowhere(address: str) -> None:
    with pytest.raises(ConfigError, match="nowhere a host can connect to"):
        loaded(f"--advertise={address}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("data = ", "is not TOML"),
        ("dta = '/x'", "has 'dta'; known are"),
        ("listen = 7443", "listen in the configuration file is not text"),
        ("advertise = [1]", "is not a list of texts"),
        ("data = '\xff'", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "server.toml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=words):
        loaded(f"--config={file}")


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no configuration file"):
        loaded(f"--config={tmp_path / 'missing.toml'}")


@pytest.mark.parametrize(
    ("uid", "environment", "socket"),
    [
        (0, {"XDG_RUNTIME_DIR": "/run/user/0"}, "/run/fleetnet/admin.sock"),
        (1000, {"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/fleetnet/admin.sock"),
        (1000, {}, "/data/admin.sock"),
    ],
)
def test_the_admin_socket_stands_where_the_command_line_looks_for_it(
    monkeypatch: pytest.MonkeyPatch, uid: int, environment: dict[str, str], socket: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    assert loaded("--data=/data", environment=environment).admin_socket == Path(socket)


def test_a_socket_path_that_the_kernel_cannot_take_is_refused() -> None:
    with pytest.raises(ConfigError, match="longer than the 107 bytes"):
        loaded(f"--admin-socket=/{'x' * 107}")


def test_a_directory_that_no_database_url_can_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match="choose another"):
        loaded("--data=/var/lib/what?")


@pytest.mark.parametrize("url", ["postgresql://me:secret@db/x", "postgresql+psycopg:///x?host=db&password=secret"])
def test_a_password_is_not_taken_from_the_command_line(url: str) -> None:
    with pytest.raises(ConfigError, match="others can read on the command line") as refused:
        loaded(f"--database={url}")
    assert "~/.pgpass" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert loaded(environment={"FLEETNET_SERVER_DATABASE": url}).database == url
