"""The agent's settings and where each comes from: option, FLEETNET_AGENT_* environment, file, default.

Every option of every command stands once in OPTIONS; the parser, the environment names and the keys of the file are
made from it. Knows nothing of what the settings are for.
"""

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleetnet_agent.errors import AgentError

ENVIRONMENT_PREFIX = "FLEETNET_AGENT_"
DEFAULT_FILE = Path("/etc/fleetnet/agent.toml")
DEFAULT_STATE = "/var/lib/fleetnet-agent"

MOST_BYTES = 2**30  # the kernel doubles what it is asked for and keeps it in an int
MOST_PERCENT = 100_000  # of one core: a thousand of them
MOST_MIB = 2**20
LEAST_SPOOL_MIB = 1

TYPE_NAMES = {str: "a text", bool: "true or false"}
BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Option:
    """One setting: `--helper-socket` is FLEETNET_AGENT_HELPER_SOCKET and `helper-socket` in the file."""

    name: str
    commands: tuple[str, ...]
    help: str
    default: str | bool | None = None
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    flag: bool = False
    number: bool = False
    in_file: bool = True  # False for what belongs to one call of a command only

    @property
    def key(self) -> str:
        """Its key in the file, and after two dashes how it is typed."""
        return self.name.replace("_", "-")


