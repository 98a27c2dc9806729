"""How sockets are read where the kernel or the container refuses its diagnostics, or has none of this kind.

TCP and UDP are read by psutil, which reads /proc/net and shows neither cookies, nor inodes, nor queues, nor uids, and
one owner of each socket at most. Sockets with equal addresses (SO_REUSEPORT) are one here, and what the kernel's file
misses counts as closed. Of UNIX sockets psutil shows nothing that would name them, and of others nothing: their files
are read here, by inode. There is no such file for SCTP.

What must stay true: a kind of socket that the kernel has and that cannot be read is never told as an empty table. Once
a way is taken it is kept: each question that the kernel refuses may have it look for a module.
"""

import socket
import time
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from fleetnet_agent.changes import Table
from fleetnet_agent.records import Family, Protocol, Source, State
from fleetnet_agent.sources import proc_net
from fleetnet_agent.sources.counts import LISTED_AS
from fleetnet_agent.sources.listed import ListedTable
from fleetnet_agent.sources.source import RefusedError, Sighting, SourceError

if TYPE_CHECKING:
    from psutil._ntuples import sconn  # a private module: only for the type's name

_KIND = {Protocol.TCP: "tcp", Protocol.UDP: "udp"}
_FILES = {
    Protocol.UDPLITE: ("udplite", "udplite6"),
    Protocol.RAW: ("raw", "raw6"),
    Protocol.UNIX: ("unix",),
    Protocol.PACKET: ("packet",),
}
_MISSING = {
    Protocol.UDPLITE: ", without the interface that a socket is bound to",
    Protocol.RAW: ", without the interface that a socket is bound to",
    Protocol.UNIX: ", without uid, queues and the other end",
    Protocol.PACKET: "",
}
_FAMILIES = {socket.AF_INET: Family.IPV4, socket.AF_INET6: Family.IPV6}
_STATES = {state.name: state for state in State}  # as psutil.CONN_* have it, too
_MOMENT_S = 0.25

ReadFile = Callable[[str], bytes]
"""Reads a file of a network namespace's /proc/net. Raises OSError or SourceError."""


@dataclass(frozen=True, slots=True)
class OtherWay:
    """How a kind of socket is read, and how well."""

    table: Table
    read_by: Source
    whole: bool
    detail: str  # one sentence


def kernel_has(protocol: Protocol, proc: Path) -> bool:
    """False if there can be no such socket now: the kernel has none, or has not loaded what makes them."""
    return _is_listed(protocol, _listed(proc))


def kernel_had(protocol: Protocol, proc: Path) -> bool:
    """The same as of a moment ago, for who asks for each of many namespaces: the kernel's list is one for all."""
    return _is_listed(protocol, _listed_in(proc, int(time.monotonic() / _MOMENT_S)))


def _is_listed(protocol: Protocol, listed: Set[str] | None) -> bool:
    return listed is None or not listed.isdisjoint(LISTED_AS[protocol])


def _listed(proc: Path) -> Set[str] | None:
    """What the kernel has; None where that cannot be read."""
    try:
        return proc_net.protocols_of((proc / "self/net/protocols").read_bytes())
    except OSError:
        return None


@lru_cache(maxsize=1)
def _listed_in(proc: Path, moment: int) -> Set[str] | None:
    return _listed(proc)


def other_way(protocol: Protocol, proc: Path, refusal: RefusedError, read_file: ReadFile | None = None) -> OtherWay:
    """What is left where the kernel refuses its diagnostics for a kind of socket that it has. `read_file` is of another
    network namespace than the own one; of such psutil knows nothing."""
    if protocol in _KIND and read_file is None:
        detail = f"read through /proc by psutil, without uid, queues and most owners, for {refusal}"
        return OtherWay(psutil_table(protocol), Source.PSUTIL, False, detail)
    if protocol not in _FILES:
        return _unread(f"not read: {refusal}")
    read_file = read_file or (lambda name: (proc / "self/net" / name).read_bytes())
    table = ListedTable(partial(_read_files, protocol, read_file), confirms=True)
    try:
        table.still_there(())
    except SourceError as error:
        return _unread(f"not read: {refusal}, and {error}")
    files, missing = " and ".join(_FILES[protocol]), _MISSING[protocol]
    detail = f"read from {files} of /proc/net{missing}, for {refusal}"
    # Of UNIX sockets too much is missing for their table to count as whole.
    return OtherWay(table, Source.PROC, protocol is not Protocol.UNIX, detail)


def psutil_table(protocol: Protocol) -> ListedTable:
    """TCP or UDP by psutil."""
    return ListedTable(partial(_read_psutil, protocol), confirms=False)


def _unread(detail: str) -> OtherWay:
    return OtherWay(ListedTable(tuple, confirms=False), Source.PROC, False, detail)


def _read_files(protocol: Protocol, read_file: ReadFile) -> Iterator[Sighting]:
    for name in _FILES[protocol]:
        try:
            text = read_file(name)
        except FileNotFoundError as error:
            if name.endswith("6"):  # a kernel without IPv6
                continue
            raise SourceError(f"/proc/net/{name} is missing") from error
        except OSError as error:
            raise SourceError(f"/proc/net/{name} cannot be read: {error.strerror}") from error
        if protocol is Protocol.UNIX:
            yield from proc_net.decode_unix(text)
        elif protocol is Protocol.PACKET:
            yield from proc_net.decode_packet(text)
        else:
            yield from proc_net.decode_inet(text, protocol)


def _read_psutil(protocol: Protocol) -> Iterator[Sighting]:
    try:
        import psutil  # late: it costs 2 MiB, and is not needed where the kernel answers
    except ImportError as error:  # an agent that gave up root may not read its own Python any more
        raise SourceError(
            f"psutil cannot be loaded ({error}); install it where the agent's user may read it, and Python too"
        ) from error
    try:
        connections = psutil.net_connections(_KIND[protocol])
    except (psutil.Error, OSError, RuntimeError, ValueError) as error:
        raise SourceError(f"/proc/net cannot be read: {error}") from error
    return (_sighting(protocol, connection) for connection in connections)


def _sighting(protocol: Protocol, connection: "sconn") -> Sighting:
    local, remote = connection.laddr, connection.raddr
    width = 4 if connection.family == socket.AF_INET else 16
    local_address = socket.inet_pton(connection.family, local.ip) if local else bytes(width)
    remote_address = socket.inet_pton(connection.family, remote.ip) if remote else b""
    local_port, remote_port = (local.port if local else 0), (remote.port if remote else 0)
    connected = State.ESTABLISHED if remote else State.CLOSE
    state = connected if protocol is Protocol.UDP else _STATES[connection.status]
    return Sighting(
        name=proc_net.four_tuple(local_address, local_port, remote_address, remote_port),
        protocol=protocol,
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
