"""What a policy says of a listener, and whether a socket is one: yes, no, or not to be told.

Not to be told is an answer of its own: an owner that the agent could not see may be the one that is named, or not.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fleetnet_cli.records import Owner, PortRange, Socket

SCOPES = ("loopback", "link-local", "private", "public", "any")
PROTOCOLS = ("tcp", "udp", "udplite", "sctp", "raw")

Net = ipaddress.IPv4Network | ipaddress.IPv6Network
Verdict = bool | None  # None: not to be told

# What an agent says where it does not know who holds a socket; the others say that nobody does, or who.
_NOT_SEEN = ("no-helper", "permission", "raced", "unaccepted", "gone", "unknown")
UNKNOWN = "unknown"  # a word of a newer collector's
ELSEWHERE = "!host"  # any network namespace but the host's own
_COMM_BYTES = 15  # the kernel cuts a command's name to TASK_COMM_LEN - 1 (include/linux/sched.h)
# What the kernel hands out to who asks for no port: net.ipv4.ip_local_port_range as it is unless set otherwise
# (Documentation/networking/ip-sysctl.rst).
_EPHEMERAL = PortRange(32_768, 60_999)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A kind of listener; what is empty does not narrow. Names are globs, and matched as they are spelled."""

    ports: tuple[PortRange, ...] = ()
    protocols: tuple[str, ...] = ()
    addresses: tuple[Net, ...] = ()
    scopes: tuple[str, ...] = ()
    exposed: bool | None = None
    process: str = ""
    user: str = ""
    unit: str = ""
    container: str = ""
    netns: str = ""

    def matches(self, socket: Socket, *, reached: bool = False) -> Verdict:
        """Whether the socket is one of these: bound at its addresses or, where it is enough that it is reached there,
        at every address."""
        return all_of(
            (
                not self.ports or any(r.first <= socket.local_port <= r.last for r in self.ports),
                not self.protocols or _is_one_of(socket.protocol, self.protocols),
                not self.addresses or any_of(_at(socket, net, reached) for net in self.addresses),
                not self.scopes or _is_one_of(socket.scope, self.scopes),
                self.exposed is None or _exposed(socket, self.exposed),
                not self.process or _process(socket, self.process),
                not self.user or _user(socket, self.user),
                not self.unit or _named(socket, socket.unit, self.unit),
                not self.container or _named(socket, socket.container, self.container),
                not self.netns or _in_netns(socket, self.netns),
            )
        )

    def words(self) -> str:
        """`tcp 22 by sshd as root in ssh.service`."""
        ports = ", ".join(str(r.first) if r.first == r.last else f"{r.first}-{r.last}" for r in self.ports)
        parts = [" or ".join(self.protocols), ports or "any port"]
        parts += [f"at {' or '.join(map(str, self.addresses))}"] * bool(self.addresses)
        parts += [f"with scope {' or '.join(self.scopes)}"] * bool(self.scopes)
        parts += ["that is exposed" if self.exposed else "that is not exposed"] * (self.exposed is not None)
        for word, name in (
            ("by", self.process), ("as", self.user), ("in", self.unit), ("in container", self.container),
            ("in netns", self.netns),
        ):  # fmt: skip
            parts += [f"{word} {name}"] * bool(name)
        return " ".join(filter(None, parts))


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """No where one says no; else not to be told where one is not; else yes."""
    known = True
    for verdict in verdicts:
        if verdict is False:
            return False
        known = known and verdict is True
    return True if known else None


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Yes where one says yes; else not to be told where one is not; else no."""
    known = True
    for verdict in verdicts:
        if verdict is True:
            return True
        known = known and verdict is False
    return False if known else None


def is_ephemeral(socket: Socket) -> bool:
    """Whether it is a UDP socket on a port that the kernel hands out: hardly ever a service, and another each time."""
    in_range = _EPHEMERAL.first <= socket.local_port <= _EPHEMERAL.last
    return socket.protocol in ("udp", "udplite") and in_range


def _at(socket: Socket, net: Net, reached: bool) -> Verdict:
    if reached and socket.local_address in ("0.0.0.0", "::ffff:0.0.0.0"):  # noqa: S104  # it is compared with
        return net.version == 4
    if reached and socket.local_address == "::":
        # Whether it takes IPv4 as well is not always known.
        return True if net.version == 6 else None if socket.v6only is None else not socket.v6only
    return _lies_in(socket.local_address, net)


def _lies_in(address: str, net: Net) -> bool:
    if not address:
        return False
    parsed = ipaddress.ip_address(address)
    plain = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return parsed in net or (plain is not None and plain in net)


def _is_one_of(word: str, wanted: tuple[str, ...]) -> Verdict:
    return None if word == UNKNOWN else word in wanted


def _in_netns(socket: Socket, glob: str) -> bool:
    if glob == ELSEWHERE:
        return socket.netns_inode != 0
    return socket.netns_inode == 0 if glob == "host" else fnmatchcase(socket.netns, glob)


def _exposed(socket: Socket, wanted: bool) -> Verdict:
    is_exposed = {"yes": True, "no": False}.get(socket.exposed)
    return None if is_exposed is None else is_exposed is wanted


def _process(socket: Socket, glob: str) -> Verdict:
    cut = glob.encode()[:_COMM_BYTES].decode(errors="ignore")  # a glob longer than a name can be is a program's
    if any(fnmatchcase(owner.name, glob) or owner.name == cut or _is_program(owner, glob) for owner in socket.owners):
        return True
    return None if socket.owner_status in _NOT_SEEN else False


def _is_program(owner: Owner, glob: str) -> bool:
    return fnmatchcase(owner.program.partition(":")[0], glob)


def _user(socket: Socket, glob: str) -> Verdict:
    if socket.uid is None:
        return None
    if glob == str(socket.uid) or fnmatchcase(socket.user, glob):
        return True
    # A uid without a name may be the one that is meant, on a host that did not tell its name.
    return False if socket.user or glob.isdigit() else None


def _named(socket: Socket, name: str, glob: str) -> Verdict:
    if name:
        return fnmatchcase(name, glob)
    return None if socket.owner_status in _NOT_SEEN else False
