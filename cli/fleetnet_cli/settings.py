"""Where the collector is, and how an answer is wanted: option, environment, configuration file, default, in this order.
A server outranks a context where both come from the same of these.

The configuration file is TOML, read only where it exists:

    context = "home"                    # which context counts where --context is not given
    [contexts.home]
    server = "unix:///run/fleetnet/admin.sock"

A file without contexts may have `server` at its top, as /etc/fleetnet/cli.toml usually does. What `fleetnet login`
makes is a context as well, in a file of its own (identities.py): it counts where the user's file names neither a server
nor a context, and nobody else's file does before it.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fleetnet_cli import identities
from fleetnet_cli.errors import UsageError, suggestion

SYSTEM_SOCKET = Path("/run/fleetnet/admin.sock")
SYSTEM_FILE = Path("/etc/fleetnet/cli.toml")


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine, as far as finding the collector depends on it."""

    system_socket: Path
    user_socket: Path | None
    config_files: tuple[Path, ...]  # the first that has an answer counts; the first is the user's own

    @property
    def logins(self) -> Path:
        """Where the logins of this user are."""
        return self.config_files[0].parent / "contexts"


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


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to ask."""

    address: str  # the path of an admin socket, or HOST:PORT
    login: Path | None = None  # what we show there; only over the network, and None where there is nothing to show

    @property
    def over_network(self) -> bool:
        """Whether it is another machine's."""
        return not self.address.startswith("/")

    def __str__(self) -> str:
        return self.address if self.over_network else f"unix://{self.address}"


def destination(server: str | None, context: str | None, machine: Machine) -> Destination:
    """Where to ask; UsageError where --server or a file says something that is no address.

    A server that is named outranks a context that is named, but one that there is not is wrong all the same.
    """
    written = configured(context, machine) if server is None or context is not None else None
    if server is None and written is not None:
        server = written.value
    if server is None:
        return Destination(default_socket(machine))
    address = _address(server)
    if address.startswith("/"):
        return Destination(address)
    return Destination(address, _login_for(address, context, machine))


def _login_for(address: str, context: str | None, machine: Machine) -> Path | None:
    """What to show at an address: the login of the context that is named, or the one that was made there, or the only
    one, for several collectors may have one CA."""
    names = identities.contexts(machine.logins)
    if context in names:
        return machine.logins / f"{context}.toml"
    files = [identities.path_of(machine.logins, name) for name in names]
    if len(files) == 1:
        return files[0]
    return next((file for file in files if identities.load(file).server == address), None)


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


def _address(server: str) -> str:
    if server.startswith("unix:"):
        path = server.removeprefix("unix:")
        path = "/" + path.lstrip("/") if path.startswith("//") else path
        if path.strip("/"):
            return path if path.startswith("/") else str(Path(path).absolute())
    elif server.startswith("/") or _HOST_AND_PORT.fullmatch(server):
        return server
    elif ":" in server:
        shown = re.sub(r"//[^/@]*@", "//…@", server)  # a password in it is nobody's to read
        raise UsageError(f"--server {shown} is not an address; write HOST:PORT, or [ADDRESS]:PORT for IPv6")
    raise UsageError(
        f'--server "{server}" is not an address; write unix:///run/fleetnet/admin.sock, or HOST:7443 over the network'
    )


_HOST_AND_PORT = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.%]+\]):[0-9]{1,5}", re.ASCII)


def configured(context: str | None, machine: Machine) -> Written | None:
    """The server that a file names for this context, or for the one that the file itself chooses."""
    logins = identities.contexts(machine.logins)
    known = [*logins]
    for path in machine.config_files:
        table = read(path)
        contexts = _tables(table.get("contexts"), path)
        known += contexts
        wanted = context or _string(table.get("context"), "context", path)
        if wanted is not None and wanted in contexts:
            return _server_of(contexts[wanted], ("contexts", wanted, "server"), path)
        if wanted is not None and wanted in logins:
            return _of_login(wanted, machine)
        if wanted is not None and context is None:
            raise UsageError(f'{path}: context "{wanted}" is not in it{suggestion(wanted, known)}')
        if context is None and "server" in table:
            return _server_of(table, ("server",), path)
        if context is None and logins:
            return _of_login(_only(logins, machine), machine)
    if context is not None:
        guess = suggestion(context, known) or f"; contexts stand in {machine.config_files[0]}"
        raise UsageError(f'no context "{context}"{guess}')
    return None


def _of_login(name: str, machine: Machine) -> Written:
    path = identities.path_of(machine.logins, name)
    return Written(identities.load(path).server, path, ("server",))


def _only(logins: list[str], machine: Machine) -> str:
    if len(logins) == 1:
        return logins[0]
    raise UsageError(
        f"you are logged in at several collectors ({', '.join(logins)}); say which with --context NAME, or for good "
        f'with context = "{logins[0]}" at the top of {machine.config_files[0]}'
    )


def chosen_context(machine: Machine) -> Written | None:
    """The context that a file chooses where nobody else does."""
    for path in machine.config_files:
        table = read(path)
        if (name := _string(table.get("context"), "context", path)) is not None:
            return Written(name, path, ("context",))
        if "server" in table:
            return None
        if logins := identities.contexts(machine.logins):
            name = _only(logins, machine)
            return Written(name, identities.path_of(machine.logins, name), ("server",))
    return None


def contexts(machine: Machine) -> list[str]:
    """The names of all contexts."""
    return [*written_contexts(machine), *identities.contexts(machine.logins)]


def written_contexts(machine: Machine) -> list[str]:
    """Those of the configuration files alone."""
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
