"""Internet sockets in the layout of netstat(8), to the space.

The rules that are easy to get wrong:
  * one column of 23 for an address; an address and a port longer than 22 together are cut, the port to 18 at most,
    then the address to what is left, unless it is to be wide;
  * a TCP listener's Send-Q is 0 (the backlog limit is ss's idea), an unconnected UDP socket has no state, and that of
    a raw socket is the kernel's number;
  * SCTP has columns of its own, no 6 and no cut: an endpoint one address where others have queues and two;
  * an IPv4-mapped address is written as IPv4 on a tcp6 or udp6 line;
  * one owner, the lowest pid, `PID/program` cut to 19 bytes; `-` where nobody holds the socket;
  * a timer is (seconds left/retransmissions/probes without an answer), and off where none runs;
  * the user of a connection in TIME_WAIT, whom the kernel no longer knows, is root.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fleetnet_cli.live import LiveSocket, Timer
from fleetnet_cli.output.names import Names
from fleetnet_cli.output.netstat import dotted
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Socket
from fleetnet_cli.states import STATES

_ADDRESS_COLUMNS = 22  # with the colon 23
_SHORTEST_ADDRESS = 4  # what a long service name must leave
_PROGRAM_BYTES = 19  # PROGNAME_WIDTH of netstat.c less its end of string
_LINES_A_WRITE = 500
_LABELS = {"tcp": "tcp", "sctp": "sctp", "udp": "udp", "udplite": "udpl", "raw": "raw"}  # in netstat's order
_ORDER = {name: position for position, name in enumerate(_LABELS)}
_MAPPED = "::ffff:"
_TIMERS = {1: "on", 2: "keepalive", 3: "timewait", 4: "probe"}  # idiag_timer of include/uapi/linux/inet_diag.h
_NAMED_AS = {"udplite": "udp"}
_OFF = "off (0.00/0/0)"

PROTOCOLS = frozenset(_LABELS)


@dataclass(frozen=True, slots=True)
class Layout:
    """The options of netstat(8) that change how a line looks or which heading stands above."""

    all: bool = False
    listening: bool = False
    programs: bool = False
    wide: bool = False
    extend: bool = False
    timers: bool = False

    @property
    def which(self) -> str:
        """What the heading says of the sockets beneath it."""
        return "servers and established" if self.all else "only servers" if self.listening else "w/o servers"


def write(sockets: Iterable[LiveSocket], names: Names, layout: Layout, out: Terminal, *, heading: bool) -> int:
    """Writes the lines, tcp before tcp6 before udp before udp6, otherwise in the order given; returns how many."""
    ordered = sorted(sockets, key=lambda s: (_ORDER.get(s.socket.protocol, len(_ORDER)), s.socket.family))
    names.prepare(a for s in ordered for a in (_local_address(s.socket), _remote_address(s.socket)))
    if heading:
        out.write(_heading(layout))
    for start in range(0, len(ordered), _LINES_A_WRITE):
        out.write("".join(line(s.socket, names, layout, s.timer) for s in ordered[start : start + _LINES_A_WRITE]))
    return len(ordered)


def _heading(layout: Layout) -> str:
    columns = f"Proto Recv-Q Send-Q {'Local Address':<23} {'Foreign Address':<23} {'State':<11}"
    extended = f" {'User':<10} {'Inode':<10}" if layout.extend else ""
    programs = f" {'PID/Program name':<20}" if layout.programs else ""
    timers = " Timer" if layout.timers else ""
    return f"Active Internet connections ({layout.which})\n{columns}{extended}{programs}{timers}\n"


def line(socket: Socket, names: Names, layout: Layout, timer: Timer | None = None) -> str:
    """One socket, with its line end."""
    start = _sctp(socket, names) if socket.protocol == "sctp" else _of_two_ends(socket, names, layout)
    return dotted(start + _added(socket, names, layout, timer)) + "\n"


def _of_two_ends(socket: Socket, names: Names, layout: Layout) -> str:
    label = _LABELS.get(socket.protocol, socket.protocol) + ("6" if socket.family == "ipv6" else "")
    local = _endpoint(_local_address(socket), socket.local_port, socket, names, layout)
    remote = _endpoint(_remote_address(socket), socket.remote_port, socket, names, layout)
    queued = 0 if socket.state == "LISTEN" else socket.send_queue
    return f"{label:<5} {socket.recv_queue:>6} {queued:>6} {local:<23} {remote:<23} {_state(socket):<11}"


def _sctp(socket: Socket, names: Names) -> str:
    wide = Layout(wide=True)
    local = _endpoint(_local_address(socket), socket.local_port, socket, names, wide)
    if not socket.remote_address:
        return f"{'sctp':<20}{local:<47} {_state(socket):<11}"
    remote = _endpoint(socket.remote_address, socket.remote_port, socket, names, wide)
    return f"sctp  {socket.recv_queue:>6} {socket.send_queue:>6} {local:<23} {remote:<23} {_state(socket):<11}"


def _added(socket: Socket, names: Names, layout: Layout, timer: Timer | None) -> str:
    """The columns of -e, -p and --timers."""
    text = ""
    if layout.extend:
        user = names.user(0, "root") if socket.uid is None else names.user(socket.uid, socket.user)
        text += f" {user:<10} {socket.inode:<10}"
    if layout.programs:
        text += f" {program(socket)}"
    if layout.timers:
        text += f" {'' if socket.protocol == 'sctp' else _timer(timer)}"
    return text


def _state(socket: Socket) -> str:
    if socket.protocol in ("udp", "udplite"):
        return {"ESTABLISHED": "ESTABLISHED", "CLOSE": ""}.get(socket.state, "UNKNOWN")
    if socket.protocol == "raw" and socket.state in STATES:
        return str(STATES.index(socket.state) + 1)
    return socket.state


def _timer(timer: Timer | None) -> str:
    if timer is None:
        return _OFF
    # The kernel tells one count: of probes while it probes, else of retransmissions. Its clock ticks in hundredths.
    counts = f"0/{timer.retransmits}" if timer.kind in (2, 4) else f"{timer.retransmits}/0"
    kind = _TIMERS.get(timer.kind, f"unkn-{timer.kind}")
    return f"{kind} ({timer.expires_ms // 10 / 100:.2f}/{counts})"


def _local_address(socket: Socket) -> str:
    return socket.local_address or _any(socket)


def _remote_address(socket: Socket) -> str:
    return socket.remote_address or _any(socket)


def _any(socket: Socket) -> str:
    return "::" if socket.family == "ipv6" else "0.0.0.0"  # noqa: S104  # shown, not bound to


def _endpoint(address: str, port: int, socket: Socket, names: Names, layout: Layout) -> str:
    host = _unmapped(names.host(address))
    service = "*" if port == 0 else names.service(port, _NAMED_AS.get(socket.protocol, socket.protocol))
    if not layout.wide and len(host) + len(service) > _ADDRESS_COLUMNS:
        service = service[: _ADDRESS_COLUMNS - _SHORTEST_ADDRESS]
        host = host[: _ADDRESS_COLUMNS - len(service)]
    return f"{host}:{service}"


def _unmapped(host: str) -> str:
    return host.removeprefix(_MAPPED) if host.startswith(_MAPPED) and "." in host else host


def program(socket: Socket) -> str:
    """The column of -p."""
    # A socket without an inode is nobody's to netstat, even where its owner can be inferred.
    if not socket.inode or not socket.owners:
        return f"{'-':<20}"
    first = min(socket.owners, key=lambda o: o.pid)
    # netstat counts bytes, both where it cuts and where it pads.
    cut = f"{first.pid}/{first.program}".encode()[:_PROGRAM_BYTES]
    return cut.decode(errors="ignore") + " " * (20 - len(cut))
