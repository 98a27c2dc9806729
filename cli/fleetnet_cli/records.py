"""What passes from the client to the output: plain frozen values, no protobuf.

Enumerations are words already, spelled as the JSON has them; a word that this version does not know is "unknown".
Times are microseconds since 1970 UTC; 0 means that there is none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
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
class Label:
    """What a host is called by, beside its name."""

    key: str
    value: str = ""  # "" in a question: any

    @property
    def words(self) -> str:
        """As people write it."""
        return f"{self.key}={self.value}" if self.value else self.key


@dataclass(frozen=True, slots=True)
class Selection:
    """Which hosts, when, and how much; the empty value asks about everything now."""

    host_globs: tuple[str, ...] = ()  # a host is asked that one of them matches
    host: str = ""
    at_us: int = 0
    max_age_ms: int = 0
    limit: int = 0
    labels: tuple[Label, ...] = ()  # a host is asked that has all of them now


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


# Not frozen, for these and sockets come by the million, and a frozen one takes twice as long to make.
@dataclass(slots=True, unsafe_hash=True)
class Owner:
    """A process that holds a socket."""

    pid: int
    name: str
    exe: str
    started_at_us: int
    program: str  # as netstat(8) shows it


@dataclass(slots=True, unsafe_hash=True)
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
    labels: tuple[Label, ...] = ()  # as they are now, by key
    status: str | None = None  # as it is now; None from a collector that does not tell


@dataclass(frozen=True, slots=True)
class HostStanding:
    """A host, and how it stands."""

    host: str
    status: str
    changed: bool  # it stood otherwise before


@dataclass(frozen=True, slots=True)
class LabelledHost:
    """A host and its labels, by key."""

    host: str
    labels: tuple[Label, ...]
    changed: bool  # it had others before


@dataclass(frozen=True, slots=True)
class Labelled:
    """What became of a wish for labels."""

    hosts: tuple[LabelledHost, ...]
    unmatched_globs: tuple[str, ...]  # then nothing was done


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
    """A one-time token, shown this once: for a host to join, or for a person to log in."""

    token: str
    host: str
    expires_at_us: int
    person: str = ""
    role: str = ""  # of the person
    labels: tuple[Label, ...] = ()  # that the host has from its enrollment on
    max_uses: int = 1  # how many hosts may join with it
    approve: bool = False  # each is to wait until somebody approves it


@dataclass(frozen=True, slots=True)
class TokenWish:
    """Which hosts are to join."""

    host: str  # empty: as each calls itself
    labels: tuple[Label, ...]
    max_uses: int
    approve: bool


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A token as the collector keeps it: nothing of it admits anybody. Times are 0 where it never was."""

    token_id: str
    host: str
    person: str
    role: str
    labels: tuple[Label, ...]
    max_uses: int
    uses: int
    approve: bool
    made_by: str
    created_at_us: int
    expires_at_us: int
    used_at_us: int
    revoked_at_us: int

    def standing(self, now_us: int) -> str:
        """What it is good for at a time."""
        if self.revoked_at_us:
            return "revoked"
        if self.uses >= self.max_uses:
            return "used"
        return "expired" if self.expires_at_us <= now_us else "good"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """What somebody did, or was refused."""

    number: int
    at_us: int
    who: str
    login: str  # what local says to be called
    peer: str
    action: str
    subject: str
    result: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may ask over the network, or might once."""

    person: str
    role: str
    revoked: bool
    joined_at_us: int
    certificate_until_us: int


@dataclass(frozen=True, slots=True)
class RefusedReports:
    """Reports of a host that the collector could not store."""

    host: str
    reports: int
    last_at_us: int
    reason: str


@dataclass(frozen=True, slots=True)
class HeldBack:
    """A host that reports more than its quota, and is read more slowly."""

    host: str
    over: str  # of what it has too much
    held_s: float
    since_us: int


@dataclass(frozen=True, slots=True)
class Described:
    """What a collector says of itself."""

    version: str
    at_us: int  # its clock
    server_certificate_until_us: int
    ca_certificate_until_us: int
    refused: tuple[RefusedReports, ...]
    held_back: tuple[HeldBack, ...] = ()  # an older collector does not say


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
    unmatched_labels: tuple[Label, ...] = ()  # where no host was asked: those asked for that no host has
    near_label: str = ""  # that some host has, and that was probably meant by the first of these
    since: "Coverage | None" = None  # that of the earlier time, where two are compared

    @property
    def whole(self) -> bool:
        """Nothing stale, no gap at the time asked about, nothing of it deleted since, and all holders known that were
        asked for."""
        then = self.since is None or self.since.whole
        return then and not (self.hosts_stale or self.gaps or self.not_kept or self.unseen_holders)

    def joined(self, other: "Coverage") -> "Coverage":
        """Of two answers that make one: whatever either lacks is lacking."""
        stale = {stale.host: stale for stale in (*self.hosts_stale, *other.hosts_stale)}
        return replace(
            self,
            hosts_fresh=min(self.hosts_fresh, other.hosts_fresh),
            hosts_stale=tuple(stale[host] for host in sorted(stale)),
            gaps=max(self.gaps, other.gaps),
            not_kept=tuple(dict.fromkeys((*self.not_kept, *other.not_kept))),
            unseen_holders=max(self.unseen_holders, other.unseen_holders),
            unmatched_globs=tuple(dict.fromkeys((*self.unmatched_globs, *other.unmatched_globs))),
        )


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
