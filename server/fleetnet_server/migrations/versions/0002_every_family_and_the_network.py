"""Sockets of every family, what runs a container, and the network of each namespace.

Why so: a UNIX socket has a path instead of addresses and a packet socket has a type, so sockets get three columns,
which are empty in all rows so far; the container of a holder gets a word on what runs it. Namespaces, interfaces and
routes change rarely, so an interval of theirs stays in its table when it ends: nothing is gained by moving it.

On the way back go the sockets of families that the tables before did not know, and the network.

Revision 0002, after 0001.
"""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NAME = sa.String().with_variant(sa.Text(collation="C"), "postgresql")
TCP_AND_UDP = "(6, 17)"
# What the columns of sockets said of themselves before, and what they say now that there are more families.
SENTENCES = {
    "protocol": (
        sa.SmallInteger,
        "Transport protocol, IANA's.",
        "Protocol: IANA's number, 255 of raw, 256 of UNIX and 257 of packet sockets.",
    ),
    "family": (sa.SmallInteger, "4 or 6.", "4 or 6; 1 of UNIX and 17 of packet sockets."),
    "local_address": (
        sa.LargeBinary,
        "Local address, 4 or 16 bytes.",
        "Local address, 4 or 16 bytes; empty where the family has none.",
    ),
    "local_port": (
        sa.Integer,
        "Local port.",
        "Local port; of a raw socket its protocol, of a packet socket its Ethernet protocol.",
    ),
}


def upgrade() -> None:
    for table in ("current", "history"):
        _sockets(table)
    op.add_column(
        "holders",
        sa.Column(
            "runtime", NAME, nullable=False, server_default="", comment="What runs the container; empty if not known."
        ),
    )
    _namespaces()
    _interfaces()
    _routes()


def downgrade() -> None:
    for table in ("routes", "interfaces", "namespaces"):
        op.drop_table(table)
    op.drop_column("holders", "runtime")
    for table in ("current", "history"):
        op.execute(f"DELETE FROM {table} WHERE protocol NOT IN {TCP_AND_UDP}")  # noqa: S608  # of constants
        for column in ("peer_inode", "path", "type"):
            op.drop_column(table, column)
        _say(table, {column: (kind, now, before) for column, (kind, before, now) in SENTENCES.items()})


def _sockets(table: str) -> None:
    _say(table, SENTENCES)
    for column in (
        sa.Column(
            "type",
            sa.SmallInteger,
            nullable=False,
            server_default="0",
            comment="Type of a UNIX or packet socket, the kernel's number; 0 of others.",
        ),
        sa.Column(
            "path",
            sa.LargeBinary,
            nullable=False,
            # An empty text is not what an empty value of bytes is to SQLite.
            server_default=sa.text("x''" if op.get_context().dialect.name == "sqlite" else "''"),
            comment="Name that a UNIX socket is bound to, a zero byte before an abstract one; empty where it has none.",
        ),
        sa.Column(
            "peer_inode",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="Inode of the UNIX socket at the other end; 0 where there is none.",
        ),
    ):
        op.add_column(table, column)


def _say(table: str, sentences: Mapping[str, tuple[type[sa.types.TypeEngine[Any]], str, str]]) -> None:
    if not op.get_context().dialect.supports_comments:
        return
    for column, (kind, before, now) in sentences.items():
        op.alter_column(
            table, column, existing_type=kind(), existing_nullable=False, existing_comment=before, comment=now
        )


def _name_columns(*more: sa.Column[int]) -> list[sa.Column[int]]:
    return [
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Whose it is."),
        sa.Column(
            "netns",
            sa.BigInteger,
            nullable=False,
            autoincrement=False,
            comment="Network namespace: 0 the agent's own, else its inode.",
        ),
        *more,
        sa.Column("opened_at_us", sa.BigInteger, nullable=False, autoincrement=False, comment="When it came to be so."),
    ]


def _interval_columns() -> list[sa.Column[int]]:
    return [
        sa.Column(
            "opened_at_is", sa.SmallInteger, nullable=False, comment="How exactly its beginning is known, as current."
        ),
        sa.Column(
            "seen_at_us",
            sa.BigInteger,
            nullable=False,
            comment="The last look known to have confirmed it; while open, hosts.last_look_us may confirm it beyond.",
        ),
        sa.Column(
            "closed_at_us",
            sa.BigInteger,
            comment="When it ended or became another; empty while it is open. Later than opened_at_us.",
        ),
        sa.Column(
            "closed_at_is",
            sa.SmallInteger,
            comment="How exactly that is known, the wire's number; empty while open.",
        ),
    ]


def _namespaces() -> None:
    op.create_table(
        "namespaces",
        *_name_columns(),
        sa.Column(
            "since_us",
            sa.BigInteger,
            nullable=False,
            comment="When the namespace was first seen, under whatever name.",
        ),
        sa.Column("name", NAME, nullable=False, comment="Name by which people know it; empty where it has none."),
        sa.Column("container", sa.Text, nullable=False, comment="Container that lives in it; empty where none."),
        sa.Column("runtime", sa.Text, nullable=False, comment="What runs that container; empty where not known."),
        sa.Column("unit", sa.Text, nullable=False, comment="systemd unit of a process in it; empty where none."),
        sa.Column("unread", sa.Boolean, nullable=False, comment="True while its interfaces or routes cannot be read."),
        sa.Column(
            "routes_left_out",
            sa.BigInteger,
            nullable=False,
            comment="Routes beyond those kept, at the last report.",
        ),
        *_interval_columns(),
        sa.PrimaryKeyConstraint("host_id", "netns", "opened_at_us", name="pk_namespaces"),
        comment="Network namespaces of the hosts, by name and standing.",
    )
    op.create_index("ix_namespaces_host_id_closed_at_us", "namespaces", ["host_id", "closed_at_us"])


