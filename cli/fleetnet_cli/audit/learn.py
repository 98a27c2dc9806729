"""A policy that says what is there: for each kind of host, exactly what it has exposed now.

Hosts that expose the same share a rule. What changes with each start is left out: process ids, containers, namespaces,
sessions; what cannot be seen is not asked for.
"""

import glob
from collections.abc import Iterable, Iterator, Sequence

from fleetnet_cli.audit.patterns import ELSEWHERE, is_ephemeral
from fleetnet_cli.records import Host, Socket

_HOSTS_NAMED = 2
_FOR_OTHERS = ("systemd", "init")  # which hold sockets for those that they start
_HEAD = """\
# What these hosts exposed when this was written. Read it before you keep it: what is here is what will be called right.
# "fleetnet help policies" says what else a rule may ask.
"""


def learn(hosts: Sequence[Host], listeners: Iterable[Socket], ephemeral: bool) -> str:
    """The policy, as TOML; it says which hosts it knows nothing of."""
    services: dict[str, set[str]] = {host.host: set() for host in hosts if host.fresh}
    for socket in listeners:
        if socket.host in services and socket.exposed != "no" and (ephemeral or not is_ephemeral(socket)):
            services[socket.host].add(_pattern(socket))
    alike: dict[tuple[str, ...], list[str]] = {}
    for host, found in services.items():
        alike.setdefault(tuple(sorted(found)), []).append(host)
    parts = [_HEAD, *_left_out([host.host for host in hosts if not host.fresh])]
    names: set[str] = set()
    for patterns, alike_hosts in sorted(alike.items(), key=lambda item: (-len(item[1]), item[1])):
        parts.append(_rule(_name(alike_hosts, names), alike_hosts, patterns))
    return "\n".join(parts)


def _left_out(hosts: list[str]) -> Iterator[str]:
    if hosts:
        yield f"# Of these nothing is known now, for they are silent: {', '.join(map(quoted, hosts))}\n"


def _name(hosts: list[str], taken: set[str]) -> str:
    name = ", ".join(hosts[:_HOSTS_NAMED])
    if len(hosts) > _HOSTS_NAMED:
        name += f" and {len(hosts) - _HOSTS_NAMED} more"
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _rule(name: str, hosts: list[str], patterns: tuple[str, ...]) -> str:
    lines = ["[[rule]]", f"name = {quoted(name)}", "hosts = ["]
    lines += [f"    {quoted(glob.escape(host))}," for host in hosts]
    lines += ["]", "exactly = ["]
    lines += [f"    {pattern}," for pattern in patterns]
    return "\n".join([*lines, "]", ""])


def _pattern(socket: Socket) -> str:
    said = {"port": str(socket.local_port), "protocol": quoted(socket.protocol)}
    said["netns"] = quoted("host" if socket.netns_inode == 0 else ELSEWHERE)
    if socket.local_address not in ("0.0.0.0", "::"):  # noqa: S104  # it is compared with
        said["address"] = quoted(socket.local_address)
    if process := _process(socket):
        said["process"] = quoted(glob.escape(process))
    if _stays(socket):
        said["unit"] = quoted(glob.escape(socket.unit))
    return "{ " + ", ".join(f"{key} = {value}" for key, value in said.items()) + " }"


def _process(socket: Socket) -> str:
    names = sorted({owner.name for owner in socket.owners})
    return next((name for name in names if name not in _FOR_OTHERS), names[0] if names else "")


def _stays(socket: Socket) -> bool:
    """Whether its unit will be called so the next time: not one of a session, of a user's manager or of a runtime."""
    unit = socket.unit
    named_for_container = bool(socket.container) and socket.container in unit
    return unit.endswith(".service") and not unit.startswith(("user@", "run-")) and not named_for_container


def quoted(text: str) -> str:
    """A text as TOML has it (basic string, https://toml.io/en/v1.0.0#string), in ASCII, on one line."""
    return '"' + "".join(map(_character, text)) + '"'


def _character(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    if 0x20 <= code < 0x7F:
        return character
    if 0xD800 <= code < 0xE000:  # half a character, which TOML has no way to write
        return "?"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
