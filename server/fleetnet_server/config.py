"""What the collector was told: option, else environment, else the configuration file, else the default.

The standard library only, for `--help` and usage errors must be quick. Every option has a twin in the environment
(`--enroll-listen` is FLEETNET_SERVER_ENROLL_LISTEN) and in /etc/fleetnet/server.toml (`enroll-listen = "…"`).
"""

import argparse
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from fleetnet_server import keep, limits
from fleetnet_server.errors import ConfigError
from fleetnet_server.keep import Keep
from fleetnet_server.limits import Limits

ENVIRONMENT_PREFIX = "FLEETNET_SERVER_"
DEFAULT_FILE = Path("/etc/fleetnet/server.toml")
DEFAULT_DATA = Path("/var/lib/fleetnet")
_SYSTEM_SOCKET = Path("/run/fleetnet/admin.sock")
_DEFAULTS = {"listen": "0.0.0.0:7443", "enroll-listen": "0.0.0.0:7444", "metrics-listen": "127.0.0.1:9464"}
_OFF = "off"
_NUMBERS = limits.DEFAULTS | keep.DEFAULTS
_KNOWN = frozenset(
    {"data", "database", "listen", "advertise", "enroll-listen", "admin-socket", "metrics-listen", *_NUMBERS}
)
_HOST = re.compile(r"[0-9A-Za-z._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}(%[0-9A-Za-z._-]+)?\]")
# sun_path of struct sockaddr_un, <linux/un.h>, with its NUL.
_MAX_SOCKET_PATH_BYTES = 108


