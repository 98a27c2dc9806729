"""The other direction of the codec: records to inet_diag messages as the kernel lays them out, for tests."""

import dataclasses
import socket
import struct

from fleetnet_agent.records import Family, Protocol, State
from fleetnet_agent.sources.source import Sighting

TIME_WAIT_TIMER = 3


def sighting(cookie: int, **fields: object) -> Sighting:
    """An established IPv4 connection, but for what is said otherwise."""
    base = Sighting(
        name=cookie,
        protocol=Protocol.TCP,
        family=Family.IPV4,
        state=State.ESTABLISHED,
        local_address=bytes([127, 0, 0, 1]),
        local_port=8080,
        remote_address=bytes([127, 0, 0, 2]),
        remote_port=cookie % 60000 + 1,
        interface=0,
        v6only=None,
        recv_queue=0,
        send_queue=0,
        uid=1000,
        inode=cookie % 2**31 + 100_000,
        cgroup_id=77,
    )
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]  # fields of Sighting, by their names


def listener(cookie: int, **fields: object) -> Sighting:
    """A listening socket."""
    return sighting(cookie, **{"state": State.LISTEN, "remote_address": b"", "remote_port": 0, **fields})


def time_wait(cookie: int, **fields: object) -> Sighting:
    """What is left of a closed connection."""
    return sighting(cookie, **{"state": State.TIME_WAIT, "uid": None, "inode": 0, "cgroup_id": 0, **fields})


def encode(of: Sighting, *, timer: int = 0, expires: int = 0) -> bytes:
    """inet_diag_msg with its attributes."""
    assert isinstance(of.name, int)
    timer = TIME_WAIT_TIMER if of.uid is None and of.state is not State.SYN_RECV else timer
    head = struct.pack(
        "=BBBB2s2s16s16sIQIIIII",
        int(socket.AF_INET if of.family is Family.IPV4 else socket.AF_INET6),
        of.state,
        timer,
        0,
        of.local_port.to_bytes(2, "big"),
        of.remote_port.to_bytes(2, "big"),
        of.local_address,
        of.remote_address,
        of.interface,
        of.name,
        expires,
        of.recv_queue,
        of.send_queue,
        of.uid or 0,
        of.inode,
    )
    attributes = attribute(8, b"\0")  # INET_DIAG_SHUTDOWN
    if of.v6only is not None:
        attributes += attribute(11, bytes([of.v6only]))
    if of.cgroup_id:
        attributes += attribute(21, struct.pack("=Q", of.cgroup_id))
    return head + attributes


def framed(message: bytes, kind: int = 18, sequence: int = 1, flags: int = 2) -> bytes:
    """A message under its nlmsghdr."""
    return struct.pack("=IHHII", 16 + len(message), kind, flags, sequence, 0) + message


def attribute(kind: int, value: bytes) -> bytes:
    """One nlattr."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
