"""UNIX sockets in the layout of netstat(8), to the space.

RefCnt is not kept and shown as `-`. What netstat does to a path that has blanks, to end it there, is not done. A socket
in nobody's hands that has a peer is one that waits to be accepted: CONNECTING.
"""

from collections.abc import Iterable

from fleetnet_cli.output.netstat import dotted
from fleetnet_cli.output.netstat.inet import Layout, program
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Socket

_LINES_A_WRITE = 500


def write(sockets: Iterable[Socket], layout: Layout, out: Terminal, *, heading: bool) -> int:
    """Writes the lines in the order given; returns how many."""
    kept = list(sockets)
    if heading:
        programs = f" {'PID/Program name':<20}" if layout.programs else ""
        columns = f"Proto RefCnt Flags       Type       State         I-Node  {programs} Path"
        out.write(f"Active UNIX domain sockets ({layout.which})\n{columns}\n")
    for start in range(0, len(kept), _LINES_A_WRITE):
        out.write("".join(line(s, layout) for s in kept[start : start + _LINES_A_WRITE]))
    return len(kept)


def line(socket: Socket, layout: Layout) -> str:
    """One socket, with its line end."""
    flags = "[ ACC ]" if socket.state == "LISTEN" else "[ ]"
    kind = socket.type.upper() or "UNKNOWN"
    text = f"unix  {'-':<6} {flags:<11} {kind:<10} {_state(socket):<13} {socket.inode:<8}"
    if layout.programs:
        text += f" {program(socket)}"
    # The kernel writes each zero byte of an abstract name like the first.
    path = socket.path.replace("\0", "@")
    return dotted(f"{text} {path}") + "\n"


def _state(socket: Socket) -> str:
    if socket.state == "LISTEN":
        return "LISTENING"
    if socket.state == "ESTABLISHED":
        return "CONNECTED" if socket.inode else "CONNECTING"
    if socket.state == "CLOSE":
        return "" if socket.inode else "DISCONNECTING"
    return "UNKNOWN"
