"""Where the collector is, and how an answer is wanted: option, environment, configuration file, default, in this order.
A server outranks a context where both come from the same of these.

The configuration file is TOML, read only where it exists:

    context = "home"                    # which context counts where --context is not given
    [contexts.home]
    server = "unix:///run/fleetnet/admin.sock"

A file without contexts may have `server` at its top, as /etc/fleetnet/cli.toml usually does.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fleetnet_cli.errors import UsageError, suggestion

SYSTEM_SOCKET = Path("/run/fleetnet/admin.sock")
SYSTEM_FILE = Path("/etc/fleetnet/cli.toml")


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine, as far as finding the collector depends on it."""

    system_socket: Path
    user_socket: Path | None
    config_files: tuple[Path, ...]  # the first that has an answer counts


def this_machine() -> Machine:
    """The one we run on."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    config_home = os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()
    return Machine(
        system_socket=SYSTEM_SOCKET,
        user_socket=Path(runtime) / "fleetnet/admin.sock" if runtime else None,
        config_files=(Path(config_home) / "fleetnet/config.toml", SYSTEM_FILE),
    )


@dataclass(frozen=True, slots=True)
class Written:
    """A value of a configuration file, and where in it."""

    value: str
    file: Path
    key: tuple[str, ...]  # ("contexts", "home", "server")


def admin_socket(server: str | None, context: str | None, machine: Machine) -> str:
    """Path of the admin socket to ask; UsageError where --server or a file says something that is none.

    A server that is named outranks a context that is named, but one that there is not is wrong all the same.
    """
    written = configured(context, machine) if server is None or context is not None else None
    if server is None and written is not None:
        server = written.value
    return _socket_path(server) if server is not None else default_socket(machine)


def default_socket(machine: Machine) -> str:
    """Path of the admin socket of whom nobody has said a word."""
    # The system's collector, else the one this user runs.
    if machine.user_socket is not None and there(machine.user_socket) and not there(machine.system_socket):
        return str(machine.user_socket)
    return str(machine.system_socket)


def there(path: Path) -> bool:
    """Whether something is there, be it closed to us."""
    try:
        return path.exists()
    except PermissionError:
        return True  # it is there, and closed to us: worth saying


def _socket_path(server: str) -> str:
    if server.startswith("unix:"):
        path = server.removeprefix("unix:")
        path = "/" + path.lstrip("/") if path.startswith("//") else path
        if path.strip("/"):
            return path
    elif server.startswith("/"):
        return server
    elif ":" in server:
        shown = re.sub(r"//[^/@]*@", "//…@", server)  # a password in it is nobody's to read
        raise UsageError(
            f"--server {shown}: questions over the network need a certificate for people, which this version "
            "does not issue yet; ask on the collector's machine, with --server unix:///PATH"
        )
    raise UsageError(f'--server "{server}" is not an address; write unix:///run/fleetnet/admin.sock')


def configured(context: str | None, machine: Machine) -> Written | None:
    """The server that a file names for this context, or for the one that the file itself chooses."""
    known: list[str] = []
    for path in machine.config_files:
        table = read(path)
        contexts = _tables(table.get("contexts"), path)
        known += contexts
        wanted = context or _string(table.get("context"), "context", path)
        if wanted is not None and wanted in contexts:
            return _server_of(contexts[wanted], ("contexts", wanted, "server"), path)
        if wanted is not None and context is None:
            raise UsageError(f'{path}: context "{wanted}" is not in it{suggestion(wanted, known)}')
        if context is None and "server" in table:
            return _server_of(table, ("server",), path)
    if context is not None:
        guess = suggestion(context, known) or f"; contexts stand in {machine.config_files[0]}"
        raise UsageError(f'no context "{context}"{guess}')
    return None


def chosen_context(machine: Machine) -> Written | None:
    """The context that a file chooses where nobody else does."""
    for path in machine.config_files:
        table = read(path)
        if (name := _string(table.get("context"), "context", path)) is not None:
            return Written(name, path, ("context",))
        if "server" in table:
            return None
    return None


def contexts(machine: Machine) -> list[str]:
    """The names of all contexts."""
    return [name for path in machine.config_files for name in _tables(read(path).get("contexts"), path)]


def unread(machine: Machine) -> list[Written]:
    """What stands in the files and means nothing, without its value."""
    found: list[Written] = []
    for path in machine.config_files:
        table = read(path)
        found += [Written("", path, (key,)) for key in table if key not in ("context", "contexts", "server")]
        for name, inner in _tables(table.get("contexts"), path).items():
            found += [Written("", path, ("contexts", name, key)) for key in inner if key != "server"]
    return found


_KEY_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")
_HEADER = re.compile(r"\s*\[([^\[\]]+)\]")
_ASSIGNED = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")


def line_of(written: Written) -> int | None:
    """The line of its file, from 1, on which the value stands. The reader of TOML keeps none, so it is looked for."""
    table: tuple[str, ...] = ()
    for number, line in enumerate(written.file.read_text(errors="replace").splitlines(), 1):
        if header := _HEADER.match(line):
            table = _key(header[1])
        elif assigned := _ASSIGNED.match(line):
            key = table + _key(assigned[1])
            # An inline table (home = {server = …}) has its keys on its own line.
            if written.key[: len(key)] == key:
                return number
    return None


def _key(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _KEY_PART.findall(text))


def _server_of(table: dict[str, object], key: tuple[str, ...], path: Path) -> Written:
    called = ".".join(key)
    server = _string(table.get("server"), called, path)
    if server is None:
        raise UsageError(f'{path}: {called} is missing; write server = "unix:///run/fleetnet/admin.sock"')
    return Written(server, path, key)


def read(path: Path) -> dict[str, object]:
    """A configuration file; empty where there is none, UsageError where it is none."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); make it readable or move it away") from error
    import tomllib  # costs 5 ms, and most machines have no such file

    try:
        return dict(tomllib.loads(content.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML ({error}); correct it or move it away") from error


def _tables(value: object, path: Path) -> dict[str, dict[str, object]]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
        raise UsageError(f"{path}: contexts are tables; write [contexts.NAME]")
    return value


def _string(value: object, key: str, path: Path) -> str | None:
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{path}: {key} is not a text; put it in quotes")
    return value
