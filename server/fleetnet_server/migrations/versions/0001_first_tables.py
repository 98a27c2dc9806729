"""The first tables: hosts and how they join, what their agents report, and the history of every socket.

Why so: a socket in one state is one row. Open ones stand in `current`, found by host and socket; when they end they
move to `history`, which is only ever added to. Who holds them is kept once per combination in `holders`. What a
stream has committed, and what time its looks cover, stands in `sessions`; what nobody saw, in `gaps`.

There is no way back from a migration but a backup: an older version refuses the newer tables.

Revision 0001, after nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME = sa.String().with_variant(sa.Text(collation="C"), "postgresql")
SCOPE = "How far a listener's address reaches: 1 loopback, 2 link-local, 3 private, 4 public, 5 any; 0: no listener."
HOST_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    _hosts()
    _tokens()
    _sessions()
    _current()
    _history()
    _holders()
    _processes()
    _holder_processes()
    _gaps()
    _source_status()


def _hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("host_id", HOST_ID, nullable=False, comment="Number of the host, for good."),
        sa.Column("name", NAME, nullable=False, comment="Name that its certificate carries."),
        sa.Column("status", sa.Text, nullable=False, comment="active, or revoked: its streams are refused."),
        sa.Column(
            "enrolled_at_us", sa.BigInteger, nullable=False, comment="When it first enrolled; collector's clock."
        ),
        sa.Column(
            "certificate_serial", sa.Text, nullable=False, comment="Serial of its newest certificate, hexadecimal."
        ),
        sa.Column(
            "generation",
            sa.BigInteger,
            nullable=False,
            comment="Number of its newest stream; an older one may not write. 0: none yet.",
        ),
        sa.Column("boot_id", sa.LargeBinary, comment="The boot whose sockets current holds."),
        sa.Column("last_heard_us", sa.BigInteger, comment="When its last whole look was committed; collector's clock."),
        sa.Column("look_boot_id", sa.LargeBinary, comment="Boot in which the last whole look was taken."),
        sa.Column("look_epoch", sa.BigInteger, comment="Epoch of the agent that took the last whole look."),
        sa.Column(
            "last_look_us", sa.BigInteger, comment="The last whole look: what it held open then is what current holds."
        ),
        sa.Column(
            "whole",
            sa.Boolean,
            nullable=False,
            comment="False while a snapshot is stored in part only: no difference makes a look whole then.",
        ),
        sa.Column(
            "latest_us",
            sa.BigInteger,
            nullable=False,
            comment="The latest look ever stored: a look before it comes from a clock set back.",
        ),
        sa.PrimaryKeyConstraint("host_id", name="pk_hosts"),
        sa.UniqueConstraint("name", name="uq_hosts_name"),
        comment="Hosts of the fleet.",
    )


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column(
            "secret_hash",
            sa.LargeBinary,
            nullable=False,
            comment="SHA-256 of the secret; the secret itself is never kept.",
        ),
        sa.Column("host", NAME, nullable=False, comment="Name of the one host that it admits."),
        sa.Column("created_at_us", sa.BigInteger, nullable=False, comment="When it was made; collector's clock."),
        sa.Column(
            "expires_at_us", sa.BigInteger, nullable=False, comment="From when on it admits nobody; collector's clock."
        ),
        sa.Column("used_at_us", sa.BigInteger, comment="When it was used; collector's clock. Once only."),
        sa.PrimaryKeyConstraint("secret_hash", name="pk_tokens"),
        comment="One-time enrollment tokens.",
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Whose stream it was."),
        sa.Column(
            "generation", sa.BigInteger, nullable=False, autoincrement=False, comment="Counts the streams of the host."
        ),
        sa.Column("boot_id", sa.LargeBinary, nullable=False, comment="The boot of the host, 16 bytes."),
        sa.Column(
            "epoch",
            sa.BigInteger,
            nullable=False,
            comment="The agent's random number, its 64 bits read as a signed number.",
        ),
        sa.Column(
            "last_sequence",
            sa.BigInteger,
            nullable=False,
            comment="Highest sequence of the boot and epoch committed so far.",
        ),
        sa.Column(
            "started_at_us", sa.BigInteger, nullable=False, comment="When the stream was opened; collector's clock."
        ),
        sa.Column(
            "ended_at_us",
            sa.BigInteger,
            comment="When the stream was closed; collector's clock. Empty after a crash too.",
        ),
        sa.Column(
            "clock_offset_us", sa.BigInteger, nullable=False, comment="Host's clock minus collector's at the opening."
        ),
        sa.Column(
            "first_at_us", sa.BigInteger, comment="First whole look of the stream, converted to the collector's clock."
        ),
        sa.Column(
            "last_at_us", sa.BigInteger, comment="Last whole look of the stream, converted to the collector's clock."
        ),
        sa.Column("agent_version", sa.Text, nullable=False, comment="Version of the agent."),
        sa.Column(
            "machine_id_hash",
            sa.LargeBinary,
            nullable=False,
            comment="Tells a cloned identity; empty where there is none.",
        ),
        sa.Column("interval_s", sa.Double, nullable=False, comment="Seconds between two looks at the whole table."),
        sa.Column("netns_inode", sa.BigInteger, nullable=False, comment="Inode of the agent's own network namespace."),
        sa.Column("os", sa.Text, nullable=False, comment="Operating system in words."),
        sa.Column("kernel", sa.Text, nullable=False, comment="Release of the kernel."),
        sa.Column("architecture", sa.Text, nullable=False, comment="Machine architecture."),
        sa.Column("cpu_count", sa.Integer, nullable=False, comment="Number of logical processors."),
        sa.Column("memory_bytes", sa.BigInteger, nullable=False, comment="Memory in bytes."),
        sa.Column("booted_at_us", sa.BigInteger, nullable=False, comment="When the host booted; 0 if not known."),
        sa.PrimaryKeyConstraint("host_id", "generation", name="pk_sessions"),
        comment="Report streams: what was heard of a host and when.",
    )
    op.create_index("ix_sessions_host_id_first_at_us", "sessions", ["host_id", "first_at_us"])


def _current() -> None:
    listeners = sa.text("scope <> 0")
    op.create_table(
        "current",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Whose socket it is."),
        sa.Column(
            "socket_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Hash of what names the socket."
        ),
        sa.Column(
            "netns", sa.BigInteger, nullable=False, comment="Network namespace: 0 the agent's own, else its inode."
        ),
        sa.Column("protocol", sa.SmallInteger, nullable=False, comment="Transport protocol, IANA's."),
        sa.Column("family", sa.SmallInteger, nullable=False, comment="4 or 6."),
        sa.Column("state", sa.SmallInteger, nullable=False, comment="State, the kernel's number."),
        sa.Column("local_address", sa.LargeBinary, nullable=False, comment="Local address, 4 or 16 bytes."),
        sa.Column("local_port", sa.Integer, nullable=False, comment="Local port."),
        sa.Column("remote_address", sa.LargeBinary, nullable=False, comment="Remote address; empty without a peer."),
        sa.Column("remote_port", sa.Integer, nullable=False, comment="Remote port; 0 without a peer."),
        sa.Column("interface", sa.Text, nullable=False, comment="Interface it is bound to; empty where none."),
        sa.Column("v6only", sa.Boolean, comment="IPV6_V6ONLY; empty where not known."),
        sa.Column("recv_queue", sa.BigInteger, nullable=False, comment="Recv-Q at the last report."),
        sa.Column("send_queue", sa.BigInteger, nullable=False, comment="Send-Q at the last report."),
        sa.Column("inode", sa.BigInteger, nullable=False, comment="Inode in sockfs; 0 where no process holds it."),
        sa.Column("cookie", sa.BigInteger, nullable=False, comment="The kernel's socket cookie; 0 if not known."),
        sa.Column("source", sa.SmallInteger, nullable=False, comment="Where the agent read it, the wire's number."),
        sa.Column(
            "scope",
            sa.SmallInteger,
            nullable=False,
            comment=SCOPE,
        ),
        sa.Column("holder_id", sa.BigInteger, nullable=False, comment="Who holds it: holders."),
        sa.Column("opened_at_us", sa.BigInteger, nullable=False, comment="When it entered the state."),
        sa.Column(
            "opened_at_is", sa.SmallInteger, nullable=False, comment="How exactly that is known, the wire's number."
        ),
        sa.Column(
            "seen_at_us",
            sa.BigInteger,
            nullable=False,
            comment="The look of the last report that wrote the row; hosts.last_look_us may confirm it beyond.",
        ),
        sa.PrimaryKeyConstraint("host_id", "socket_id", name="pk_current"),
        comment="Sockets that are open, each in its present state.",
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_current_listeners", "current", ["local_port"], sqlite_where=listeners, postgresql_where=listeners
    )
    op.create_index("ix_current_state_local_port", "current", ["state", "local_port"])


def _history() -> None:
    listeners = sa.text("scope <> 0")
    op.create_table(
        "history",
        sa.Column("host_id", sa.BigInteger, nullable=False, comment="Whose socket it was."),
        sa.Column("socket_id", sa.BigInteger, nullable=False, comment="Hash of what names the socket."),
        sa.Column(
            "netns", sa.BigInteger, nullable=False, comment="Network namespace: 0 the agent's own, else its inode."
        ),
        sa.Column("protocol", sa.SmallInteger, nullable=False, comment="Transport protocol, IANA's."),
        sa.Column("family", sa.SmallInteger, nullable=False, comment="4 or 6."),
        sa.Column("state", sa.SmallInteger, nullable=False, comment="State, the kernel's number."),
        sa.Column("local_address", sa.LargeBinary, nullable=False, comment="Local address, 4 or 16 bytes."),
        sa.Column("local_port", sa.Integer, nullable=False, comment="Local port."),
        sa.Column("remote_address", sa.LargeBinary, nullable=False, comment="Remote address; empty without a peer."),
        sa.Column("remote_port", sa.Integer, nullable=False, comment="Remote port; 0 without a peer."),
        sa.Column("interface", sa.Text, nullable=False, comment="Interface it is bound to; empty where none."),
        sa.Column("v6only", sa.Boolean, comment="IPV6_V6ONLY; empty where not known."),
        sa.Column("recv_queue", sa.BigInteger, nullable=False, comment="Recv-Q at the last report."),
        sa.Column("send_queue", sa.BigInteger, nullable=False, comment="Send-Q at the last report."),
        sa.Column("inode", sa.BigInteger, nullable=False, comment="Inode in sockfs; 0 where no process holds it."),
        sa.Column("cookie", sa.BigInteger, nullable=False, comment="The kernel's socket cookie; 0 if not known."),
        sa.Column("source", sa.SmallInteger, nullable=False, comment="Where the agent read it, the wire's number."),
        sa.Column(
            "scope",
            sa.SmallInteger,
            nullable=False,
            comment=SCOPE,
        ),
        sa.Column("holder_id", sa.BigInteger, nullable=False, comment="Who holds it: holders."),
        sa.Column("opened_at_us", sa.BigInteger, nullable=False, comment="When it entered the state."),
        sa.Column(
            "opened_at_is", sa.SmallInteger, nullable=False, comment="How exactly that is known, the wire's number."
        ),
        sa.Column(
            "closed_at_us", sa.BigInteger, nullable=False, comment="When it left the state; never before opened_at_us."
        ),
        sa.Column(
            "closed_at_is", sa.SmallInteger, nullable=False, comment="How exactly that is known, the wire's number."
        ),
        sa.Column("last_seen_us", sa.BigInteger, nullable=False, comment="The last look that confirmed it."),
        comment="Sockets that were in a state and have left it.",
    )
    op.create_index("ix_history_host_id_closed_at_us", "history", ["host_id", "closed_at_us"])
    op.create_index(
        "ix_history_listeners",
        "history",
        ["local_port", "closed_at_us"],
        sqlite_where=listeners,
        postgresql_where=listeners,
    )


def _holders() -> None:
    op.create_table(
        "holders",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="On which host."),
        sa.Column(
            "holder_id",
            sa.BigInteger,
            nullable=False,
            autoincrement=False,
            comment="Hash of all of it, its processes included.",
        ),
        sa.Column("uid", sa.BigInteger, comment="Owner of the socket; empty where the kernel no longer knows."),
        sa.Column("user", NAME, nullable=False, comment="Name of that uid on the host; empty where none."),
        sa.Column("unit", NAME, nullable=False, comment="systemd unit; empty where none."),
        sa.Column("container", NAME, nullable=False, comment="Container id; empty where none."),
        sa.Column(
            "owner_status",
            sa.SmallInteger,
            nullable=False,
            comment="What is known about the owners, the wire's number.",
        ),
        sa.PrimaryKeyConstraint("host_id", "holder_id", name="pk_holders"),
        comment="Who and what held sockets, each combination once.",
    )


def _processes() -> None:
    op.create_table(
        "processes",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="On which host."),
        sa.Column(
            "process_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Hash of all of it and the boot."
        ),
        sa.Column("pid", sa.BigInteger, nullable=False, comment="Process id."),
        sa.Column("started_at_us", sa.BigInteger, nullable=False, comment="When it started."),
        sa.Column("name", NAME, nullable=False, comment="Name of the command, at most 15 bytes from the kernel."),
        sa.Column("exe", NAME, nullable=False, comment="Path of the executable; empty where not known."),
        sa.Column("program", NAME, nullable=False, comment="What netstat(8) calls it."),
        sa.PrimaryKeyConstraint("host_id", "process_id", name="pk_processes"),
        comment="Processes that held sockets.",
    )


def _holder_processes() -> None:
    op.create_table(
        "holder_processes",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="On which host."),
        sa.Column("holder_id", sa.BigInteger, nullable=False, autoincrement=False, comment="The holder."),
        sa.Column("process_id", sa.BigInteger, nullable=False, autoincrement=False, comment="One of its processes."),
        sa.PrimaryKeyConstraint("host_id", "holder_id", "process_id", name="pk_holder_processes"),
        comment="Which processes belong to which holder.",
        sqlite_with_rowid=False,
    )


def _gaps() -> None:
    op.create_table(
        "gaps",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Whose history is not whole."),
        sa.Column("from_us", sa.BigInteger, nullable=False, autoincrement=False, comment="From when."),
        sa.Column("to_us", sa.BigInteger, nullable=False, autoincrement=False, comment="To when."),
        sa.Column("reason", sa.Text, nullable=False, comment="Why, in a few words."),
        sa.PrimaryKeyConstraint("host_id", "from_us", "to_us", "reason", name="pk_gaps"),
        comment="Times about which a host's history is not whole.",
    )
    op.create_index("ix_gaps_host_id_to_us", "gaps", ["host_id", "to_us"])


def _source_status() -> None:
    op.create_table(
        "source_status",
        sa.Column("host_id", sa.BigInteger, nullable=False, autoincrement=False, comment="Whose source it is."),
        sa.Column("name", NAME, nullable=False, comment="Name of the source."),
        sa.Column("ok", sa.Boolean, nullable=False, comment="True if its last reading was whole."),
        sa.Column("detail", sa.Text, nullable=False, comment="One sentence on what is wrong; empty if nothing is."),
        sa.Column("reported_at_us", sa.BigInteger, nullable=False, comment="The look of the report that said so."),
        sa.PrimaryKeyConstraint("host_id", "name", name="pk_source_status"),
        comment="How the sources of each host are doing.",
    )
