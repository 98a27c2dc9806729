"""What an answer shows of a socket."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from fleetnet_cli import protocols, times
from fleetnet_cli.output.presentation import Column, Presentation, Tally
from fleetnet_cli.records import Owner, Socket
from fleetnet_cli.services import Services

KIND = "SocketList"

FIELDS = (
    "host",
    "netns",
    "netns_inode",
    "protocol",
    "family",
    "type",
    "state",
    "interface",
    "v6only",
    "local_address",
    "local_port",
    "service",
    "remote_address",
    "remote_port",
    "path",
    "peer_inode",
    "recv_queue",
    "send_queue",
    "uid",
    "user",
    "inode",
    "unit",
    "container",
    "container_runtime",
    "owners",
    "owner_status",
    "scope",
    "exposed",
    "opened_at",
    "opened_at_is",
    "closed_at",
    "closed_at_is",
    "last_seen",
    "source",
)

_SPACE = "\\x20"
_PIDS_SHOWN = 2
_NAMES_SHOWN = 3
_CONTAINER_SHOWN = 12  # of its id, as docker(1) does

# What stands for the owners where none is listed. "known" without any cannot be, but is no reason to fail.
_NO_OWNER = {
    "kernel": "kernel",
    "unaccepted": "not yet accepted",
    "no-helper": "? (no helper)",
    "permission": "? (permission)",
    "raced": "? (changed hands)",
}


def presentation(
    services: Services, nothing: str, columns: tuple[Column[Socket], ...], *, since: bool = False
) -> Presentation[Socket]:
    """Sockets, in a table of these columns; with `since` some of them have ended."""

    return Presentation(
        kind=KIND,
        as_json=lambda s: as_json(s, services),
        columns=(*columns, Column("ENDED", _ended)) if since else columns,
        nothing=nothing,
        host_of=lambda s: s.host,
        note=_note,
        tally=Tally(lambda s: s.opened_at_is == "before", there_before) if since else None,
        wide=wide_columns(),
        fields=FIELDS,
        cells=CELLS,
    )


def _service(socket: Socket, services: Services) -> str | None:
    if socket.protocol == "raw":
        return protocols.load().names.get(socket.local_port)
    return services.name(socket.local_port, "udp" if socket.protocol == "udplite" else socket.protocol)


def listener_columns() -> tuple[Column[Socket], ...]:
    """For sockets that wait for others."""
    return (
        _HOST,
        _NETNS,
        _PROTOCOL,
        _LOCAL,
        Column("SCOPE", _scope, least=10, leaves=3),
        _PROCESS,
        _USER,
        _UNIT,
        _since(),
    )


def connection_columns() -> tuple[Column[Socket], ...]:
    """For sockets in any state."""
    return (_HOST, _NETNS, _PROTOCOL, _STATE, _LOCAL, _REMOTE, _PROCESS, _USER, _UNIT, _since())


def wide_columns() -> tuple[Column[Socket], ...]:
    """All there is, nothing shortened."""
    return (
        _HOST,
        _NETNS,
        _PROTOCOL,
        Column("TYPE", lambda s: s.type, if_any=True),
        _STATE,
        _LOCAL,
        _REMOTE,
        Column("RECV-Q", lambda s: str(s.recv_queue), right=True),
        Column("SEND-Q", lambda s: str(s.send_queue), right=True),
        Column("SCOPE", _scope, if_any=True),
        Column("EXPOSED", lambda s: s.exposed, if_any=True),
        Column("PROCESS", _every_process),
        _USER,
        Column("UID", lambda s: "" if s.uid is None else str(s.uid), right=True),
        Column("INODE", lambda s: str(s.inode or ""), right=True),
        Column("UNIT", lambda s: s.unit),
        Column("CONTAINER", _container, if_any=True),
        Column(f"SINCE ({times.zone_name()})", _opened),
        Column(
            "ENDED", lambda s: f"{times.local(s.closed_at_us)} {s.closed_at_is}" if s.closed_at_us else "", if_any=True
        ),
        Column("LAST SEEN", lambda s: times.local(s.last_seen_us)),
        Column("SOURCE", lambda s: s.source),
    )


_EXPOSED: Final = {"yes": True, "no": False, "": None}


def as_json(socket: Socket, services: Services) -> dict[str, object]:
    """A socket as documents have it."""
    peer = bool(socket.remote_address)
    return {
        "host": socket.host,
        "netns": socket.netns,
        "netns_inode": socket.netns_inode or None,
        "protocol": socket.protocol,
        "family": socket.family,
        "type": socket.type or None,
        "state": socket.state,
        "interface": socket.interface or None,
        "v6only": socket.v6only,
        "local_address": socket.local_address or None,
        "local_port": None if socket.protocol == "unix" else socket.local_port,
        "service": _service(socket, services),
        "remote_address": socket.remote_address if peer else None,
        "remote_port": socket.remote_port if peer else None,
        "path": socket.path or None,
        "peer_inode": socket.peer_inode or None,
        "recv_queue": socket.recv_queue,
        "send_queue": socket.send_queue,
        "uid": socket.uid,
        "user": socket.user or None,
        "inode": socket.inode or None,
        "unit": socket.unit or None,
        "container": socket.container or None,
        "container_runtime": socket.runtime or None,
        "owners": [_owner_as_json(o) for o in socket.owners],
        "owner_status": socket.owner_status,
        "scope": socket.scope or None,
        "exposed": _EXPOSED.get(socket.exposed, socket.exposed),
        "opened_at": times.utc(socket.opened_at_us),
        "opened_at_is": socket.opened_at_is,
        "closed_at": times.utc(socket.closed_at_us),
        "closed_at_is": socket.closed_at_is or None,
        "last_seen": times.utc(socket.last_seen_us),
        "source": socket.source,
    }


def _owner_as_json(owner: Owner) -> dict[str, object]:
    return {
        "pid": owner.pid,
        "name": owner.name,
        "exe": owner.exe or None,
        "started_at": times.utc(owner.started_at_us),
    }


def _owners_in_a_cell(owners: list[dict[str, Any]]) -> str:
    # A space ends an owner, so a name has none.
    return " ".join(f"{o['name'].replace(' ', _SPACE)}/{o['pid']}" for o in owners)


def _netns(socket: Socket) -> str:
    return "" if socket.netns == "host" else socket.netns


def endpoint(address: str, interface: str, port: int) -> str:
    """Address, interface and port the way ss(8) writes them; port 0 is any."""
    host = f"[{address}]" if ":" in address else address
    return f"{host}%{interface}:{port or '*'}" if interface else f"{host}:{port or '*'}"


def local(socket: Socket) -> str:
    """Its own end, as ss(8) writes it."""
    # As ss(8) has it: a dual-stack socket, which also takes IPv4, is "*", and [::] is IPv6 alone.
    if socket.family in ("unix", "packet"):
        return socket.path or (f"%{socket.interface}" if socket.interface else "")
    both = socket.v6only is False and socket.local_address == "::"
    return endpoint("*" if both else socket.local_address, socket.interface, socket.local_port)


def _remote(socket: Socket) -> str:
    if socket.peer_inode:
        return f"inode {socket.peer_inode}"
    return endpoint(socket.remote_address, "", socket.remote_port) if socket.remote_address else ""


def _scope(socket: Socket) -> str:
    return f"{socket.scope} (exposure unknown)" if socket.exposed == "unknown" else socket.scope


def processes(socket: Socket) -> str:
    """`nginx (812, 813, +2)`: every owner, by name; what is known where there is none."""
    return _processes(socket, _NAMES_SHOWN, _PIDS_SHOWN)


def _every_process(socket: Socket) -> str:
    every = len(socket.owners)
    return _processes(socket, every, every)


def _processes(socket: Socket, names_shown: int, pids_shown: int) -> str:
    if not socket.owners:
        return _NO_OWNER.get(socket.owner_status, "-")
    pids: dict[str, list[int]] = {}
    for owner in socket.owners:
        pids.setdefault(owner.name, []).append(owner.pid)
    named = [f"{name or '?'} ({_pids(p, pids_shown)})" for name, p in list(pids.items())[:names_shown]]
    if len(pids) > names_shown:
        named.append(f"+{len(pids) - names_shown}")
    return ", ".join(named) + (" inferred" if socket.owner_status == "inferred" else "")


def _pids(pids: Iterable[int], shown_at_most: int) -> str:
    ordered = sorted(pids)
    shown = [str(p) for p in ordered[:shown_at_most]]
    if len(ordered) > shown_at_most:
        shown.append(f"+{len(ordered) - shown_at_most}")
    return ", ".join(shown)


def _user(socket: Socket) -> str:
    return socket.user or ("" if socket.uid is None else str(socket.uid))


def _unit(socket: Socket) -> str:
    if not socket.container:
        return socket.unit
    container = socket.container[:_CONTAINER_SHOWN]
    runtime = f"{socket.runtime}:" if socket.runtime else ""
    # The scope that a runtime makes has the whole id in its name and says nothing else; documents have it.
    unit = "" if socket.container in socket.unit else socket.unit
    return f"{unit} {runtime}{container}".strip()


def _container(socket: Socket) -> str:
    return f"{socket.runtime}:{socket.container}" if socket.runtime else socket.container


def _opened(socket: Socket) -> str:
    # Open already when the agent first looked: when it opened is not known better.
    or_before = " or before" if socket.opened_at_is == "before" else ""
    return times.local(socket.opened_at_us) + or_before


def _ended(socket: Socket) -> str:
    # In a gap: the time is that of its end.
    or_before = " or before" if socket.closed_at_is == "gap" else ""
    return times.local(socket.closed_at_us) + or_before if socket.closed_at_us else ""


def there_before(sockets: int) -> str:
    """What is said of so many sockets that an answer to --since has without their having begun since, perhaps."""
    were, whose = ("1 was", "its") if sockets == 1 else (f"{sockets} were", "their")
    return f"{were} there already at the first look at {whose} host, and may have begun earlier"


def _note(socket: Socket) -> str | None:
    if socket.source != "psutil":
        return None
    return f"{socket.host}: read from /proc/net, for its kernel refuses diag; a socket may be missed or doubled"


CELLS: dict[str, Callable[[Any], str]] = {"owners": _owners_in_a_cell}

_HOST: Column[Socket] = Column("HOST", lambda s: s.host, least=24)
_NETNS: Column[Socket] = Column("NETNS", _netns, least=12, if_any=True)
_PROTOCOL: Column[Socket] = Column("PROTO", lambda s: s.protocol)
_STATE: Column[Socket] = Column("STATE", lambda s: s.state)
_LOCAL: Column[Socket] = Column("LOCAL", local)
_REMOTE: Column[Socket] = Column("REMOTE", _remote)
_PROCESS: Column[Socket] = Column("PROCESS", processes, least=14)
_USER: Column[Socket] = Column("USER", _user, least=8, leaves=2)
_UNIT: Column[Socket] = Column("UNIT", _unit, least=10, leaves=1)


def _since() -> Column[Socket]:
    return Column(f"SINCE ({times.zone_name()})", _opened, least=20, leaves=4)
