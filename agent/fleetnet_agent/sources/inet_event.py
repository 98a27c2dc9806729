"""Codec of the events by which the kernel tells that it destroys a socket. Pure.

Such an event is what a dump is made of, inet_diag_msg (see `inet_diag.py`), with other attributes after it.
"""

import struct

from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources.inet_diag import FAMILIES
from fleetnet_agent.sources.sock_diag import SOCK_DIAG_BY_FAMILY
from fleetnet_agent.sources.source import MalformedError, Sighting

INET_DIAG_PROTOCOL = 10  # include/uapi/linux/inet_diag.h

_PROTOCOLS = {int(protocol): protocol for protocol in (Protocol.TCP, Protocol.UDP)}  # whose ends the kernel tells
_EVENT = struct.Struct("=IH10xB3x2s2s16s16sIQ20xHHB")  # what is read of nlmsghdr, inet_diag_msg and one attribute


def decode_end(datagram: bytes) -> Sighting | None:
    """The socket that an event of the destroy groups tells the end of, as it was left; the rest of the datagram may be
    cut off. None for one that never had a port, or that is neither TCP nor UDP. Raises MalformedError.

    The kernel sends inet_diag_msg and INET_DIAG_PROTOCOL first (net/core/sock_diag.c, inet_diag_handler_get_info()).
    Inode, uid and queues are not filled. A connection that was refused, or aborted with SO_LINGER at this end, has lost
    its remote port, and its local address if that was not bound.
    """
    if len(datagram) < _EVENT.size:
        raise MalformedError(f"{len(datagram)} bytes are too few for the end of a socket")
    (
        size,
        kind,
        family_number,
        sport,
        dport,
        source,
        destination,
        interface,
        cookie,
        attribute_size,
        attribute,
        number,
    ) = _EVENT.unpack_from(datagram)
    if kind != SOCK_DIAG_BY_FAMILY or size < _EVENT.size or (attribute_size, attribute) != (5, INET_DIAG_PROTOCOL):
        raise MalformedError(f"a netlink message of type {kind} is not the end of a socket")
    if family_number not in FAMILIES:
        raise MalformedError(f"a socket of family {family_number} is not known")
    if number not in _PROTOCOLS or sport == b"\0\0":
        return None
    family, width = FAMILIES[family_number]
    return Sighting(
        name=cookie,
        protocol=_PROTOCOLS[number],
        family=family,
        state=State.CLOSE,
        local_address=source[:width],
        local_port=int.from_bytes(sport, "big"),
        remote_address=destination[:width] if dport != b"\0\0" or any(destination[:width]) else b"",
        remote_port=int.from_bytes(dport, "big"),
        interface=interface,
        v6only=None,
        recv_queue=0,
        send_queue=0,
        uid=None,
        inode=0,
        cgroup_id=0,
    )
