"""What passes between the collector's rooms: plain frozen values.

rpc/ makes them from protobuf messages (bounded and checked), services/ think in them, storage/ keeps them. No
protobuf message, SQL row or gRPC status goes further than its own room. Times are microseconds since 1970 UTC; the
name says whose clock: *_at_us of sockets is the host's, received_* and last_seen of hosts the collector's.

What there are thousands of a second is a NamedTuple: made in one step, where a frozen dataclass takes one for each
field. Nothing here relies on its being a tuple.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from fleetnet_server.network import Namespace


class Process(NamedTuple):
    """A process of a host; (pid, started_at_us) names it."""

    pid: int
    started_at_us: int
    name: str
    exe: str
    program: str


class Holder(NamedTuple):
    """Who and what holds a socket. `owner_status` is the number of the wire's OwnerStatus."""

    uid: int | None
    user: str
    unit: str
    container: str
    owner_status: int
    owners: tuple[Process, ...]
    runtime: str = ""  # what runs the container


class SocketKey(NamedTuple):
    """What names a socket within one boot of one host."""

    netns: int
    protocol: int
    cookie: int
    inode: int
    four_tuple: bytes


class Socket(NamedTuple):
    """One socket in one state, as reported."""

    key: SocketKey
    family: int  # 4 or 6; 1 of UNIX, 17 of packet sockets
    state: int  # the kernel's number
    local_address: bytes
    local_port: int
    remote_address: bytes
    remote_port: int
    interface: str
    v6only: bool | None
    recv_queue: int
    send_queue: int
    inode: int
    source: int
    holder: Holder
    opened_at_us: int  # resolved: never 0
    opened_at_is: int
    type: int = 0  # of UNIX and packet sockets, the kernel's number
    path: bytes = b""  # that a UNIX socket is bound to
    peer_inode: int = 0  # of the UNIX socket at the other end


class ClosedSocket(NamedTuple):
    """The end of a socket, as reported."""

    key: SocketKey
    closed_at_us: int  # resolved: never 0
    closed_at_is: int


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How one of a host's sources is doing."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A time about which a host's history is not whole."""

    from_us: int
    to_us: int
    reason: str
    kept: bool = False  # what happened in it is kept on the host and will be told


@dataclass(frozen=True, slots=True)
class PastSocket:
    """A socket's time in one state, told afterwards."""

    socket: Socket
    closed_at_us: int  # 0: it had not left the state by the end of the gap
    closed_at_is: int  # 0 likewise


@dataclass(frozen=True, slots=True)
class Backlog:
    """A part of what an agent kept while nobody took its reports. Its times lie within the gap or before it."""

    from_us: int  # the gap, as it was declared
    to_us: int
    boot_id: bytes  # that the sockets belong to
    sockets: tuple[PastSocket, ...]
    ended: tuple[ClosedSocket, ...]  # of what was open when the gap began
    last: bool


@dataclass(frozen=True, slots=True)
class Digest:
    """All that a host held open at a look, in a number; proto/fleetnet_proto/v1/report.proto defines it."""

    sockets: int
    sum: int  # of 64 bits


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What a host says it is."""

    os: str
    kernel: str
    architecture: str
    cpu_count: int
    memory_bytes: int
    booted_at_us: int


@dataclass(frozen=True, slots=True)
class Hello:
    """The opening of a report stream."""

    agent_version: str
    boot_id: bytes
    epoch: int
    machine_id_hash: bytes
    wall_clock_us: int
    boottime_us: int
    facts: HostFacts
    interval_s: float
    netns_inode: int
    spool_bytes: int = 0
    spool_oldest_us: int = 0  # 0 where nothing waits

    @property
    def spool_age_us(self) -> int:
        """How old the oldest is that waits in the spool."""
        return max(0, self.wall_clock_us - self.spool_oldest_us) if self.spool_oldest_us else 0


@dataclass(frozen=True, slots=True)
class SnapshotPart:
    """Position of a batch in a snapshot."""

    part: int
    last: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of a host, checked and bounded."""

    boot_id: bytes
    epoch: int
    sequence: int
    look_at_us: int
    previous_look_at_us: int
    snapshot: SnapshotPart | None
    opened: tuple[Socket, ...]
    changed: tuple[Socket, ...]
    closed: tuple[ClosedSocket, ...]
    sources: tuple[SourceStatus, ...]
    gaps: tuple[Gap, ...]
    namespaces: tuple[Namespace, ...] = ()
    namespaces_gone: tuple[int, ...] = ()
    backlog: Backlog | None = None  # then it tells nothing else
    digest: Digest | None = None
    look_boottime_us: int = 0  # the host's clock that nothing sets, at the look; 0 where not told


