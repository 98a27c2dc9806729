"""Rows of sockets in less room: all are written anew, minutes for ten million, and with as much disk again.

Why so: a row of history took 305 bytes on PostgreSQL, of which much was zeros, what lay unused between columns of
different width, and two indexes that were half empty. Now what most rows have in common is empty, the widest columns
come first, one index tells ten minutes from ten minutes and the other finds sockets by one number
(docs/decisions/0029-what-a-row-of-history-is-made-of.md).

On the way back rows are as they were, zeros and all.

Revision 0007, after 0006.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

LISTENERS = sa.text("scope <> 0")
ENDED_IN = sa.text("(closed_at_us / 600000000)")
OF_SOCKET = sa.text("((host_id & 8388607) * 1099511627776 + socket_id / 8388608)")
HOST = {"current": "Whose socket it is.", "history": "Whose socket it was."}
TABLE = {
    "current": "Sockets that are open, each in its present state.",
    "history": "Sockets that were in a state and have left it.",
}
SEEN = "The look of the last report that wrote the row; hosts.last_look_us may confirm it beyond."
EXACTLY = "How exactly that is known, the wire's number."
# What most rows have in common, as it stood there before.
USUAL = {
    "protocol": "6",
    "family": "4",
    "source": "1",
    "inode": "0",
    "netns": "0",
    "recv_queue": "0",
    "send_queue": "0",
    "peer_inode": "0",
    "scope": "0",
    "type": "0",
    "interface": "''",
}


def upgrade() -> None:
    for table in TABLE:
        _write_anew(table, _columns(table), lambda name, usual: f"NULLIF({name}, {usual})")
    _index_current()
    op.create_index("ix_history_ends", "history", ["host_id", ENDED_IN])
    op.create_index("ix_history_sockets", "history", [OF_SOCKET])
    _index_listeners_of_history()
    if op.get_context().dialect.name == "postgresql":
        # Of tables as new as these nothing is known, and the first questions come at once.
        for table in TABLE:
            op.execute(f"ANALYZE {table}")


def downgrade() -> None:
    for table in TABLE:
        _write_anew(table, _columns_before(table), lambda name, usual: f"COALESCE({name}, {usual})")
    _index_current()
    op.create_index("ix_history_host_id_closed_at_us", "history", ["host_id", "closed_at_us"])
    op.create_index("ix_history_host_id_socket_id_closed_at_us", "history", ["host_id", "socket_id", "closed_at_us"])
    _index_listeners_of_history()


def _write_anew(table: str, columns: list[sa.Column[Any]], put: Callable[[str, str], str]) -> None:
    """The table with these columns and the rows that it has; its indexes are gone."""
    before = f"{table}_before"
    op.rename_table(table, before)
    keys = [sa.PrimaryKeyConstraint("host_id", "socket_id", name="pk_current")] if table == "current" else []
    if keys and op.get_context().dialect.name == "postgresql":
        op.execute(f"ALTER INDEX pk_current RENAME TO pk_{before}")
    op.create_table(table, *columns, *keys, comment=TABLE[table], sqlite_with_rowid=table != "current")
    usual = {**USUAL, "path": _no_bytes(), "last_seen_us": "closed_at_us"}
    names = [column.name for column in columns]
    values = [put(name, usual[name]) if name in usual else name for name in names]
    op.execute(f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {before}")  # noqa: S608  # of constants
    op.drop_table(before)


def _no_bytes() -> str:
    # An empty text is not what an empty value of bytes is to SQLite.
    return "x''" if op.get_context().dialect.name == "sqlite" else "''"


def _index_current() -> None:
    op.create_index(
        "ix_current_listeners", "current", ["local_port"], sqlite_where=LISTENERS, postgresql_where=LISTENERS
    )
    op.create_index("ix_current_state_local_port", "current", ["state", "local_port"])


def _index_listeners_of_history() -> None:
    op.create_index(
        "ix_history_listeners",
        "history",
        ["local_port", "closed_at_us"],
        sqlite_where=LISTENERS,
        postgresql_where=LISTENERS,
    )


def _column(name: str, kind: type[sa.types.TypeEngine[Any]], comment: str, *, empty: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=empty, comment=comment)


def _columns(table: str) -> list[sa.Column[Any]]:
    """The widest first."""
    times = [_column("seen_at_us", sa.BigInteger, SEEN)]
    exactly = []
    if table == "history":
        times = [
            _column("closed_at_us", sa.BigInteger, "When it left the state; never before opened_at_us."),
            _column(
                "last_seen_us",
                sa.BigInteger,
                "The last look that confirmed it; empty: seen up to closed_at_us.",
                empty=True,
            ),
        ]
        exactly = [_column("closed_at_is", sa.SmallInteger, EXACTLY)]
    return [
        _column("host_id", sa.BigInteger, HOST[table]),
        _column("socket_id", sa.BigInteger, "Hash of what names the socket."),
        _column("cookie", sa.BigInteger, "The kernel's socket cookie; 0 if not known."),
        _column("holder_id", sa.BigInteger, "Who holds it: holders."),
        _column("opened_at_us", sa.BigInteger, "When it entered the state."),
        *times,
        _column("inode", sa.BigInteger, "Inode in sockfs; empty where no process holds it.", empty=True),
        _column("netns", sa.BigInteger, "Inode of its network namespace; empty: the agent's own.", empty=True),
        _column("recv_queue", sa.BigInteger, "Recv-Q at the last report; empty where it is 0.", empty=True),
        _column("send_queue", sa.BigInteger, "Send-Q at the last report; empty where it is 0.", empty=True),
        _column(
            "peer_inode",
            sa.BigInteger,
            "Inode of the UNIX socket at the other end; empty where there is none.",
            empty=True,
        ),
        _column(
            "local_port",
            sa.Integer,
            "Local port; of a raw socket its protocol, of a packet socket its Ethernet protocol.",
        ),
        _column("remote_port", sa.Integer, "Remote port; 0 without a peer."),
        _column("state", sa.SmallInteger, "State, the kernel's number."),
        _column("opened_at_is", sa.SmallInteger, EXACTLY),
        *exactly,
        _column(
            "protocol",
            sa.SmallInteger,
            "Protocol: IANA's number, 255 of raw, 256 of UNIX and 257 of packet sockets; empty: TCP.",
            empty=True,
        ),
        _column("family", sa.SmallInteger, "6; 1 of UNIX and 17 of packet sockets; empty: 4.", empty=True),
        _column(
            "source",
            sa.SmallInteger,
            "Where the agent read it, the wire's number; empty: the kernel's socket diagnostics.",
            empty=True,
        ),
        _column(
            "scope",
            sa.SmallInteger,
            "How far a listener's address reaches: 1 loopback, 2 link-local, 3 private, 4 public, 5 any; empty: no "
            "listener.",
            empty=True,
        ),
        _column(
            "type",
            sa.SmallInteger,
            "Type of a UNIX or packet socket, the kernel's number; empty of others.",
            empty=True,
        ),
        _column("v6only", sa.Boolean, "IPV6_V6ONLY; empty where not known.", empty=True),
        _column(
            "local_address", sa.LargeBinary, "Local address, 4 or 16 bytes; of no bytes where the family has none."
        ),
        _column("remote_address", sa.LargeBinary, "Remote address; of no bytes without a peer."),
        _column("interface", sa.Text, "Interface it is bound to; empty where none.", empty=True),
        _column(
            "path",
            sa.LargeBinary,
            "Name that a UNIX socket is bound to, a zero byte before an abstract one; empty where it has none.",
            empty=True,
        ),
    ]


def _columns_before(table: str) -> list[sa.Column[Any]]:
    """In the order in which they came."""
    ends = [_column("seen_at_us", sa.BigInteger, SEEN)]
    if table == "history":
        ends = [
            _column("closed_at_us", sa.BigInteger, "When it left the state; never before opened_at_us."),
            _column("closed_at_is", sa.SmallInteger, EXACTLY),
            _column("last_seen_us", sa.BigInteger, "The last look that confirmed it."),
        ]
    return [
        _column("host_id", sa.BigInteger, HOST[table]),
        _column("socket_id", sa.BigInteger, "Hash of what names the socket."),
        _column("netns", sa.BigInteger, "Network namespace: 0 the agent's own, else its inode."),
        _column(
            "protocol", sa.SmallInteger, "Protocol: IANA's number, 255 of raw, 256 of UNIX and 257 of packet sockets."
        ),
        _column("family", sa.SmallInteger, "4 or 6; 1 of UNIX and 17 of packet sockets."),
        _column("state", sa.SmallInteger, "State, the kernel's number."),
        _column("local_address", sa.LargeBinary, "Local address, 4 or 16 bytes; empty where the family has none."),
        _column(
            "local_port",
            sa.Integer,
            "Local port; of a raw socket its protocol, of a packet socket its Ethernet protocol.",
        ),
        _column("remote_address", sa.LargeBinary, "Remote address; empty without a peer."),
        _column("remote_port", sa.Integer, "Remote port; 0 without a peer."),
        _column("interface", sa.Text, "Interface it is bound to; empty where none."),
        _column("v6only", sa.Boolean, "IPV6_V6ONLY; empty where not known.", empty=True),
        _column("recv_queue", sa.BigInteger, "Recv-Q at the last report."),
        _column("send_queue", sa.BigInteger, "Send-Q at the last report."),
        _column("inode", sa.BigInteger, "Inode in sockfs; 0 where no process holds it."),
        _column("cookie", sa.BigInteger, "The kernel's socket cookie; 0 if not known."),
        _column("source", sa.SmallInteger, "Where the agent read it, the wire's number."),
        _column(
            "scope",
            sa.SmallInteger,
            "How far a listener's address reaches: 1 loopback, 2 link-local, 3 private, 4 public, 5 any; 0: no "
            "listener.",
        ),
        _column("holder_id", sa.BigInteger, "Who holds it: holders."),
        _column("opened_at_us", sa.BigInteger, "When it entered the state."),
        _column("opened_at_is", sa.SmallInteger, EXACTLY),
        *ends,
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
            server_default=sa.text(_no_bytes()),
            comment="Name that a UNIX socket is bound to, a zero byte before an abstract one; empty where it has none.",
        ),
        sa.Column(
            "peer_inode",
            sa.BigInteger,
            nullable=False,
            server_default="0",
            comment="Inode of the UNIX socket at the other end; 0 where there is none.",
        ),
    ]