OPTIONS = (
    Option(
        "server", ("enroll",), "the collector's enrollment address, port 7444 if none is given", metavar="HOST:PORT"
    ),
    Option(
        "token_file", ("enroll",), "file that holds the token; - reads standard input", metavar="FILE|-", in_file=False
    ),
    Option("token", ("enroll",), "the token itself; others on this host can read it", metavar="TOKEN", in_file=False),
    Option("force", ("enroll",), "replace the identity that is there", default=False, flag=True, in_file=False),
    Option("state", ("enroll", "run", "doctor"), "directory of this host's identity", DEFAULT_STATE, "DIR"),
    Option(
        "with_helper", ("run", "once"), "start the privileged helper too, then give up root", default=False, flag=True
    ),
    Option(
        "helper_socket",
        ("run", "once", "doctor"),
        "socket of the privileged helper (default: /run/fleetnet/helper.sock; with --with-helper, one of its own)",
        metavar="PATH",
    ),
    Option(
        "namespaces",
        ("run", "once", "doctor"),
        "network namespaces to read (default: all where a helper answers and the agent is in that of process 1, "
        "else own)",
        choices=("all", "own"),
    ),
    Option(
        "events_buffer_bytes",
        ("run",),
        "bytes of the kernel's memory for closed sockets that the agent has not yet read; about 1300 each",
        default="33554432",
        metavar="BYTES",
        number=True,
    ),
    Option(
        "cpu_ceiling_percent",
        ("run", "doctor"),
        "percent of one core that the agent may use, averaged over a minute; near it the agent looks more rarely "
        "and says so; 0 for no ceiling",
        default="5",
        metavar="PERCENT",
        number=True,
    ),
    Option(
        "memory_ceiling_mib",
        ("run", "doctor"),
        "resident memory that the agent may use; near it the agent keeps less and says so; 0 for no ceiling",
        default="96",
        metavar="MIB",
        number=True,
    ),
    Option(
        "spool_size",
        ("run", "doctor"),
        "disk in the state directory, in MiB, for what happens while no collector answers; 0 keeps nothing",
        default="64",
        metavar="MIB",
        number=True,
    ),
    Option("output", ("once",), "format of what is printed", "json", choices=("json",)),
    Option("output", ("doctor",), "format of what is printed", "text", choices=("text", "json"), in_file=False),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one call; those that its command does not have keep their defaults."""

    server: str | None = None
    token_file: str | None = None
    token: str | None = None
    force: bool = False
    state: Path = Path(DEFAULT_STATE)
    with_helper: bool = False
    helper_socket: Path | None = None
    namespaces: str = ""  # "all", "own", or "" for what makes sense on this host
    events_buffer_bytes: int = 33_554_432
    cpu_ceiling_percent: float = 5
    memory_ceiling_mib: float = 96
    spool_size: float = 64  # MiB
    output: str = "json"


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Give a command's parser its options; all default to None, so that `settings` sees what was typed."""
    parser.add_argument("--config", metavar="FILE", help=f"settings file (default: {DEFAULT_FILE} if it is there)")
    for option in OPTIONS:
        if command not in option.commands:
            continue
        names = [f"--{option.key}"] if option.name != "output" else ["-o", f"--{option.key}"]
        text = option.help + (f" (default: {option.default})" if isinstance(option.default, str) else "")
        if option.flag:
            parser.add_argument(*names, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            parser.add_argument(*names, metavar=option.metavar, choices=option.choices or None, help=text)


def settings(command: str, typed: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Settle each setting of `command`. Raises AgentError for a value or a file that makes no sense."""
    file_name = typed.config or environment.get(ENVIRONMENT_PREFIX + "CONFIG")
    in_file = read_file(Path(file_name)) if file_name else read_file(DEFAULT_FILE, optional=True)
    chosen: dict[str, str | bool | None] = {}
    for option in (o for o in OPTIONS if command in o.commands):
        value = getattr(typed, option.name)
        if value is None:
            value = _from_environment(option, environment)
        if value is None and option.in_file:
            value = in_file.get(option.key)
        chosen[option.name] = option.default if value is None else value
    return _settings(chosen)


def _settings(chosen: Mapping[str, str | bool | None]) -> Settings:
    def text(name: str) -> str | None:
        value = chosen.get(name)
        return value if isinstance(value, str) else None

    helper_socket = text("helper_socket")
    return Settings(
        server=text("server"),
        token_file=text("token_file"),
        token=text("token"),
        force=bool(chosen.get("force")),
        state=Path(text("state") or DEFAULT_STATE),
        with_helper=bool(chosen.get("with_helper")),
        helper_socket=Path(helper_socket) if helper_socket else None,
        namespaces=text("namespaces") or "",
        events_buffer_bytes=_bytes("events-buffer-bytes", text("events_buffer_bytes") or "33554432"),
        cpu_ceiling_percent=_number("cpu-ceiling-percent", text("cpu_ceiling_percent") or "5", MOST_PERCENT),
        memory_ceiling_mib=_number("memory-ceiling-mib", text("memory_ceiling_mib") or "96", MOST_MIB),
        spool_size=_spool_size(text("spool_size") or "64"),
        output=text("output") or "json",
    )


def _bytes(option: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= MOST_BYTES:
        raise AgentError(f"--{option} is {value!r}, but it is a number of bytes from 1 to {MOST_BYTES}")
    return int(value)


def _spool_size(value: str) -> float:
    size_mib = _number("spool-size", value, MOST_MIB, "nothing is kept")
    if 0 < size_mib < LEAST_SPOOL_MIB:
        raise AgentError(f"--spool-size is {value!r}, but it is 0 (nothing is kept) or at least {LEAST_SPOOL_MIB} MiB")
    return size_mib


def _number(option: str, value: str, most: int, zero: str = "no ceiling") -> float:
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,3})?", value, re.ASCII) or float(value) > most:
        raise AgentError(f"--{option} is {value!r}, but it is a number from 0 ({zero}) to {most}")
    return float(value) if "." in value else int(value)


def _from_environment(option: Option, environment: Mapping[str, str]) -> str | bool | None:
    name = ENVIRONMENT_PREFIX + option.name.upper()
    value = environment.get(name)
    if not value:
        return None
    if not option.flag:
        return _choice(option, value, name)
    if value.lower() not in BOOLEANS:
        raise AgentError(f"{name} is {value!r}, but it is true or false; set it to 1 or 0")
    return BOOLEANS[value.lower()]


def _choice(option: Option, value: str, where: str) -> str:
    if option.choices and value not in option.choices:
        raise AgentError(f"{where} is {value!r}, but it can be {' or '.join(option.choices)}")
    return value


def read_file(path: Path, *, optional: bool = False) -> dict[str, str | bool]:
    """Settings of a TOML file. Raises AgentError where it cannot be read or says what no option means."""
    import tomllib  # late: most agents have no file

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if optional:
            return {}
        raise AgentError(f"the settings file {path} does not exist; name another with --config") from error
    except OSError as error:
        raise AgentError(f"the settings file {path} cannot be read: {error.strerror}; mend its permissions") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AgentError(f"the settings file {path} is not TOML: {error}; mend it") from error
    known = {option.key: option for option in OPTIONS if option.in_file}
    for key, value in table.items():
        if key not in known:
            raise AgentError(f"{path} sets {key!r}, which no option means; it may set {', '.join(sorted(known))}")
        wanted = bool if known[key].flag else str
        if type(value) is not wanted:
            raise AgentError(f"{path} sets {key} to {value!r}, but it is {TYPE_NAMES[wanted]}")
        if isinstance(value, str):
            _choice(known[key], value, f"{key} in {path}")
    return table