@dataclass(frozen=True, slots=True)
class RefusedBatch:
    """A batch that cannot be stored, as far as it can be read, and as it came."""

    boot_id: bytes
    epoch: int
    sequence: int
    look_at_us: int  # 0 if that cannot be read either
    previous_look_at_us: int
    reason: str  # one sentence, which may quote the host
    message: bytes  # the wire's Batch
    past_us: tuple[int, int] | None = None  # the time it told of, if it told of the past and of nothing else
    past_last: bool = False  # nothing more was to be told of that time


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch: everything up to `sequence` is committed."""

    sequence: int
    refused: str = ""  # why this batch was set aside instead; empty where it was stored
    snapshot_wanted: str = ""  # why the host is to tell everything anew; empty where it need not
    took_s: float | None = None  # for how long the last piece of it kept the database; None where that is not known
    rested_s: float = 0.0  # for how long its host has waited between pieces, so that others got between


@dataclass(frozen=True, slots=True)
class Session:
    """One report stream, as storage opened it. `generation` fences older streams of the same host."""

    host_id: int
    generation: int
    boot_id: bytes
    epoch: int
    committed_sequence: int
    started_at_us: int = 0  # when its Hello came; collector's clock
    boottime_us: int = 0  # the host's clock that nothing sets, at the Hello; 0 where not told
    clock_lead_us: int | None = None  # how far the host's wall clock was ahead of its boottime at the Hello, if told
    serial: str = ""  # of the certificate that it was opened with


# How a host may stand.
ACTIVE: Final = "active"
PENDING: Final = "pending"  # it has enrolled, and waits for somebody to approve it
REVOKED: Final = "revoked"  # kept out, and a host of the fleet all the same
RETIRED: Final = "retired"  # kept out, and no part of the fleet any more


@dataclass(frozen=True, slots=True)
class Host:
    """A host of the fleet."""

    host_id: int
    name: str
    status: str  # one of the above
    enrolled_at_us: int
    certificate_serial: str
    renewed_serial: str  # as the column has it


# How one is told to stand that is active, and asks to be let in again.
PENDING_RENEWAL: Final = "pending_renewal"
KEY_DIGITS: Final = 16  # of a key's SHA-256: what people compare


@dataclass(frozen=True, slots=True)
class Readmission:
    """What a host asks for whose certificate has ended; times by the collector's clock, 0 where it never was."""

    serial: str  # of that certificate
    wanted_key: str  # SHA-256 of the public key that is to be certified
    peer: str  # the address that it asked from first
    asked_at_us: int
    rival_at_us: int  # when another key was wanted with the same certificate
    approved_at_us: int


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A token as it is kept, without anything that admits; times by the collector's clock, 0 where it never was."""

    token_id: str
    host: str  # empty: of a person, or of whoever comes
    person: str
    role: str  # of the person
    labels: tuple["Label", ...]
    max_uses: int
    uses: int
    approve: bool
    made_by: str
    created_at_us: int
    expires_at_us: int
    used_at_us: int
    revoked_at_us: int


class LogEntry(NamedTuple):
    """What somebody did, or was refused."""

    at_us: int  # collector's clock
    who: str  # local, or the URI of a person
    login: str  # what local says to be called
    peer: str
    action: str
    subject: str
    result: str


class LoggedEntry(NamedTuple):
    """An entry, and its place in the chain."""

    number: int
    entry: LogEntry
    hash: bytes


class HostStanding(NamedTuple):
    """How a host stands, once somebody has said how it is to stand."""

    host: str
    status: str  # as Host has it
    changed: bool  # it stood otherwise before


class Label(NamedTuple):
    """What a host is called by, beside its name. In a question an empty value means any."""

    key: str
    value: str


# What a person may do.
VIEWER: Final = "viewer"
OPERATOR: Final = "operator"
ROLES: Final = (VIEWER, OPERATOR)  # each may do what those before it may


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may ask over the network, or might once."""

    name: str
    role: str  # one of the above
    status: str  # "active" or "revoked"
    joined_at_us: int
    certificate_serial: str
    renewed_serial: str  # of the certificate before, which is good until the newest has been shown; empty: none is
    certificate_until_us: int


@dataclass(frozen=True, slots=True)
class TrustedAuthority:
    """A CA that the fleet trusts."""

    standing: str  # "issuing", "next" or "former"
    certificate: bytes  # DER
    since_us: int  # that it stands so; collector's clock

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, hexadecimal."""
        return hashlib.sha256(self.certificate).hexdigest()


@dataclass(frozen=True, slots=True)
class HeldCertificate:
    """The newest certificate of a host, a person or a collector, and what its owner trusts."""

    kind: str  # "host", "person" or "collector"
    name: str
    serial: str = ""  # hexadecimal
    issuer: str = ""  # SHA-256 of the CA that signed it; empty: not known, for it was issued before that was kept
    trusts: frozenset[str] = frozenset()  # of the CAs that were handed over with it
    until_us: int = 0
    shown: bool = False  # since it was issued: until then its owner may not have it


