"""The tables of what a network namespace is beside its sockets, each column with its one sentence.

A row is one namespace, interface or route for as long as it stayed as it was: an interval, open while `closed_at_us`
is empty. What must stay true: of one namespace, one interface or one route no two intervals overlap, and each lasts
for some time, so that its beginning is part of its key. What is open belongs to a namespace that is open.
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, SmallInteger, Table, Text

from fleetnet_server.storage.metadata import METADATA, Name

_HOST = "Whose it is."
_NETNS = "Network namespace: 0 the agent's own, else its inode."
_SEEN = "The last look known to have confirmed it; while open, hosts.last_look_us may confirm it beyond."
_CLOSED = "When it ended or became another; empty while it is open. Later than opened_at_us."
_SINCE = "When the namespace was first seen, under whatever name."
_ADDRESSES = (
    "Its addresses in the kernel's order, each as length, address, prefix length, length of the peer, peer, scope; "
    "each number is one byte."
)
_NEXT_HOPS = (
    "Where it leads, each as length, gateway, weight, flags, length, name of the interface in UTF-8; each length is "
    "one byte, weight and flags are four, the highest first."
)
_RANK = "Where it stands among the open routes of its namespace: of two the lower comes first."


def _name_columns(*more: Column[Any]) -> list[Column[Any]]:
    """What names an interval."""
    return [
        Column("host_id", BigInteger, primary_key=True, autoincrement=False, comment=_HOST),
        Column("netns", BigInteger, primary_key=True, autoincrement=False, comment=_NETNS),
        *more,
        Column("opened_at_us", BigInteger, primary_key=True, autoincrement=False, comment="When it came to be so."),
    ]


def _interval_columns() -> list[Column[Any]]:
    """How an interval is known, and its end."""
    return [
        Column("opened_at_is", SmallInteger, nullable=False, comment="How exactly its beginning is known, as current."),
        Column("seen_at_us", BigInteger, nullable=False, comment=_SEEN),
        Column("closed_at_us", BigInteger, comment=_CLOSED),
        Column("closed_at_is", SmallInteger, comment="How exactly that is known, the wire's number; empty while open."),
    ]


namespaces = Table(
    "namespaces",
    METADATA,
    *_name_columns(),
    Column("since_us", BigInteger, nullable=False, comment=_SINCE),
    Column("name", Name, nullable=False, comment="Name by which people know it; empty where it has none."),
    Column("container", Text, nullable=False, comment="Container that lives in it; empty where none."),
    Column("runtime", Text, nullable=False, comment="What runs that container; empty where not known."),
    Column("unit", Text, nullable=False, comment="systemd unit of a process in it; empty where none."),
    Column("unread", Boolean, nullable=False, comment="True while its interfaces or routes cannot be read."),
    Column("routes_left_out", BigInteger, nullable=False, comment="Routes beyond those kept, at the last report."),
    *_interval_columns(),
    # What of a host is open (closed_at_us is empty), or was at a time.
    Index(None, "host_id", "closed_at_us"),
    comment="Network namespaces of the hosts, by name and standing.",
)

interfaces = Table(
    "interfaces",
    METADATA,
    *_name_columns(
        Column("index", BigInteger, primary_key=True, autoincrement=False, comment="Index in its namespace.")
    ),
    Column("name", Text, nullable=False, comment="Name."),
    Column("hardware_type", BigInteger, nullable=False, comment="ARPHRD_* of the kernel."),
    Column("hardware_address", LargeBinary, nullable=False, comment="Hardware address; empty where it has none."),
    Column("mtu", BigInteger, nullable=False, comment="Largest packet in bytes."),
    Column("flags", BigInteger, nullable=False, comment="IFF_* of the kernel."),
    Column("operstate", Integer, nullable=False, comment="IF_OPER_* of the kernel."),
    Column("kind", Text, nullable=False, comment="Kind of a virtual interface; empty for others."),
    Column("master", BigInteger, nullable=False, comment="Index of the bridge or bond it belongs to; 0 where none."),
    Column("addresses", LargeBinary, nullable=False, comment=_ADDRESSES),
    Column("speed_mbps", BigInteger, nullable=False, comment="Speed in Mbit/s; 0 where not known."),
    Column("duplex", SmallInteger, nullable=False, comment="0 not known, 1 half, 2 full."),
    Column("link", Boolean, comment="True with a link; empty where the driver does not say."),
    Column("driver", Text, nullable=False, comment="Driver; empty where it has none."),
    *_interval_columns(),
    Index(None, "host_id", "netns", "closed_at_us"),
    comment="Interfaces of the namespaces, each without its counters.",
)

routes = Table(
    "routes",
    METADATA,
    *_name_columns(
        Column("route_id", BigInteger, primary_key=True, autoincrement=False, comment="Hash of all that it is.")
    ),
    Column("rank", BigInteger, nullable=False, comment=_RANK),
    Column("family", SmallInteger, nullable=False, comment="4 or 6."),
    Column("destination", LargeBinary, nullable=False, comment="Destination, 4 or 16 bytes."),
    Column("prefix_length", SmallInteger, nullable=False, comment="Length of the destination's prefix in bits."),
    Column("table", BigInteger, nullable=False, comment="Routing table: 254 is the main one."),
    Column("type", SmallInteger, nullable=False, comment="RTN_* of the kernel."),
    Column("protocol", SmallInteger, nullable=False, comment="RTPROT_* of the kernel: who put it there."),
    Column("scope", SmallInteger, nullable=False, comment="RT_SCOPE_* of the kernel."),
    Column("metric", BigInteger, nullable=False, comment="Priority: the least counts first."),
    Column("preferred_source", LargeBinary, nullable=False, comment="Source that it prefers; empty where none."),
    Column("next_hops", LargeBinary, nullable=False, comment=_NEXT_HOPS),
    Column("flags", BigInteger, nullable=False, comment="RTM_F_* and RTNH_F_* of the kernel."),
    Column("tos", SmallInteger, nullable=False, comment="Type of service that it is for."),
    Column("advmss", BigInteger, nullable=False, comment="RTAX_ADVMSS, bytes; 0 where not set."),
    Column("window", BigInteger, nullable=False, comment="RTAX_WINDOW, bytes; 0 where not set."),
    Column("rtt", BigInteger, nullable=False, comment="RTAX_RTT, eighths of a millisecond; 0 where not set."),
    Column("mtu", BigInteger, nullable=False, comment="RTAX_MTU, bytes; 0 where not set."),
    *_interval_columns(),
    Index(None, "host_id", "netns", "closed_at_us"),
    comment="Routes of the namespaces.",
)
