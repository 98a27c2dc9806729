"""Brief sockets as rows of a batch, packed by hand: protobuf's own objects cost five times as much for each. Pure.

What must stay true: the bytes are those that protobuf makes of the same two messages, an opened Socket and its
ClosedSocket (sockets.proto; a test compares them). So fields that have their default are left out, and numbers are
written as short as they can be.
"""

from collections.abc import Callable

from fleetnet_agent.records import Brief, Source, State

_LENGTHS = [bytes((number,)) for number in range(128)]  # as a varint writes them

# Tags: the number of the field in sockets.proto and report.proto, and its wire type (protobuf.dev, Encoding).
_VARINT, _BYTES = 0, 2
_OPENED, _CLOSED = bytes([9 << 3 | _BYTES]), bytes([11 << 3 | _BYTES])  # of Batch
_KEY = bytes([1 << 3 | _BYTES])  # of Socket and of ClosedSocket
_NETNS, _PROTOCOL, _COOKIE = (bytes([field << 3 | _VARINT]) for field in (1, 2, 3))  # of SocketKey
_LOCAL_ADDRESS, _REMOTE_ADDRESS, _INTERFACE = (bytes([field << 3 | _BYTES]) for field in (4, 6, 8))
_FAMILY, _STATE, _LOCAL_PORT, _REMOTE_PORT, _HOLDER, _SOURCE, _OPENED_AT, _OPENED_AT_IS = (
    bytes([field << 3 | _VARINT]) for field in (2, 3, 5, 7, 12, 13, 14, 15)
)
_CLOSED_AT = bytes([2 << 3 | _VARINT])
_UNSEEN = _OPENED_AT_IS + b"\4"
_EXACT = bytes([3 << 3 | _VARINT]) + b"\1"  # closed_at_is


def packer(bounded: Callable[[str], str]) -> Callable[[Brief, int], bytes]:
    """What packs a brief socket whose holder has this position in its batch: the socket and its end, as fields of the
    Batch. `bounded` cuts names of interfaces."""
    # Most of a row is that of the row before: what comes before the cookie, what comes after the addresses, the time.
    heads: dict[tuple[int, int], bytes] = {}
    tails: dict[tuple[int, int, str], tuple[bytes, bytes]] = {}

    def pack(brief: Brief, holder: int) -> bytes:
        at_us, netns, protocol, cookie, family, local, local_port, remote, remote_port, interface, _ = brief
        head = heads.get((netns, protocol))
        if head is None:
            head = heads[netns, protocol] = _number(_NETNS, netns) + _number(_PROTOCOL, protocol) + _COOKIE
        tail = tails.get((at_us, holder, interface))
        if tail is None:
            closed_at = _number(_CLOSED_AT, at_us) + _EXACT
            tail = tails[at_us, holder, interface] = _tail(bounded(interface), holder, at_us), closed_at
        key = head + varint(cookie)
        key = _KEY + _LENGTHS[len(key)] + key
        peer = _REMOTES[len(remote)] + remote + (_REMOTE_PORT + varint(remote_port) if remote_port else b"")
        port = _LOCAL_PORT + varint(local_port) if local_port else b""
        socket = key + _KINDS[family] + local + port + peer + tail[0]
        closed = key + tail[1]
        return _OPENED + varint(len(socket)) + socket + _CLOSED + _LENGTHS[len(closed)] + closed

    return pack


def varint(number: int) -> bytes:
    """A number as protobuf writes it: seven bits in a byte, the lowest first, 128 added to all but the last."""
    if number < 1 << 7:
        return _LENGTHS[number]
    if number < 1 << 14:
        return bytes((number & 127 | 128, number >> 7))
    if number < 1 << 21:
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14))
    if number < 1 << 28:
        return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14 & 127 | 128, number >> 21))
    return bytes((number & 127 | 128, number >> 7 & 127 | 128, number >> 14 & 127 | 128)) + varint(number >> 21)


def _tail(interface: str, holder: int, at_us: int) -> bytes:
    name = interface.encode()
    return b"".join(
        (
            _INTERFACE + varint(len(name)) + name if name else b"",
            _number(_HOLDER, holder),
            _number(_SOURCE, Source.DIAG),
            _number(_OPENED_AT, at_us),
            _UNSEEN,
        )
    )


def _number(tag: bytes, number: int) -> bytes:
    return tag + varint(number) if number else b""


_KINDS = {
    family: _number(_FAMILY, family) + _number(_STATE, State.CLOSE) + _LOCAL_ADDRESS + bytes([size])
    for family, size in ((4, 4), (6, 16))
}
_REMOTES = {0: b"", 4: _REMOTE_ADDRESS + b"\4", 16: _REMOTE_ADDRESS + b"\x10"}