@dataclass(frozen=True, slots=True)
class Selection:
    """Which hosts a question is asked of, and about when. What is empty or 0 means "all" and "now"."""

    host: str = ""
    host_globs: tuple[str, ...] = ()  # a host is asked that one of them matches
    at_us: int = 0
    max_age_ms: int = 120_000
    limit: int = 0
    labels: tuple[Label, ...] = ()  # a host is asked that has all of them now
    though_left: bool = False  # `host` is asked though it may have left the fleet by then

    @property
    def of_some(self) -> bool:
        """Not all hosts are meant."""
        return bool(self.host or self.host_globs or self.labels)


@dataclass(frozen=True, slots=True)
class Net:
    """Addresses that begin alike: one alone, if all of its bits count. What an IPv4 address and its IPv4-mapped form
    (::ffff:0:0/96) name is the same, so that each lies in a net if the other does."""

    address: bytes  # 4 or 16
    prefix_bits: int


@dataclass(frozen=True, slots=True)
class SocketQuestion:
    """Which sockets are asked for; an empty tuple or string means any."""

    selection: Selection
    states: tuple[int, ...] = ()
    protocols: tuple[int, ...] = ()
    local_ports: tuple[tuple[int, int], ...] = ()  # first and last, both included
    listeners_only: bool = False
    exposed_only: bool = False
    process: str = ""
    unit: str = ""
    user: str = ""
    container: str = ""
    remotes: tuple[Net, ...] = ()  # the other end lies in one of them
    remote_ports: tuple[tuple[int, int], ...] = ()  # of the other end; first and last, both included
    local: Net | None = None  # and what listens on every address of a family that it has addresses of
    # 0: those that are open at the time asked about. Else those that began since this time, and not after that one,
    # whether they have ended or not.
    opened_since_us: int = 0


@dataclass(frozen=True, slots=True)
class NamespaceQuestion:
    """Which namespaces are asked for, and how much of each."""

    selection: Selection
    own_only: bool = False
    without_interfaces: bool = False
    without_routes: bool = False


class GoodCertificates(NamedTuple):
    """The serials of the certificates by which a host may report, at the time of its stream of this number."""

    host: str
    generation: int
    serials: frozenset[str]  # none of a host that is kept out or waits to be let in


class StaleHost(NamedTuple):
    """A host whose answer is old; `last_seen_us` is 0 if it was never heard."""

    host: str
    last_seen_us: int


@dataclass(frozen=True, slots=True)
class NotKept:
    """A kind of history that is no longer whole at the time asked about; `kind` is the number of the wire's Kept."""

    kind: int
    since_us: int  # from then on it is, of all hosts asked; collector's clock


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far an answer reaches."""

    as_of_us: int
    hosts_asked: int
    hosts_fresh: int
    hosts_stale: tuple[StaleHost, ...]
    gaps: int
    not_kept: tuple[NotKept, ...] = ()
    unseen_holders: int = 0  # sockets that may be meant, but the agent could not see who holds them; at most 1,001
    unmatched_globs: tuple[str, ...] = ()  # of those asked by, which match no host
    unmatched_labels: tuple[Label, ...] = ()  # where no host was asked: those asked for that no host has


class SocketAnswer(NamedTuple):
    """One socket in one state, as kept."""

    host: str
    netns: int
    protocol: int
    family: int
    state: int
    interface: str
    v6only: bool | None
    local_address: bytes
    local_port: int
    remote_address: bytes
    remote_port: int
    recv_queue: int
    send_queue: int
    inode: int
    cookie: int
    source: int
    holder: Holder
    opened_at_us: int
    opened_at_is: int
    closed_at_us: int  # 0 while open
    closed_at_is: int
    last_seen_us: int
    type: int = 0
    path: bytes = b""
    peer_inode: int = 0
    netns_name: str = ""  # that its namespace had at the time asked about; empty where it had none


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """One host, as kept."""

    host: str
    fresh: bool
    last_seen_us: int
    enrolled_at_us: int
    sockets: int
    listeners: int
    agent_version: str
    facts: HostFacts
    clock_offset_us: int
    degraded: tuple[str, ...] = field(default=())
    gaps: int = 0  # that overlap the time asked about
    labels: tuple[Label, ...] = ()  # as they are now, by key
    status: str = ACTIVE  # as it is now


@dataclass(frozen=True, slots=True)
class LabelledHost:
    """A host and its labels, by key."""

    host: str
    labels: tuple[Label, ...]
    changed: bool  # it had others before


@dataclass(frozen=True, slots=True)
class End:
    """The end of an answer; an answer without it is partial. `truncated` if the limit cut it."""

    items: int
    truncated: bool
