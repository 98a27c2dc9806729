"""UNIX sockets in the layout of netstat(8), to the space.

The rules that are easy to get wrong:
  * RefCnt is two, for the socket and for the kernel's table, and one for each socket that has it as its peer; a process
    that hangs in connect(2) before a full backlog has one too, which only the kernel knows;
  * a connection that waits to be accepted is a socket in nobody's hands, which the kernel's diagnostics leave out: it
    is told from the queue of its listener, whose path it has, as CONNECTING;
  * a path ends at its first blank.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fleetnet_cli.output.netstat import dotted
from fleetnet_cli.output.netstat.inet import Layout, program
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Socket

_LINES_A_WRITE = 500
_BLANKS = " \t\n\v\f\r"  # isspace(3), where sscanf(3) ends a word
_SOCKET_AND_TABLE = 2
_IN_PAIRS = ("stream", "seqpacket")  # of which each is the peer of its peer


class Connections:
    """Which UNIX sockets of a host have which as their peer, as far as these are known."""

    def __init__(self) -> None:
        self._peers: Counter[int] = Counter()
        self._waiting = 0
        self._without_peer = 0
        self.whole = True  # False: there are more sockets than those that were added

    def add(self, socket: Socket) -> None:
        """Takes one more into account; listeners among them, and those of other namespaces."""
        if socket.state == "LISTEN":
            self._waiting += socket.recv_queue
        elif socket.peer_inode:
            self._peers[socket.peer_inode] += 1
        elif _may_wait(socket):
            self._without_peer += 1

    def references(self, socket: Socket) -> str:
        """RefCnt; `-` where it is open which of the connected without a peer wait, and which have lost theirs."""
        if not self.whole:
            return "-"
        if socket.inode and not _may_wait(socket):
            known = self._peers[socket.inode]
            return str(_SOCKET_AND_TABLE + (1 if socket.peer_inode and socket.type in _IN_PAIRS else known))
        if self._waiting == self._without_peer or not (self._waiting and self._without_peer):
            return str(_SOCKET_AND_TABLE + bool(self._waiting and self._without_peer))
        return "-"


def _may_wait(socket: Socket) -> bool:
    return socket.type in _IN_PAIRS and socket.state == "ESTABLISHED" and not socket.peer_inode


def waiting(listener: Socket) -> Iterator[Socket]:
    """The connections in the queue of a listener."""
    one = replace(listener, state="ESTABLISHED", inode=0, owners=(), recv_queue=0, peer_inode=0)
    return (one for _ in range(listener.recv_queue))


def write(sockets: Iterable[Socket], connections: Connections, layout: Layout, out: Terminal, *, heading: bool) -> int:
    """Writes the lines in the order given; returns how many."""
    kept = list(sockets)
    if heading:
        programs = f" {'PID/Program name':<20}" if layout.programs else ""
        columns = f"Proto RefCnt Flags       Type       State         I-Node  {programs} Path"
        out.write(f"Active UNIX domain sockets ({layout.which})\n{columns}\n")
    for start in range(0, len(kept), _LINES_A_WRITE):
        out.write("".join(line(s, connections, layout) for s in kept[start : start + _LINES_A_WRITE]))
    return len(kept)


def line(socket: Socket, connections: Connections, layout: Layout) -> str:
    """One socket, with its line end."""
    flags = "[ ACC ]" if socket.state == "LISTEN" else "[ ]"
    kind = socket.type.upper() or "UNKNOWN"
    references = connections.references(socket)
    text = f"unix  {references:<6} {flags:<11} {kind:<10} {_state(socket):<13} {socket.inode:<8}"
    if layout.programs:
        text += f" {program(socket)}"
    # The kernel writes each zero byte of an abstract name like the first.
    path = _first_word(socket.path.replace("\0", "@"))
    return dotted(f"{text} {path}") + "\n"


def _state(socket: Socket) -> str:
    if socket.state == "LISTEN":
        return "LISTENING"
    if socket.state == "ESTABLISHED":
        return "CONNECTED" if socket.inode else "CONNECTING"
    if socket.state == "CLOSE":
        return "" if socket.inode else "DISCONNECTING"
    return "UNKNOWN"


def _first_word(path: str) -> str:
    word = path.lstrip(_BLANKS)
    end = next((at for at, letter in enumerate(word) if letter in _BLANKS), len(word))
    return word[:end]
