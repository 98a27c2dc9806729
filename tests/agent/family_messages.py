"""Records to unix_diag and packet_diag messages as the kernel lays them out, for tests; see `diag_messages.py`."""

import dataclasses
import socket
import struct

from fleetnet_agent.records import Family, Protocol, SocketType, State
from fleetnet_agent.sources.source import Sighting


def unix(cookie: int, **fields: object) -> Sighting:
    """An end of a connected stream without a name, but for what is said otherwise."""
    base = Sighting(
        name=cookie,
        protocol=Protocol.UNIX,
        family=Family.UNIX,
        state=State.ESTABLISHED,
        local_address=b"",
        local_port=0,
        remote_address=b"",
        remote_port=0,
        interface=0,
        v6only=None,
        recv_queue=0,
        send_queue=0,
        uid=1000,
        inode=cookie % 2**31 + 100_000,
        cgroup_id=0,
        type=SocketType.STREAM,
        peer_inode=cookie % 2**31 + 200_000,
    )
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]  # fields of Sighting, by their names


def packet(cookie: int, **fields: object) -> Sighting:
    """A packet socket for IPv4 on interface 2, but for what is said otherwise."""
    base = unix(cookie, protocol=Protocol.PACKET, family=Family.PACKET, state=State.CLOSE, type=SocketType.RAW)
    fields = {"local_port": 0x0800, "interface": 2, "peer_inode": 0, **fields}
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]  # likewise


def encode_unix(of: Sighting, *, shutdown: int = 0) -> bytes:
    """unix_diag_msg with its attributes."""
    assert isinstance(of.name, int)
    body = struct.pack("=BBBBIQ", socket.AF_UNIX, of.type or 0, of.state, 0, of.inode, of.name)
    if of.path:
        body += _attribute(0, of.path if of.path[:1] == b"\0" else of.path + b"\0")
    if of.peer_inode:
        body += _attribute(2, struct.pack("=I", of.peer_inode))
    body += _attribute(4, struct.pack("=II", of.recv_queue, of.send_queue)) + _attribute(6, bytes([shutdown]))
    return body if of.uid is None else body + _attribute(7, struct.pack("=I", of.uid))


def encode_packet(of: Sighting, *, drops: int = 0) -> bytes:
    """packet_diag_msg with its attributes."""
    assert isinstance(of.name, int)
    body = struct.pack("=BBHIQ", socket.AF_PACKET, of.type or 0, of.local_port, of.inode, of.name)
    body += _attribute(0, struct.pack("=IIIIII", of.interface, 0, 0, 0, 0, 1))
    body += b"" if of.uid is None else _attribute(5, struct.pack("=I", of.uid))
    return body + _attribute(6, struct.pack("=9I", of.recv_queue, 212992, 0, 212992, 0, 0, 0, 0, drops))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