@dataclass(frozen=True, slots=True)
class Address:
    """HOST:PORT. `host` has no brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that `run`, `migrate` and `doctor` need to be told."""

    data: Path
    database: str
    listen: Address
    advertise: tuple[Address, ...]
    enroll_listen: Address
    admin_socket: Path
    metrics_listen: Address | None
    limits: Limits = field(default_factory=Limits)
    keep: Keep = field(default_factory=Keep)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command of the collector takes."""
    parser.add_argument("--config", metavar="FILE", help=f"configuration file (default {DEFAULT_FILE}, if there)")
    parser.add_argument("--data", metavar="DIR", help=f"directory of keys and database (default {DEFAULT_DATA})")
    parser.add_argument(
        "--database",
        metavar="URL",
        help="sqlite:///FILE (default: fleetnet.db in DIR) or postgresql+psycopg://USER@HOST/DATABASE, whose password "
        "stands in ~/.pgpass or the file that PGPASSFILE names",
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """The options of `run` alone."""
    parser.add_argument("--listen", metavar="HOST:PORT", help=f"where hosts report (default {_DEFAULTS['listen']})")
    parser.add_argument(
        "--advertise",
        metavar="HOST:PORT",
        action="append",
        help="where hosts are told to report; may be given several times (default: the host they enrolled at)",
    )
    parser.add_argument(
        "--enroll-listen", metavar="HOST:PORT", help=f"where hosts enroll (default {_DEFAULTS['enroll-listen']})"
    )
    parser.add_argument(
        "--metrics-listen",
        metavar="HOST:PORT",
        help=f"where /metrics and /healthz answer, to anybody who can connect; "
        f'"{_OFF}": nowhere (default {_DEFAULTS["metrics-listen"]})',
    )
    parser.add_argument(
        "--admin-socket",
        metavar="PATH",
        help=f"unix socket of the `fleetnet` command (default: as root {_SYSTEM_SOCKET}, "
        "else $XDG_RUNTIME_DIR/fleetnet/admin.sock, else admin.sock in DIR)",
    )
    for name, what in limits.HELP.items():
        parser.add_argument(f"--{name}", metavar="N", help=f"{what} (default {limits.DEFAULTS[name]})")
    for name, what in keep.HELP.items():
        parser.add_argument(
            f"--{name}", metavar="DAYS", help=f'{what}, or "{keep.FOREVER}" (default {keep.DEFAULTS[name]})'
        )


def load(options: argparse.Namespace, environment: Mapping[str, str]) -> Config:
    """Bring the four sources together. Raises ConfigError."""
    _check_no_password(options.database)
    written = _read_file(options.config or environment.get(ENVIRONMENT_PREFIX + "CONFIG"))

    def told(name: str) -> str | None:
        value = _first(getattr(options, name.replace("-", "_"), None), environment.get(_twin(name)), written.get(name))
        if name in _NUMBERS and type(value) is int:
            return str(value)
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{name} in the configuration file is not text; put it in quotes")
        return value if value is not None else (_DEFAULTS | _NUMBERS).get(name)

    data = Path(told("data") or DEFAULT_DATA).absolute()
    if "?" in str(data):
        raise ConfigError(
            f"the data directory {data} has a '?' in its name, which no database URL can hold; choose another"
        )
    return Config(
        data=data,
        database=told("database") or f"sqlite:///{quote(str(data / 'fleetnet.db'))}",
        listen=parse_address(told("listen") or "", "--listen"),
        advertise=_advertised(getattr(options, "advertise", None), environment, written),
        enroll_listen=parse_address(told("enroll-listen") or "", "--enroll-listen"),
        admin_socket=_admin_socket(told("admin-socket"), data, environment),
        limits=limits.parse({name: told(name) or "" for name in limits.DEFAULTS}),
        keep=keep.parse({name: told(name) or "" for name in keep.DEFAULTS}),
        metrics_listen=_unless_off(told("metrics-listen") or _OFF, "--metrics-listen"),
    )


def parse_address(text: str, option: str) -> Address:
    """HOST:PORT or [IPV6]:PORT. Raises ConfigError."""
    host, separator, port = text.rpartition(":")
    # Decimal digits only: int() would take "+7" and " 7 " as well.
    if not separator or not _HOST.fullmatch(host) or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 0xFFFF:
        example = "collector.example.com:7443" if option == "--advertise" else "0.0.0.0:7443 or [::]:7443"
        raise ConfigError(f"{option} {text!r} is not HOST:PORT; write for example {example}")
    return Address(host.strip("[]"), int(port))


def _unless_off(text: str, option: str) -> Address | None:
    return None if text == _OFF else parse_address(text, option)


def _check_no_password(database: str | None) -> None:
    """Everybody on a machine can read the command lines of its processes."""
    try:
        told = urlsplit(database or "")
        holds_one = bool(told.password) or "password" in parse_qs(told.query)
    except ValueError:
        return  # no URL at all, which is told where it is used
    if holds_one:
        raise ConfigError(
            "--database holds a password, which others can read on the command line; put it in ~/.pgpass or the file "
            f"that PGPASSFILE names, or give the URL as {_twin('database')}"
        )


def _advertised(
    options: list[str] | None, environment: Mapping[str, str], written: Mapping[str, object]
) -> tuple[Address, ...]:
    twin = environment.get(_twin("advertise"))
    values = _first(options, twin.replace(",", " ").split() if twin else None, written.get("advertise"))
    if isinstance(values, str):
        values = [values]
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ConfigError('advertise in the configuration file is not a list of texts; write ["HOST:PORT"]')
    addresses = tuple(parse_address(value, "--advertise") for value in values)
    for address in addresses:
        if address.port == 0 or address.host in ("0.0.0.0", "::"):  # noqa: S104  # refused, not bound
            raise ConfigError(
                f"--advertise {address} is nowhere a host can connect to; name the collector and its port"
            )
    return addresses


def _admin_socket(told: str | None, data: Path, environment: Mapping[str, str]) -> Path:
    if told:
        path = Path(told.removeprefix("unix://")).absolute()
    elif os.geteuid() == 0:
        path = _SYSTEM_SOCKET
    elif runtime := environment.get("XDG_RUNTIME_DIR"):
        path = Path(runtime) / "fleetnet" / "admin.sock"
    else:
        path = data / "admin.sock"
    if len(os.fsencode(path)) >= _MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            f"the path of the admin socket, {path}, is longer than the {_MAX_SOCKET_PATH_BYTES - 1} bytes that the "
            "kernel takes; give a shorter one with --admin-socket"
        )
    return path


def _read_file(told: str | None) -> Mapping[str, object]:
    file = Path(told) if told else DEFAULT_FILE
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if told:
            raise ConfigError(f"there is no configuration file {file}; check --config") from error
        return {}
    except OSError as error:
        raise ConfigError(f"the configuration file {file} cannot be read: {error.strerror}; check its mode") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration file {file} is not TOML: {error}; correct it") from error
    if unknown := sorted(set(written) - _KNOWN):
        raise ConfigError(f"the configuration file {file} has {unknown[0]!r}; known are {', '.join(sorted(_KNOWN))}")
    return written


def _first(*values: object) -> object:
    return next((value for value in values if value not in (None, "")), None)


def _twin(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper().replace("-", "_")