def _interfaces() -> None:
    op.create_table(
        "interfaces",
        *_name_columns(
            sa.Column("index", sa.BigInteger, nullable=False, autoincrement=False, comment="Index in its namespace.")
        ),
        sa.Column("name", sa.Text, nullable=False, comment="Name."),
        sa.Column("hardware_type", sa.BigInteger, nullable=False, comment="ARPHRD_* of the kernel."),
        sa.Column(
            "hardware_address", sa.LargeBinary, nullable=False, comment="Hardware address; empty where it has none."
        ),
        sa.Column("mtu", sa.BigInteger, nullable=False, comment="Largest packet in bytes."),
        sa.Column("flags", sa.BigInteger, nullable=False, comment="IFF_* of the kernel."),
        sa.Column("operstate", sa.Integer, nullable=False, comment="IF_OPER_* of the kernel."),
        sa.Column("kind", sa.Text, nullable=False, comment="Kind of a virtual interface; empty for others."),
        sa.Column(
            "master",
            sa.BigInteger,
            nullable=False,
            comment="Index of the bridge or bond it belongs to; 0 where none.",
        ),
        sa.Column(
            "addresses",
            sa.LargeBinary,
            nullable=False,
            comment="Its addresses in the kernel's order, each as length, address, prefix length, length of the peer, "
            "peer, scope; each number is one byte.",
        ),
        sa.Column("speed_mbps", sa.BigInteger, nullable=False, comment="Speed in Mbit/s; 0 where not known."),
        sa.Column("duplex", sa.SmallInteger, nullable=False, comment="0 not known, 1 half, 2 full."),
        sa.Column("link", sa.Boolean, comment="True with a link; empty where the driver does not say."),
        sa.Column("driver", sa.Text, nullable=False, comment="Driver; empty where it has none."),
        *_interval_columns(),
        sa.PrimaryKeyConstraint("host_id", "netns", "index", "opened_at_us", name="pk_interfaces"),
        comment="Interfaces of the namespaces, each without its counters.",
    )
    op.create_index("ix_interfaces_host_id_netns_closed_at_us", "interfaces", ["host_id", "netns", "closed_at_us"])


def _routes() -> None:
    op.create_table(
        "routes",
        *_name_columns(
            sa.Column("route_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Hash of all that it is.")
        ),
        sa.Column(
            "rank",
            sa.BigInteger,
            nullable=False,
            comment="Where it stands among the open routes of its namespace: of two the lower comes first.",
        ),
        sa.Column("family", sa.SmallInteger, nullable=False, comment="4 or 6."),
        sa.Column("destination", sa.LargeBinary, nullable=False, comment="Destination, 4 or 16 bytes."),
        sa.Column(
            "prefix_length", sa.SmallInteger, nullable=False, comment="Length of the destination's prefix in bits."
        ),
        sa.Column("table", sa.BigInteger, nullable=False, comment="Routing table: 254 is the main one."),
        sa.Column("type", sa.SmallInteger, nullable=False, comment="RTN_* of the kernel."),
        sa.Column("protocol", sa.SmallInteger, nullable=False, comment="RTPROT_* of the kernel: who put it there."),
        sa.Column("scope", sa.SmallInteger, nullable=False, comment="RT_SCOPE_* of the kernel."),
        sa.Column("metric", sa.BigInteger, nullable=False, comment="Priority: the least counts first."),
        sa.Column(
            "preferred_source",
            sa.LargeBinary,
            nullable=False,
            comment="Source that it prefers; empty where none.",
        ),
        sa.Column(
            "next_hops",
            sa.LargeBinary,
            nullable=False,
            comment="Where it leads, each as length, gateway, weight, flags, length, name of the interface in UTF-8; "
            "each length is one byte, weight and flags are four, the highest first.",
        ),
        sa.Column("flags", sa.BigInteger, nullable=False, comment="RTM_F_* and RTNH_F_* of the kernel."),
        sa.Column("tos", sa.SmallInteger, nullable=False, comment="Type of service that it is for."),
        sa.Column("advmss", sa.BigInteger, nullable=False, comment="RTAX_ADVMSS, bytes; 0 where not set."),
        sa.Column("window", sa.BigInteger, nullable=False, comment="RTAX_WINDOW, bytes; 0 where not set."),
        sa.Column("rtt", sa.BigInteger, nullable=False, comment="RTAX_RTT, eighths of a millisecond; 0 where not set."),
        sa.Column("mtu", sa.BigInteger, nullable=False, comment="RTAX_MTU, bytes; 0 where not set."),
        *_interval_columns(),
        sa.PrimaryKeyConstraint("host_id", "netns", "route_id", "opened_at_us", name="pk_routes"),
        comment="Routes of the namespaces.",
    )
    op.create_index("ix_routes_host_id_netns_closed_at_us", "routes", ["host_id", "netns", "closed_at_us"])
