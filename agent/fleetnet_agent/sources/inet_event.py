"""Codec of the events by which the kernel tells that it destroys a socket. Pure.

Such an event is what a dump is made of, inet_diag_msg (see `inet_diag.py`), with other attributes after it. Written for
ten thousand of them in a second: one structure is unpacked, one tuple made.
"""

import socket
import struct

from fleetnet_agent.records import Family, Protocol
from fleetnet_agent.sources.sock_diag import SOCK_DIAG_BY_FAMILY
from fleetnet_agent.sources.source import End, MalformedError

INET_DIAG_PROTOCOL = 10  # include/uapi/linux/inet_diag.h

_TOLD = {int(protocol): protocol for protocol in (Protocol.TCP, Protocol.UDP)}  # by the groups that are joined
_EVENT = struct.Struct("=IH10xB3xHH16s16sIQ20xHHB")  # what is read of nlmsghdr, inet_diag_msg and one attribute
_IPV4, _IPV6 = int(socket.AF_INET), int(socket.AF_INET6)
_NO_ADDRESS = bytes(4), bytes(16)


def decode_end(datagram: bytes, at_us: int) -> End | None:
    """The socket that an event of the destroy groups, told at this time, is the end of; the rest of the datagram may be
    cut off. None for one that never had a port, or that is neither TCP nor UDP. Raises MalformedError.

    The kernel sends inet_diag_msg and INET_DIAG_PROTOCOL first (net/core/sock_diag.c, inet_diag_handler_get_info()).
    Inode, uid and queues are not filled. A connection that was refused, or aborted with SO_LINGER at this end, has lost
    its remote port, and its local address if that was not bound.
    """
    if len(datagram) < _EVENT.size:
        raise MalformedError(f"{len(datagram)} bytes are too few for the end of a socket")
    size, kind, family_number, sport, dport, source, destination, interface, cookie, length, attribute, number = (
        _EVENT.unpack_from(datagram)
    )
    if kind != SOCK_DIAG_BY_FAMILY or attribute != INET_DIAG_PROTOCOL or length != 5 or size < _EVENT.size:
        raise MalformedError(f"a netlink message of type {kind} is not the end of a socket")
    if family_number == _IPV4:
        family, source, destination = Family.IPV4, source[:4], destination[:4]
    elif family_number == _IPV6:
        family = Family.IPV6
    else:
        raise MalformedError(f"a socket of family {family_number} is not known")
    protocol = _TOLD.get(number)
    if protocol is None or not sport:
        return None
    if not dport and destination in _NO_ADDRESS:
        destination = b""
    local_port, remote_port = socket.ntohs(sport), socket.ntohs(dport)
    return End(at_us, cookie, protocol, family, source, local_port, destination, remote_port, interface)
