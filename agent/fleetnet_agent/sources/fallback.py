"""TCP and UDP by psutil, where the kernel or the container refuses inet_diag.

psutil reads /proc/net and shows neither cookies, nor inodes, nor queues, nor uids, and one owner of each socket at
most. Sockets with equal addresses (SO_REUSEPORT) are one here, and what the kernel's file misses counts as closed.
"""

import socket
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import psutil

from fleetnet_agent.changes import Change, Moves
from fleetnet_agent.records import Family, Protocol, State
from fleetnet_agent.sources.source import Sighting, SourceError

if TYPE_CHECKING:
    from psutil._ntuples import sconn  # a private module: only for the type's name

_KIND = {Protocol.TCP: "tcp", Protocol.UDP: "udp"}
_FAMILIES = {socket.AF_INET: Family.IPV4, socket.AF_INET6: Family.IPV6}
_STATES = {
    getattr(psutil, f"CONN_{name}"): state
    for name, state in (
        ("ESTABLISHED", State.ESTABLISHED),
        ("SYN_SENT", State.SYN_SENT),
        ("SYN_RECV", State.SYN_RECV),
        ("FIN_WAIT1", State.FIN_WAIT1),
        ("FIN_WAIT2", State.FIN_WAIT2),
        ("TIME_WAIT", State.TIME_WAIT),
        ("CLOSE", State.CLOSE),
        ("CLOSE_WAIT", State.CLOSE_WAIT),
        ("LAST_ACK", State.LAST_ACK),
        ("LISTEN", State.LISTEN),
        ("CLOSING", State.CLOSING),
    )
}


class PsutilTable:
    """A table read by psutil. See `changes.Table`."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._known: dict[int | bytes, Sighting] = {}

    def __len__(self) -> int:
        return len(self._known)

    def look(self) -> Moves:
        """See `Table`."""
        known, now = self._known, self._read()
        self._known = now
        return Moves(
            opened=[sighting for name, sighting in now.items() if name not in known],
            changed=[
                Change(known[name], sighting)
                for name, sighting in now.items()
                if name in known and known[name] != sighting
            ],
            closed=[sighting for name, sighting in known.items() if name not in now],
        )

    def listeners_moved(self) -> bool:
        """See `Table`. A look at the listeners alone would cost as much as one at everything: it is not made."""
        return False

    def sightings(self) -> Iterator[Sighting]:
        """See `Table`."""
        return iter(list(self._known.values()))

    def holding(self, inodes: Collection[int]) -> list[Sighting]:
        """See `Table`. No inode is known here."""
        return []

    def named(self, names: Collection[int | bytes]) -> list[Sighting]:
        """See `Table`."""
        return [self._known[name] for name in names if name in self._known]

    def listeners(self) -> list[Sighting]:
        """See `Table`. Asked for only where the kernel tells of ends, and then psutil is not needed."""
        return []

    def still_there(self, names: Collection[int | bytes]) -> set[int | bytes]:
        """See `Table`."""
        return self._read().keys() & set(names)

    def _read(self) -> dict[int | bytes, Sighting]:
        try:
            connections = psutil.net_connections(_KIND[self._protocol])
        except (psutil.Error, OSError, RuntimeError, ValueError) as error:
            raise SourceError(f"/proc/net cannot be read: {error}") from error
        sightings = (self._sighting(connection) for connection in connections)
        return {sighting.name: sighting for sighting in sightings}

    def _sighting(self, connection: "sconn") -> Sighting:
        local, remote = connection.laddr, connection.raddr
        width = 4 if connection.family == socket.AF_INET else 16
        local_address = socket.inet_pton(connection.family, local.ip) if local else bytes(width)
        remote_address = socket.inet_pton(connection.family, remote.ip) if remote else b""
        local_port, remote_port = (local.port if local else 0), (remote.port if remote else 0)
        if self._protocol is Protocol.UDP:
            state = State.ESTABLISHED if remote else State.CLOSE
        else:
            state = _STATES[connection.status]
        name = b"".join(
            (
                local_address,
                local_port.to_bytes(2, "big"),
                remote_address or bytes(width),
                remote_port.to_bytes(2, "big"),
            )
        )
        return Sighting(
            name=name,
            protocol=self._protocol,
            family=_FAMILIES[connection.family],
            state=state,
            local_address=local_address,
            local_port=local_port,
            remote_address=remote_address,
            remote_port=remote_port,
            interface=0,
            v6only=None,
            recv_queue=0,
            send_queue=0,
            uid=None,
            inode=0,
            cgroup_id=0,
            pid=connection.pid,
        )
