"""The layout of netstat(8) as in net-tools 2.10, to the space: what scripts and eyes are used to.

Ours, but measured against the real one by tests. The rules that are easy to get wrong:
  * one column of 23 for an address; an address and a port longer than 22 together are cut, the port to 18 at most,
    then the address to what is left, unless it is to be wide;
  * a TCP listener's Send-Q is 0 (the backlog limit is ss's idea), an unconnected UDP socket has no state;
  * an IPv4-mapped address is written as IPv4 on a tcp6 or udp6 line;
  * one owner, the lowest pid, `PID/program` cut to 19 bytes; `-` where nobody holds the socket.
Control characters become dots, as later net-tools do it, so the columns hold.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fleetnet_cli.output.names import Names
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Socket

_ADDRESS_COLUMNS = 22  # with the colon 23
_SHORTEST_ADDRESS = 4  # what a long service name must leave
_PROGRAM_BYTES = 19  # PROGNAME_WIDTH of netstat.c less its end of string
_LINES_A_WRITE = 500
_ORDER = {("tcp", "ipv4"): 0, ("tcp", "ipv6"): 1, ("udp", "ipv4"): 2, ("udp", "ipv6"): 3}
_MAPPED = "::ffff:"


@dataclass(frozen=True, slots=True)
class Layout:
    """The options of netstat(8) that change how a line looks or which heading stands above."""

    all: bool = False
    listening: bool = False
    programs: bool = False
    wide: bool = False


def write(sockets: Iterable[Socket], names: Names, layout: Layout, out: Terminal, *, heading: bool) -> int:
    """Writes the lines, tcp before tcp6 before udp before udp6, otherwise in the order given; returns how many."""
    ordered = sorted(sockets, key=lambda s: _ORDER.get((s.protocol, s.family), len(_ORDER)))
    names.prepare(address for s in ordered for address in (_local_address(s), _remote_address(s)))
    if heading:
        out.write(_heading(layout))
    for start in range(0, len(ordered), _LINES_A_WRITE):
        out.write("".join(line(s, names, layout) for s in ordered[start : start + _LINES_A_WRITE]))
    return len(ordered)


def _heading(layout: Layout) -> str:
    which = "servers and established" if layout.all else "only servers" if layout.listening else "w/o servers"
    columns = f"Proto Recv-Q Send-Q {'Local Address':<23} {'Foreign Address':<23} {'State':<11}"
    programs = f" {'PID/Program name':<20}" if layout.programs else ""
    return f"Active Internet connections ({which})\n{columns}{programs}\n"


def line(socket: Socket, names: Names, layout: Layout) -> str:
    """One socket, with its line end."""
    label = socket.protocol + ("6" if socket.family == "ipv6" else "")
    local = _endpoint(_local_address(socket), socket.local_port, socket, names, layout)
    remote = _endpoint(_remote_address(socket), socket.remote_port, socket, names, layout)
    queued = 0 if socket.state == "LISTEN" else socket.send_queue
    text = f"{label:<5} {socket.recv_queue:>6} {queued:>6} {local:<23} {remote:<23} {_state(socket):<11}"
    if layout.programs:
        text += f" {_program(socket)}"
    return _dotted(text) + "\n"


def _state(socket: Socket) -> str:
    if socket.protocol == "udp":
        return {"ESTABLISHED": "ESTABLISHED", "CLOSE": ""}.get(socket.state, "UNKNOWN")
    return socket.state


def _local_address(socket: Socket) -> str:
    return socket.local_address or _any(socket)


def _remote_address(socket: Socket) -> str:
    return socket.remote_address or _any(socket)


def _any(socket: Socket) -> str:
    return "::" if socket.family == "ipv6" else "0.0.0.0"  # noqa: S104  # shown, not bound to


def _endpoint(address: str, port: int, socket: Socket, names: Names, layout: Layout) -> str:
    host = _unmapped(names.host(address))
    service = "*" if port == 0 else names.service(port, socket.protocol)
    if not layout.wide and len(host) + len(service) > _ADDRESS_COLUMNS:
        service = service[: _ADDRESS_COLUMNS - _SHORTEST_ADDRESS]
        host = host[: _ADDRESS_COLUMNS - len(service)]
    return f"{host}:{service}"


def _unmapped(host: str) -> str:
    return host.removeprefix(_MAPPED) if host.startswith(_MAPPED) and "." in host else host


def _program(socket: Socket) -> str:
    # A socket without an inode is nobody's to netstat, even where its owner can be inferred.
    if not socket.inode or not socket.owners:
        return f"{'-':<20}"
    first = min(socket.owners, key=lambda o: o.pid)
    # netstat counts bytes, both where it cuts and where it pads.
    cut = f"{first.pid}/{first.program}".encode()[:_PROGRAM_BYTES]
    return cut.decode(errors="ignore") + " " * (20 - len(cut))


def _dotted(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "." for c in text)
