"""What passes from the client to the output: plain frozen values, no protobuf.

Enumerations are words already, spelled as the JSON has them; a word that this version does not know is "unknown".
Times are microseconds since 1970 UTC; 0 means that there is none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports from first to last, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Net:
    """Addresses that begin alike; one alone if all of its bits count."""

    address: str
    prefix_bits: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which hosts, when, and how much; the empty value asks about everything now."""

    host_globs: tuple[str, ...] = ()  # a host is asked that one of them matches
    host: str = ""
    at_us: int = 0
    max_age_ms: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class SocketQuestion:
    """Which sockets; what is empty does not narrow."""

    selection: Selection
    states: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    local_ports: tuple[PortRange, ...] = ()
    listeners_only: bool = False
    exposed_only: bool = False
    process: str = ""
    unit: str = ""
    user: str = ""
    container: str = ""
    local: Net | None = None  # and what listens on every address
    remotes: tuple[Net, ...] = ()  # the other end lies in one of them
    remote_ports: tuple[PortRange, ...] = ()  # of the other end
    since_us: int = 0  # what began from then on, in place of what is open


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that holds a socket."""

    pid: int
    name: str
    exe: str
    started_at_us: int
    program: str  # as netstat(8) shows it


@dataclass(frozen=True, slots=True)
class Socket:
    """One socket in one state."""

    host: str
    netns: str
    protocol: str
    family: str
    state: str
    interface: str
    v6only: bool | None
    local_address: str
    local_port: int
    remote_address: str  # "" without a peer
    remote_port: int
    recv_queue: int
    send_queue: int
    uid: int | None
    user: str
    inode: int
    unit: str
    container: str
    owners: tuple[Owner, ...]
    owner_status: str
    scope: str  # "" where not a listener
    exposed: str  # "yes", "no", "unknown"; "" where not a listener
    opened_at_us: int
    opened_at_is: str
    closed_at_us: int
    closed_at_is: str
    last_seen_us: int
    source: str
    runtime: str = ""  # what runs the container, "" where not known
    type: str = ""  # of UNIX and packet sockets
    path: str = ""  # what a UNIX socket is bound to; "@" leads an abstract name
    peer_inode: int = 0  # of the UNIX socket at the other end
    netns_inode: int = 0  # 0: the agent's own namespace
    cookie: int = 0  # the kernel's, 0 where not known


@dataclass(frozen=True, slots=True)
class Host:
    """One host of the fleet."""

    host: str
    fresh: bool
    connected: bool
    last_seen_us: int
    enrolled_at_us: int
    sockets: int
    listeners: int
    agent_version: str
    os: str
    kernel: str
    architecture: str
    booted_at_us: int
    clock_offset_us: int
    degraded: tuple[str, ...]
    gaps: int = 0  # that overlap the time asked about


@dataclass(frozen=True, slots=True, order=True)
class RemoteEnd:
    """Whom sockets talk to: a service there, or whoever there came to a service here."""

    address: str  # IPv4 also where it is mapped; "" without a peer
    port: int = 0  # 0 where each socket may have another
    local_port: int = 0  # of the service here; 0 where it is there


@dataclass(frozen=True, slots=True)
class Count:
    """How many of the asked sockets are alike in what they were counted by; the rest is empty."""

    count: int
    hosts: int  # on so many
    host: str = ""
    process: str = ""  # "" for sockets whose process is not known
    remote: RemoteEnd | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A one-time token, shown this once."""

    token: str
    host: str
    expires_at_us: int


@dataclass(frozen=True, slots=True)
class RefusedReports:
    """Reports of a host that the collector could not store."""

    host: str
    reports: int
    last_at_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class Described:
    """What a collector says of itself."""

    version: str
    at_us: int  # its clock
    server_certificate_until_us: int
    ca_certificate_until_us: int
    refused: tuple[RefusedReports, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of this program, and who said what it is to be."""

    name: str  # "--server"; of what nobody reads, the variable or the key
    command: str  # "" where all commands have it
    value: str | None  # None: nothing is set
    origin: str
    twin: str  # the variable of the environment
    close: str | None = None  # what it was probably meant to be, where nobody reads it


@dataclass(frozen=True, slots=True)
class StaleHost:
    """A host whose part of the answer is old."""

    host: str
    last_seen_us: int  # 0 if never


@dataclass(frozen=True, slots=True)
class NotKept:
    """A kind of history that is no longer whole at the time asked about, and since when it is."""

    kind: str
    since_us: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far an answer reaches."""

    as_of_us: int
    hosts_asked: int = 0
    hosts_fresh: int = 0
    hosts_stale: tuple[StaleHost, ...] = ()
    gaps: int = 0
    not_kept: tuple[NotKept, ...] = ()
    unseen_holders: int = 0  # sockets that may be meant, but it is not known who holds them; at most 1,001
    unmatched_globs: tuple[str, ...] = ()  # of those asked by, which match no host
    since: "Coverage | None" = None  # that of the earlier time, where two are compared

    @property
    def whole(self) -> bool:
        """Nothing stale, no gap at the time asked about, nothing of it deleted since, and all holders known that were
        asked for."""
        then = self.since is None or self.since.whole
        return then and not (self.hosts_stale or self.gaps or self.not_kept or self.unseen_holders)


@dataclass(frozen=True, slots=True)
class News:
    """What is new of what is watched."""

    kind: str  # "there" in the beginning, "came", "went"; "coverage"; "mark": all that was known then has been told
    at_us: int
    socket: Socket | None = None  # of the first three
    coverage: Coverage | None = None  # of the fourth


@dataclass(frozen=True, slots=True)
class End:
    """The end of an answer that arrived whole."""

    items: int
    truncated: bool = False


Item = TypeVar("Item")
ItemOut = TypeVar("ItemOut", covariant=True)


class Answer(Protocol[ItemOut]):
    """An answer as it comes in: coverage at once, then items, and an end once the items are through."""

    @property
    def coverage(self) -> Coverage:
        """How far it reaches."""

    @property
    def end(self) -> End | None:
        """None until every item has been taken."""

    def __iter__(self) -> Iterator[ItemOut]:
        """The items, once; raises BrokenAnswer where the answer breaks off."""


@dataclass(slots=True)
class ReadyAnswer(Generic[Item]):
    """An answer that is here already, such as counts."""

    coverage: Coverage
    items: list[Item] = field(default_factory=list)
    end: End | None = None

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)
