"""The tables, each column with its one sentence.

What must stay true: every key leads with host_id, so that a database spread over machines can be split by it; ids
are either given by the collector or hashes of what they name (ids.py), so that no insert needs its answer; times are
microseconds since 1970 UTC, of the host's clock unless the sentence says "collector's". Migrations build the same
tables step by step; a test compares the two.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    false,
    text,
)

from fleetnet_server.storage.metadata import METADATA as METADATA  # with all tables, those of the network included
from fleetnet_server.storage.metadata import ONLY_ON, Name
from fleetnet_server.storage.schema_authorities import authorities as authorities
from fleetnet_server.storage.schema_authorities import certificates as certificates
from fleetnet_server.storage.schema_counts import counts as counts
from fleetnet_server.storage.schema_counts import trends as trends
from fleetnet_server.storage.schema_former import UNTIL_IN as UNTIL_IN
from fleetnet_server.storage.schema_former import former_holders as former_holders
from fleetnet_server.storage.schema_labels import labels as labels
from fleetnet_server.storage.schema_live import live_answers as live_answers
from fleetnet_server.storage.schema_live import live_questions as live_questions
from fleetnet_server.storage.schema_log import log as log
from fleetnet_server.storage.schema_log import log_head as log_head
from fleetnet_server.storage.schema_network import interfaces as interfaces
from fleetnet_server.storage.schema_network import namespaces as namespaces
from fleetnet_server.storage.schema_network import routes as routes
from fleetnet_server.storage.schema_people import people as people
from fleetnet_server.storage.schema_people import person_tokens as person_tokens
from fleetnet_server.storage.schema_readmissions import readmissions as readmissions

# SQLite gives out numbers for a key of type INTEGER only.
HostId = BigInteger().with_variant(Integer, "sqlite")

_STATUS = (
    "active; pending: it waits to be approved; revoked: its streams are refused; retired: likewise, and it is no part "
    "of the fleet any more."
)
_RENEWED = "Serial of the certificate before, good until the newest has been shown; empty: none is, *: any."

hosts = Table(
    "hosts",
    METADATA,
    Column("host_id", HostId, primary_key=True, comment="Number of the host, for good."),
    Column("name", Name, nullable=False, unique=True, comment="Name that its certificate carries."),
    Column("status", Text, nullable=False, comment=_STATUS),
    Column(
        "status_since_us",
        BigInteger,
        nullable=False,
        server_default="0",
        index=True,
        comment="Since when its status is so; collector's clock. 0: since before that was noted.",
    ),
    Column("enrolled_at_us", BigInteger, nullable=False, comment="When it first enrolled; collector's clock."),
    Column("certificate_serial", Text, nullable=False, comment="Serial of its newest certificate, hexadecimal."),
    Column("renewed_serial", Text, nullable=False, server_default="*", comment=_RENEWED),
    Column(
        "generation",
        BigInteger,
        nullable=False,
        comment="Number of its newest stream; an older one may not write. 0: none yet.",
    ),
    Column("boot_id", LargeBinary, comment="The boot whose sockets current holds."),
    Column("last_heard_us", BigInteger, comment="When its last whole look was committed; collector's clock."),
    Column("look_boot_id", LargeBinary, comment="Boot in which the last whole look was taken."),
    Column("look_epoch", BigInteger, comment="Epoch of the agent that took the last whole look."),
    Column("last_look_us", BigInteger, comment="The last whole look: what it held open then is what current holds."),
    Column(
        "whole",
        Boolean,
        nullable=False,
        comment="False while a snapshot is stored in part only: no difference makes a look whole then.",
    ),
    Column(
        "latest_us",
        BigInteger,
        nullable=False,
        comment="The latest look ever stored: a look before it comes from a clock set back.",
    ),
    Column(
        "agreed_us",
        BigInteger,
        comment="The last look at which the host's digest and ours of what it holds open were the same.",
    ),
    Column(
        "holder_doubts",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="Counts how often holders of it came into doubt: nobody relies on one stored before that.",
    ),
    comment="Hosts of the fleet.",
)

_MACHINE = "What its first stream since it enrolled last told of it; empty until one has."
_KEPT_BOOT = "Boot of the one that reports, where two machines have one machine id; else empty."
_CLONE_SEEN = "When another machine last came as this host, since it enrolled; collector's clock."

machines = Table(
    "machines",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Which host it is."),
    Column("machine_id_hash", LargeBinary, nullable=False, comment=_MACHINE),
    Column(
        "since_generation",
        BigInteger,
        nullable=False,
        comment="Streams up to this number are of before it enrolled last.",
    ),
    Column("kept_boot_id", LargeBinary, comment=_KEPT_BOOT),
    Column("clone_seen_us", BigInteger, comment=_CLONE_SEEN),
    comment="Which machine each host is, so that a copy of it is noticed.",
)

quarantine = Table(
    "quarantine",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Which host sent it."),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False, comment="Epoch of its stream."),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False, comment="Its number in that epoch."),
    Column("boot_id", LargeBinary, nullable=False, comment="Boot of the host, 16 bytes."),
    Column("set_aside_at_us", BigInteger, nullable=False, comment="When it came; collector's clock."),
    Column("reason", Text, nullable=False, comment="Why it could not be stored, one sentence."),
    Column("size_bytes", BigInteger, nullable=False, comment="How large it was."),
    Column("kept_bytes", BigInteger, nullable=False, comment="How much of it is kept: all or nothing."),
    Column("message", LargeBinary, nullable=False, comment="As it came, a Batch of the wire; empty where not kept."),
    comment="Reports that could not be stored.",
)  # fmt: skip

_MADE_BY = "Who made it: local, over the admin socket, or a person's URI; empty: that was not noted yet."
_ONLY_APPROVED = "Whether a host that it admits waits for somebody to approve it."
_LABELS = "Labels that the host has once it has enrolled, an object of JSON; empty where none."

tokens = Table(
    "tokens",
    METADATA,
    Column(
        "secret_hash", LargeBinary, primary_key=True, comment="SHA-256 of the secret; the secret itself is never kept."
    ),
    Column("host", Name, nullable=False, comment="Name of the one host that it admits; empty: as each proposes."),
    Column("created_at_us", BigInteger, nullable=False, comment="When it was made; collector's clock."),
    Column("expires_at_us", BigInteger, nullable=False, comment="From when on it admits nobody; collector's clock."),
    Column("used_at_us", BigInteger, comment="When it was used, the last time; collector's clock."),
    Column("labels", Text, nullable=False, server_default="", comment=_LABELS),
    Column("made_by", Name, nullable=False, server_default="", comment=_MADE_BY),
    Column("revoked_at_us", BigInteger, comment="When it was revoked; collector's clock."),
    Column("max_uses", BigInteger, nullable=False, server_default="1", comment="How many hosts it admits."),
    Column("uses", BigInteger, nullable=False, server_default="0", comment="How many it has admitted."),
    Column("approve", Boolean, nullable=False, server_default=false(), comment=_ONLY_APPROVED),
    comment="Enrollment tokens.",
)

# Clocks that are wrong by more than the time a message travels: of a few hosts, and all of them are asked for often.
SKEW_US = 1_000_000
SKEWED = text(f"clock_offset_us >= {SKEW_US} OR clock_offset_us <= -{SKEW_US}")

_TOLD_FROM = "From when on its looks were told afterwards; collector's clock. Empty: each was told as it was taken."

sessions = Table(
    "sessions",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Whose stream it was."),
    Column("generation", BigInteger, primary_key=True, autoincrement=False, comment="Counts the streams of the host."),
    Column("boot_id", LargeBinary, nullable=False, comment="The boot of the host, 16 bytes."),
    Column(
        "epoch", BigInteger, nullable=False, comment="The agent's random number, its 64 bits read as a signed number."
    ),
    Column(
        "last_sequence", BigInteger, nullable=False, comment="Highest sequence of the boot and epoch committed so far."
    ),
    Column("started_at_us", BigInteger, nullable=False, comment="When the stream was opened; collector's clock."),
    Column(
        "ended_at_us", BigInteger, comment="When the stream was closed; collector's clock. Empty after a crash too."
    ),
    Column("clock_offset_us", BigInteger, nullable=False, comment="Host's clock minus collector's at the opening."),
    Column("first_at_us", BigInteger, comment="First whole look of the stream, converted to the collector's clock."),
    Column("last_at_us", BigInteger, comment="Last whole look of the stream, converted to the collector's clock."),
    Column("told_from_us", BigInteger, comment=_TOLD_FROM),
    Column("agent_version", Text, nullable=False, comment="Version of the agent."),
    Column(
        "machine_id_hash", LargeBinary, nullable=False, comment="Tells a cloned identity; empty where there is none."
    ),
    Column("interval_s", Double, nullable=False, comment="Seconds between two looks at the whole table."),
    Column("netns_inode", BigInteger, nullable=False, comment="Inode of the agent's own network namespace."),
    Column("os", Text, nullable=False, comment="Operating system in words."),
    Column("kernel", Text, nullable=False, comment="Release of the kernel."),
    Column("architecture", Text, nullable=False, comment="Machine architecture."),
    Column("cpu_count", Integer, nullable=False, comment="Number of logical processors."),
    Column("memory_bytes", BigInteger, nullable=False, comment="Memory in bytes."),
    Column("booted_at_us", BigInteger, nullable=False, comment="When the host booted; 0 if not known."),
    Index(None, "host_id", "first_at_us"),
    Index("ix_sessions_skewed", "host_id", "generation", sqlite_where=SKEWED, postgresql_where=SKEWED),
    comment="Report streams: what was heard of a host and when.",
)


_PROTOCOL = "Protocol: IANA's number, 255 of raw, 256 of UNIX and 257 of packet sockets; empty: TCP."
_FAMILY = "6; 1 of UNIX and 17 of packet sockets; empty: 4."
_SOURCE = "Where the agent read it, the wire's number; empty: the kernel's socket diagnostics."
_LOCAL_ADDRESS = "Local address, 4 or 16 bytes; of no bytes where the family has none."
_LOCAL_PORT = "Local port; of a raw socket its protocol, of a packet socket its Ethernet protocol."
_HOW_EXACTLY = "How exactly that is known, the wire's number."
_NETNS = "Inode of its network namespace; empty: the agent's own."
_TYPE = "Type of a UNIX or packet socket, the kernel's number; empty of others."
_PATH = "Name that a UNIX socket is bound to, a zero byte before an abstract one; empty where it has none."
_PEER_INODE = "Inode of the UNIX socket at the other end; empty where there is none."
_SCOPE = (
    "How far a listener's address reaches: 1 loopback, 2 link-local, 3 private, 4 public, 5 any; empty: no listener."
)


def _interval_columns(times: list[Column[Any]], exactly: list[Column[Any]]) -> list[Column[Any]]:
    """What an open and a closed interval have in common, and in their places what only one of them has.

    By their width, the widest first, for PostgreSQL begins a number at a multiple of its own width. What most rows have
    in common is left empty (usual.py). Column objects belong to one table, so made anew.
    """
    return [
        Column("cookie", BigInteger, nullable=False, comment="The kernel's socket cookie; 0 if not known."),
        Column("holder_id", BigInteger, nullable=False, comment="Who holds it: holders."),
        Column("opened_at_us", BigInteger, nullable=False, comment="When it entered the state."),
        *times,
        Column("inode", BigInteger, comment="Inode in sockfs; empty where no process holds it."),
        Column("netns", BigInteger, comment=_NETNS),
        Column("recv_queue", BigInteger, comment="Recv-Q at the last report; empty where it is 0."),
        Column("send_queue", BigInteger, comment="Send-Q at the last report; empty where it is 0."),
        Column("peer_inode", BigInteger, comment=_PEER_INODE),
        Column("local_port", Integer, nullable=False, comment=_LOCAL_PORT),
        Column("remote_port", Integer, nullable=False, comment="Remote port; 0 without a peer."),
        Column("state", SmallInteger, nullable=False, comment="State, the kernel's number."),
        Column("opened_at_is", SmallInteger, nullable=False, comment=_HOW_EXACTLY),
        *exactly,
        Column("protocol", SmallInteger, comment=_PROTOCOL),
        Column("family", SmallInteger, comment=_FAMILY),
        Column("source", SmallInteger, comment=_SOURCE),
        Column("scope", SmallInteger, comment=_SCOPE),
        Column("type", SmallInteger, comment=_TYPE),
        Column("v6only", Boolean, comment="IPV6_V6ONLY; empty where not known."),
        Column("local_address", LargeBinary, nullable=False, comment=_LOCAL_ADDRESS),
        Column("remote_address", LargeBinary, nullable=False, comment="Remote address; of no bytes without a peer."),
        Column("interface", Text, comment="Interface it is bound to; empty where none."),
        Column("path", LargeBinary, comment=_PATH),
        Column("held_since_us", BigInteger, comment=_HELD_SINCE),
    ]  # fmt: skip


# Listeners are few among many connections: an index of their own costs next to nothing to keep.
_LISTENERS = text("scope <> 0")
# Most sockets of many a host have no other end.
_REMOTE = text("remote_address <> ''")
_HELD_SINCE = "Since when that holder is known to have held it; empty: since opened_at_us. Before: former_holders."
_SEEN = "The look of the last report that wrote the row; hosts.last_look_us may confirm it beyond."

current = Table(
    "current",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Whose socket it is."),
    Column("socket_id", BigInteger, primary_key=True, autoincrement=False, comment="Hash of what names the socket."),
    *_interval_columns([Column("seen_at_us", BigInteger, nullable=False, comment=_SEEN)], []),
    # Of one host all is found by the key. Across the fleet listeners are asked for by port or by when they began,
    # connections by state or by the other end; where many hosts have a port, of some hosts at a time.
    Index("ix_current_listeners", "local_port", sqlite_where=_LISTENERS, postgresql_where=_LISTENERS),
    Index("ix_current_listeners_of", "host_id", "local_port", sqlite_where=_LISTENERS, postgresql_where=_LISTENERS),
    Index("ix_current_listeners_since", "opened_at_us", sqlite_where=_LISTENERS, postgresql_where=_LISTENERS),
    # Addresses come in no order: each commit to SQLite would write most of its pages anew, and take twice as long.
    Index(
        "ix_current_remote_address", "remote_address", postgresql_where=_REMOTE, info={ONLY_ON: "postgresql"}
    ).ddl_if(dialect="postgresql"),
    Index(None, "state", "local_port"),
    comment="Sockets that are open, each in its present state.",
    sqlite_with_rowid=False,
)  # fmt: skip

_CLOSED_AT = "When it left the state; never before opened_at_us."
_LAST_SEEN = "The last look that confirmed it; empty: seen up to closed_at_us."
# In which ten minutes since 1970 a row of history ended.
ENDED_IN = text("(closed_at_us / 600000000)")
# Of which host and socket it is, in one number (by_socket.py).
OF_SOCKET = text("((host_id & 8388607) * 1099511627776 + socket_id / 8388608)")

history = Table(
    "history",
    METADATA,
    # No key: a row comes here once, in the transaction that takes it out of current. It is looked up by its socket only
    # when its host tells afterwards of a time that it kept.
    Column("host_id", BigInteger, nullable=False, comment="Whose socket it was."),
    Column("socket_id", BigInteger, nullable=False, comment="Hash of what names the socket."),
    *_interval_columns(
        [
            Column("closed_at_us", BigInteger, nullable=False, comment=_CLOSED_AT),
            Column("last_seen_us", BigInteger, comment=_LAST_SEEN),
        ],
        [Column("closed_at_is", SmallInteger, nullable=False, comment=_HOW_EXACTLY)],
    ),
    # Many rows of a host end in the same ten minutes, and PostgreSQL notes their common key once (ends.py).
    Index("ix_history_ends", "host_id", ENDED_IN),
    Index("ix_history_sockets", OF_SOCKET),
    Index("ix_history_listeners", "local_port", "closed_at_us", sqlite_where=_LISTENERS, postgresql_where=_LISTENERS),
    Index("ix_history_listeners_since", "opened_at_us", sqlite_where=_LISTENERS, postgresql_where=_LISTENERS),
    comment="Sockets that were in a state and have left it.",
)

_DOUBTED = "Which doubt of its host it came into, for nothing was found that names it; 0: none since a report last did."

holders = Table(
    "holders",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="On which host."),
    Column(
        "holder_id",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="Hash of all of it, its processes included.",
    ),
    Column("uid", BigInteger, comment="Owner of the socket; empty where the kernel no longer knows."),
    Column("user", Name, nullable=False, comment="Name of that uid on the host; empty where none."),
    Column("unit", Name, nullable=False, comment="systemd unit; empty where none."),
    Column("container", Name, nullable=False, comment="Container id; empty where none."),
    Column("owner_status", SmallInteger, nullable=False, comment="What is known about the owners, the wire's number."),
    Column("runtime", Name, nullable=False, server_default="", comment="What runs the container; empty if not known."),
    Column("doubted", BigInteger, nullable=False, server_default="0", comment=_DOUBTED),
    comment="Who and what held sockets, each combination once.",
)

processes = Table(
    "processes",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="On which host."),
    Column("process_id", BigInteger, primary_key=True, autoincrement=False, comment="Hash of all of it and the boot."),
    Column("pid", BigInteger, nullable=False, comment="Process id."),
    Column("started_at_us", BigInteger, nullable=False, comment="When it started."),
    Column("name", Name, nullable=False, comment="Name of the command, at most 15 bytes from the kernel."),
    Column("exe", Name, nullable=False, comment="Path of the executable; empty where not known."),
    Column("program", Name, nullable=False, comment="What netstat(8) calls it."),
    comment="Processes that held sockets.",
)

holder_processes = Table(
    "holder_processes",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="On which host."),
    Column("holder_id", BigInteger, primary_key=True, autoincrement=False, comment="The holder."),
    Column("process_id", BigInteger, primary_key=True, autoincrement=False, comment="One of its processes."),
    # Whether any holder has a process still, when one of them goes.
    Index(None, "host_id", "process_id"),
    comment="Which processes belong to which holder.",
    sqlite_with_rowid=False,
)

gaps = Table(
    "gaps",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Whose history is not whole."),
    Column("from_us", BigInteger, primary_key=True, autoincrement=False, comment="From when."),
    Column("to_us", BigInteger, primary_key=True, autoincrement=False, comment="To when."),
    Column("reason", Text, primary_key=True, comment="Why, in a few words."),
    Index(None, "host_id", "to_us"),
    Index("ix_gaps_to_us", "to_us"),
    comment="Times about which a host's history is not whole.",
)

kept = Table(
    "kept",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Whose history it is."),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False, comment="Of what, the wire's number."),
    Column("since_us", BigInteger, nullable=False, comment="The latest end of what is no longer kept; 0: all is kept."),
    Column("walked_us", BigInteger, nullable=False, comment="What ended before has been looked through for this kind."),
    comment="How far back the history of each host goes.",
)

source_status = Table(
    "source_status",
    METADATA,
    Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment="Whose source it is."),
    Column("name", Name, primary_key=True, comment="Name of the source."),
    Column("ok", Boolean, nullable=False, comment="True if its last reading was whole."),
    Column("detail", Text, nullable=False, comment="One sentence on what is wrong; empty if nothing is."),
    Column("reported_at_us", BigInteger, nullable=False, comment="The look of the report that said so."),
    comment="How the sources of each host are doing.",
)
