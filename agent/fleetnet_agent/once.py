"""`fleetnet-agent once`: what would be sent, as JSON in the shape that the questions of the fleet have.

Talks to nobody and needs no identity. What only the collector knows is null: host, service, scope, exposure.
"""

import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetnet_agent import privileges
from fleetnet_agent.config import Settings
from fleetnet_agent.host import Host, this_host
from fleetnet_agent.once_network import address, namespace_item
from fleetnet_agent.records import Family, Holder, Process, Snapshot, Socket
from fleetnet_agent.run import found_helper
from fleetnet_agent.watch import open_watch


def once(settings: Settings) -> int:
    """Print one snapshot; the exit status. Raises AgentError."""
    helper = privileges.start_helper(os.geteuid(), settings.helper_socket) if settings.with_helper else None
    try:
        snapshot = look_once(this_host(), helper.socket if helper else found_helper(settings), settings.namespaces)
    finally:
        if helper:
            helper.close()
    print(json.dumps(document(snapshot), indent=1), flush=True)
    return 0 if snapshot.sockets else 1


def look_once(host: Host, helper_socket: Path | None, namespaces: str) -> Snapshot:
    """Everything that is open now."""
    watch = open_watch(host, helper_socket=helper_socket, namespaces=namespaces)
    try:
        watch.look()
        return watch.snapshot()
    finally:
        watch.close()


def document(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot in its envelope."""
    names = {namespace.netns: namespace.name for namespace in snapshot.namespaces}
    items = [_item(socket, names, snapshot.look_at_us) for socket in sorted(snapshot.sockets, key=_order)]
    return {
        "api_version": "fleetnet/v1",
        "kind": "SocketList",
        "as_of": _time(snapshot.look_at_us),
        "coverage": {
            "hosts_asked": 1,
            "hosts_fresh": 1,
            "hosts_stale": [],
            "gaps": 0,
            "not_kept": [],
            "unseen_holders": 0,
            "unmatched_globs": [],
            "truncated": False,
        },
        "items": items,
        "namespaces": [namespace_item(namespace) for namespace in snapshot.namespaces],
    }


def _order(socket: Socket) -> tuple[Any, ...]:
    key = socket.key
    return (
        key.netns,
        key.protocol,
        socket.local_port,
        socket.family,
        socket.local_address,
        socket.remote_address,
        socket.remote_port,
        socket.path,
        key.cookie,
        socket.inode,
    )


def _item(socket: Socket, names: Mapping[int, str], look_at_us: int) -> dict[str, Any]:
    return {
        "host": None,
        "netns": (names.get(socket.key.netns) or str(socket.key.netns)) if socket.key.netns else "host",
        "netns_inode": socket.key.netns or None,
        "protocol": socket.key.protocol.name.lower(),
        "family": socket.family.name.lower(),
        "type": socket.type.name.lower() if socket.type else None,
        "state": socket.state.name,
        "interface": socket.interface or None,
        "v6only": socket.v6only,
        "local_address": address(socket.local_address),
        "local_port": None if socket.family is Family.UNIX else socket.local_port,
        "service": None,
        "remote_address": address(socket.remote_address),
        "remote_port": socket.remote_port if socket.remote_address else None,
        "path": _path(socket.path),
        "peer_inode": socket.peer_inode or None,
        "recv_queue": socket.recv_queue,
        "send_queue": socket.send_queue,
        "uid": socket.holder.uid,
        "user": socket.holder.user or None,
        "inode": socket.inode or None,
        **_holder(socket.holder),
        "scope": None,
        "exposed": None,
        "opened_at": _time(look_at_us),
        "opened_at_is": "before",
        "closed_at": None,
        "closed_at_is": None,
        "last_seen": _time(look_at_us),
        "source": socket.source.name.lower(),
    }


def _holder(holder: Holder) -> dict[str, Any]:
    return {
        "unit": holder.unit or None,
        "container": holder.container or None,
        "container_runtime": holder.runtime or None,
        "owners": [_owner(process) for process in holder.owners],
        "owner_status": holder.owner_status.name.lower().replace("_", "-"),
    }


def _owner(process: Process) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "name": process.name,
        "exe": process.exe or None,
        "started_at": _time(process.started_at_us),
    }


def _path(path: bytes) -> str | None:
    """As ss(8) writes it, an abstract name behind an "@"; what is no printable text is escaped."""
    if not path:
        return None
    text = (b"@" + path[1:] if path[:1] == b"\0" else path).decode(errors="backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _time(time_us: int) -> str:
    moment = datetime.datetime.fromtimestamp(time_us // 1_000_000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_us % 1_000_000:06d}Z"
