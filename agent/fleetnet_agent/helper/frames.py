"""How a request and its answer travel on a unix socket: the length (4 bytes, network order) and that many bytes, and
with an answer maybe descriptors (SCM_RIGHTS, unix(7)). Standard library only.

What must stay true: descriptors that come with anything but a whole frame are closed, and a frame for which none are
wanted brings none in.
"""

import array
import os
import socket
import struct
import time

from fleetnet_agent.helper.requests import MOST_DESCRIPTORS

_LENGTH = struct.Struct("!I")
_DESCRIPTOR_BYTES = struct.calcsize("i")


class ProtocolError(Exception):
    """The other side does not keep to the protocol; the text is one sentence."""


def receive(connection: socket.socket, at_most: int, deadline_s: float) -> bytes:
    """One frame, or ProtocolError, or OSError (TimeoutError at the deadline, by time.monotonic). Descriptors that come
    along are never taken."""
    (size,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size, deadline_s, None))
    return _receive_exactly(connection, _checked(size, at_most), deadline_s, None)


def receive_with_descriptors(connection: socket.socket, at_most: int, deadline_s: float) -> tuple[bytes, list[int]]:
    """One frame and the descriptors that came along, which are the caller's now. Raises as `receive` does."""
    descriptors: list[int] = []
    try:
        (size,) = _LENGTH.unpack(_receive_exactly(connection, _LENGTH.size, deadline_s, descriptors))
        return _receive_exactly(connection, _checked(size, at_most), deadline_s, descriptors), descriptors
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def send(connection: socket.socket, raw: bytes, deadline_s: float, descriptors: list[int] | None = None) -> None:
    """Send one frame, with descriptors that stay the caller's, or OSError (TimeoutError at the deadline)."""
    frame = _LENGTH.pack(len(raw)) + raw
    connection.settimeout(_left(deadline_s))  # for sendall() a limit to all of it together
    if descriptors:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
        frame = frame[connection.sendmsg([frame], [rights]) :]
    if frame:  # the other side may have read all of it and be gone, which an empty message would call an error
        connection.sendall(frame)


def _checked(size: int, at_most: int) -> int:
    if size > at_most:
        raise ProtocolError(f"a message of {size} bytes is larger than the {at_most} that are allowed")
    return size


def _receive_exactly(connection: socket.socket, size: int, deadline_s: float, descriptors: list[int] | None) -> bytes:
    received = bytearray()
    while len(received) < size:
        connection.settimeout(_left(deadline_s))
        at_once = min(size - len(received), 1 << 16)
        some = connection.recv(at_once) if descriptors is None else _receive_some(connection, at_once, descriptors)
        if not some:
            raise ProtocolError("the connection ended within a message")
        received += some
    return bytes(received)


def _receive_some(connection: socket.socket, at_once: int, descriptors: list[int]) -> bytes:
    """What comes next; the descriptors with it are added, also where it is refused."""
    room = socket.CMSG_SPACE(MOST_DESCRIPTORS * _DESCRIPTOR_BYTES)
    some, ancillary, flags, _ = connection.recvmsg(at_once, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors += array.array("i", data[: len(data) // _DESCRIPTOR_BYTES * _DESCRIPTOR_BYTES])
    if flags & socket.MSG_CTRUNC or len(descriptors) > MOST_DESCRIPTORS:
        raise ProtocolError("descriptors that did not all arrive, or that are too many")
    return some


def _left(deadline_s: float) -> float:
    left = deadline_s - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for this exchange is over")
    return left
