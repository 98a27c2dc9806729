"""A network namespace in which this process does things with sockets, and what is in it at this moment."""

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from fleetnet_agent.followed import follow_all
from fleetnet_agent.records import Socket as Row
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import Sighting
from system.entering import inside
from system.streets import run

TCP_REPAIR = 19  # include/uapi/linux/tcp.h
_FIELDS = (
    "family",
    "state",
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "v6only",
    "inode",
    "type",
    "path",
    "peer_inode",
)
_NOBODYS = 1  # no namespace has this inode
_QUEUES = ("recv_queue", "send_queue")

T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)


def told(rows: Iterable[Row], *, queues: bool = False) -> set[tuple[object, ...]]:
    """What is compared of rows."""
    return {(row.key.protocol, *_values(row, queues)) for row in rows}


def disconnect(one: socket.socket) -> None:
    """connect() to AF_UNSPEC, which Python has no word for."""
    nowhere = struct.pack("H14x", socket.AF_UNSPEC)
    if _libc.connect(one.fileno(), nowhere, len(nowhere)) != 0:
        raise OSError(ctypes.get_errno(), "connect")


class Quarter:
    """One namespace; its sockets are this process's."""

    def __init__(self, name: str) -> None:
        """`name` is that of ip-netns(8). No TIME_WAIT is left in it."""
        self.name = name
        self.netns = os.stat(Path("/run/netns", name)).st_ino
        run("ip", "-n", name, "link", "set", "lo", "up")
        self._inside(lambda: Path("/proc/sys/net/ipv4/tcp_max_tw_buckets").write_text("0"))
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        """Close its sockets."""
        self._stack.close()

    def open(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket in it."""
        return self._stack.enter_context(self._inside(lambda: socket.socket(family, kind, protocol)))

    def listener(self, family: int = socket.AF_INET, port: int = 0) -> socket.socket:
        """A TCP socket that listens on its loopback."""
        made = self.open(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1" if family == socket.AF_INET else "::1", port))
        made.listen(5)
        return made

    def connected(self, to: socket.socket) -> tuple[socket.socket, socket.socket]:
        """A connection to one of its listeners: the caller's end and the other."""
        near = self.waiting(to)
        return near, self.accept(to)

    def waiting(self, to: socket.socket) -> socket.socket:
        """A connection that nobody has accepted yet."""
        near = self.open(to.family, socket.SOCK_STREAM)
        near.connect(to.getsockname()[:2])
        return near

    def accept(self, at: socket.socket) -> socket.socket:
        """The next connection."""
        return self._stack.enter_context(at.accept()[0])

    def truth(self, *, queues: bool = False) -> set[tuple[object, ...]]:
        """What a reader that knows nothing finds, in the words of `told`."""
        return self._inside(lambda: _read(queues))

    def _inside(self, work: Callable[[], T]) -> T:
        return inside(self.name, work)


def _read(queues: bool) -> set[tuple[object, ...]]:
    found: set[tuple[object, ...]] = set()
    with contextlib.closing(DiagSocket()) as diag:
        for followed in follow_all(diag, lambda: 0, netns=_NOBODYS, read_file=_file):
            followed.look()
            assert followed.status.ok, followed.status
            found |= {(followed.protocol, *_values(one, queues)) for one in followed._table.sightings()}
    return found


def _file(name: str) -> bytes:
    return Path("/proc/thread-self/net", name).read_bytes()


def _values(of: Row | Sighting, queues: bool) -> list[object]:
    return [getattr(of, name) for name in (*_FIELDS, *(_QUEUES if queues else ()))]
