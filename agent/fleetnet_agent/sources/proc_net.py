"""Codec of the kernel's text files in /proc/net, for kinds of sockets that it has no diagnostics for. Pure.

Formats: net/ipv4/raw.c: raw_sock_seq_show() and its siblings, net/packet/af_packet.c: packet_seq_show(), net/unix/
af_unix.c: unix_seq_show(). No file shows cookies, so the inode names a socket; one without an inode, which no process
has yet or any more, is left out, or named by its addresses where that is asked for.

What must stay true: whatever the bytes are, the only exceptions are those of `source.py`.
"""

import re
import struct
from collections.abc import Iterator

from fleetnet_agent.records import Family, Protocol, SocketType, State
from fleetnet_agent.sources.source import MalformedError, Sighting

_ADDRESS = rb"([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})"
_INET = re.compile(
    rb" *\d+: " + _ADDRESS + rb" " + _ADDRESS + rb" ([0-9A-F]{2}) ([0-9A-F]{8}):([0-9A-F]{8})"
    rb" [0-9A-F]{2}:[0-9A-F]+ [0-9A-F]+ +(\d{1,10}) +\d+ (\d{1,20}) "
)
_PACKET = re.compile(
    rb"[0-9A-Za-z()]+ +\d+ +(\d{1,2}) +([0-9a-f]{4}) +(\d{1,10}) +[01] +(\d{1,10}) +(\d{1,10}) +(\d{1,20}) *$"
)
_UNIX = re.compile(
    rb"[0-9A-Za-z()]+: [0-9A-F]+ [0-9A-F]+ ([0-9A-F]{8}) ([0-9A-F]{4}) ([0-9A-F]{2}) +(\d{1,20})(?: (.*))?$", re.DOTALL
)
_FAMILIES = {8: Family.IPV4, 32: Family.IPV6}
_STATES = {int(state): state for state in State}
_TYPES = {int(kind): kind for kind in SocketType}
_SO_ACCEPTCON = 1 << 16  # __SO_ACCEPTCON, include/linux/net.h
_SS_UNCONNECTED, _SS_CONNECTED = 1, 3  # include/uapi/linux/net.h
_PATH_BYTES = 108  # UNIX_PATH_MAX, include/uapi/linux/un.h


def decode_inet(text: bytes, protocol: Protocol, *, nameless: bool = False) -> Iterator[Sighting]:
    """The sockets of /proc/net/tcp, udp, raw, udplite, or the same with a 6; with `nameless` those without an inode,
    too. Raises MalformedError."""
    for line in _lines(text):
        found = _INET.match(line)
        state = _STATES.get(int(found[5], 16)) if found else None
        if found is None or state is None or len(found[1]) != len(found[3]):
            raise _not_understood(line)
        local, local_port = _address(found[1]), int(found[2], 16)
        remote, remote_port = _address(found[3]), int(found[4], 16)
        inode = int(found[9])
        if inode or nameless:
            yield _sighting(
                protocol,
                _FAMILIES[len(found[1])],
                state,
                inode=inode,
                name=inode or four_tuple(local, local_port, remote, remote_port),
                local=(local, local_port),
                remote=(remote, remote_port) if remote_port or any(remote) else (b"", 0),
                queues=(int(found[7], 16), int(found[6], 16)),
                uid=None if state is State.TIME_WAIT else int(found[8]),  # the kernel writes 0 there
            )


def decode_packet(text: bytes) -> Iterator[Sighting]:
    """The sockets of /proc/net/packet. Raises MalformedError."""
    for line in _lines(text):
        found = _PACKET.match(line)
        if found is None:
            raise _not_understood(line)
        if int(found[6]):
            yield _sighting(
                Protocol.PACKET,
                Family.PACKET,
                State.CLOSE,
                inode=int(found[6]),
                local=(b"", int(found[2], 16)),
                queues=(int(found[4]), 0),
                uid=int(found[5]),
                interface=int(found[3]),
                kind=_TYPES.get(int(found[1])),
            )


def decode_unix(text: bytes) -> Iterator[Sighting]:
    """The sockets of /proc/net/unix. Raises MalformedError.

    Names stand there as they are but for zero bytes, which are written as "@". What does not look like a line of a
    socket is the rest of the name before it, which holds a line feed. A name made to look like a line is taken for one.
    """
    rows: list[bytes] = []
    for line in _lines(text):
        if _UNIX.match(line):
            rows.append(line)
        elif rows:
            rows[-1] += b"\n" + line
        else:
            raise _not_understood(line)
    for row in rows:
        found = _UNIX.match(row)
        if found is None:
            raise _not_understood(row)
        flags, state_number, path = int(found[1], 16), int(found[3], 16), found[5] or b""
        if not int(found[4]) or state_number not in (_SS_UNCONNECTED, _SS_CONNECTED):
            continue
        connected = State.ESTABLISHED if state_number == _SS_CONNECTED else State.CLOSE
        yield _sighting(
            Protocol.UNIX,
            Family.UNIX,
            State.LISTEN if flags & _SO_ACCEPTCON else connected,
            inode=int(found[4]),
            kind=_TYPES.get(int(found[2], 16)),
            path=(b"\0" + path[1:] if path[:1] == b"@" else path)[:_PATH_BYTES],
        )


def protocols_of(text: bytes) -> frozenset[str]:
    """The kinds of sockets that the kernel has now, by their names in /proc/net/protocols."""
    return frozenset(line.split()[0].decode(errors="replace") for line in _lines(text) if line.split())


def _lines(text: bytes) -> list[bytes]:
    """All but the heading."""
    return text.removesuffix(b"\n").split(b"\n")[1:]


def _not_understood(line: bytes) -> MalformedError:
    return MalformedError(f"a line of /proc/net is not understood: {line[:80]!r}")


def four_tuple(local: bytes, local_port: int, remote: bytes, remote_port: int) -> bytes:
    """As in SocketKey; without a peer the remote address is empty or zeros."""
    remote = remote or bytes(len(local))
    return b"".join((local, local_port.to_bytes(2, "big"), remote, remote_port.to_bytes(2, "big")))


def _address(text: bytes) -> bytes:
    """Words of 32 bits, each printed as a number in host byte order."""
    return b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))


def _sighting(
    protocol: Protocol,
    family: Family,
    state: State,
    *,
    inode: int,
    name: int | bytes = 0,
    local: tuple[bytes, int] = (b"", 0),
    remote: tuple[bytes, int] = (b"", 0),
    queues: tuple[int, int] = (0, 0),
    uid: int | None = None,
    interface: int = 0,
    kind: SocketType | None = None,
    path: bytes = b"",
) -> Sighting:
    return Sighting(
        name=name or inode,
        protocol=protocol,
        family=family,
        state=state,
        local_address=local[0],
        local_port=local[1],
        remote_address=remote[0],
        remote_port=remote[1],
        interface=interface,
        v6only=None,
        recv_queue=queues[0],
        send_queue=queues[1],
        uid=uid,
        inode=inode,
        cgroup_id=0,
        type=kind,
        path=path,
    )
