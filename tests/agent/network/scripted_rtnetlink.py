"""A namespace in memory that answers as rtnetlink does, for what a real kernel does not do on demand: tables that
change while they are read, refusals, time that a reading takes.

Its sockets are pairs of real ones, the far end of each served by a thread.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

from agent.network.messages import attribute, datagram, link, number
from fleetnet_agent.network.rtnetlink import RTM_GETADDR, RTM_GETLINK, RTM_GETROUTE
from fleetnet_agent.sources.source import RefusedError

_PER_DATAGRAM = 50


def interface(index: int, mtu: int = 1500, name: str = "") -> bytes:
    """An interface whose name no machine has."""
    return link(index, (name or f"scripted{index}").encode(), number(4, mtu))


def address(index: int, last: int) -> bytes:
    """198.18.0.LAST/24 on an interface."""
    return struct.pack("=BBBBI", 2, 24, 0, 0, index) + attribute(2, bytes([198, 18, 0, last]))


def route4(number_: int, index: int = 2, table: int = 254) -> bytes:
    """To a network of its own."""
    destination = attribute(1, bytes([10, number_ >> 8 & 255, number_ & 255, 0]))
    return struct.pack("=BBBBBBBBI", 2, 24, 0, 0, table, 4, 0, 1, 0) + destination + number(4, index)


def route6(number_: int, index: int = 2) -> bytes:
    """To a network of its own."""
    destination = attribute(1, b"\xfd\0" + struct.pack(">H", number_) + bytes(12))
    return struct.pack("=BBBBBBBBI", 10, 64, 0, 0, 254, 4, 0, 1, 0) + destination + number(4, index)


class ScriptedNamespace:
    """Tables by what asks for them. `takes` is called before each answer."""

    def __init__(self) -> None:
        self.links = [interface(1, 65536), interface(2)]
        self.addresses = [address(2, 1)]
        self.routes4 = [route4(1), route4(2)]
        self.routes6 = [route6(1)]
        self.spoiled = 0  # how many of the next dumps change while they are read
        self.missed6: list[set[bytes]] = []  # what each of the next dumps of routes6 lacks
        self.fails: dict[int, int] = {}  # errno by the type of a request
        self.refused = ""  # why no socket is opened
        self.takes: Callable[[], object] = lambda: None
        self.asked: list[int] = []  # types of requests
        self.opened = 0

    def opens(self) -> socket.socket:
        """See `dump.Opens`."""
        self.opened += 1
        if self.refused:
            raise RefusedError(self.refused)
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        threading.Thread(target=self._serve, args=(far,), daemon=True).start()
        return near

    @property
    def readings(self) -> int:
        """How often the interfaces were asked for."""
        return self.asked.count(RTM_GETLINK)

    def _serve(self, far: socket.socket) -> None:
        with far, contextlib.suppress(BrokenPipeError):  # who asked has seen enough
            while request := far.recv(4096):
                _, kind, _, sequence, _ = struct.unpack_from("=IHHII", request)
                self.asked.append(kind)
                self.takes()
                for answer in self._answers(kind, request[16], sequence):
                    far.send(answer)

    def _answers(self, kind: int, family: int, sequence: int) -> list[bytes]:
        routes = self.routes4 if family == socket.AF_INET else self.routes6
        if kind == RTM_GETROUTE and routes is self.routes6 and self.missed6:
            missed = self.missed6.pop(0)
            routes = [route for route in routes if route not in missed]
        table = {RTM_GETLINK: self.links, RTM_GETADDR: self.addresses, RTM_GETROUTE: routes}[kind]
        flags = 2  # NLM_F_MULTI
        if self.spoiled:
            self.spoiled -= 1
            flags |= 0x10  # NLM_F_DUMP_INTR
        starts = range(0, len(table), _PER_DATAGRAM)
        parts = [datagram(kind - 2, *table[at : at + _PER_DATAGRAM], sequence=sequence, flags=flags) for at in starts]
        return [*parts, datagram(kind - 2, sequence=sequence, flags=flags, done=self.fails.get(kind, 0))]
