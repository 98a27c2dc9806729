"""Messages as an agent sends them, with as little in them as is allowed."""

import time

from fleetnet_proto.v1 import report_pb2, sockets_pb2

BOOT_ID = bytes(range(16))


def now_us() -> int:
    """Now, microseconds."""
    return time.time_ns() // 1_000


def hello(epoch: int = 1) -> report_pb2.Hello:
    """An agent's first message."""
    return report_pb2.Hello(
        agent_version="0.1.0",
        boot_id=BOOT_ID,
        epoch=epoch,
        wall_clock_us=now_us(),
        boottime_us=1_000_000,
        facts=report_pb2.HostFacts(os="Debian GNU/Linux 12 (bookworm)", kernel="6.1.0", architecture="x86_64"),
        interval_s=1.0,
        netns_inode=4026531840,
    )


def batch(sequence: int, *sockets: sockets_pb2.Socket, epoch: int = 1, snapshot: bool = False) -> report_pb2.Batch:
    """A difference, or a snapshot of one part; a beat where there are no sockets."""
    look_at_us = now_us()
    return report_pb2.Batch(
        boot_id=BOOT_ID,
        epoch=epoch,
        sequence=sequence,
        look_at_us=look_at_us,
        previous_look_at_us=look_at_us - 1_000_000,
        snapshot=report_pb2.SnapshotPart(part=0, last=True) if snapshot else None,
        processes=[process()] if sockets else [],
        holders=[holder()] if sockets else [],
        opened=sockets,
    )


def process() -> sockets_pb2.Process:
    """A web server."""
    return sockets_pb2.Process(
        pid=812, started_at_us=1_700_000_000_000_000, name="nginx", exe="/usr/sbin/nginx", program="nginx"
    )


def holder() -> sockets_pb2.Holder:
    """It holds something."""
    return sockets_pb2.Holder(
        uid=0, user="root", unit="nginx.service", owner_status=sockets_pb2.OWNER_STATUS_KNOWN, owners=[0]
    )


def listener(port: int, cookie: int | None = None) -> sockets_pb2.Socket:
    """A TCP listener on every IPv4 address, held by that web server."""
    return sockets_pb2.Socket(
        key=sockets_pb2.SocketKey(protocol=sockets_pb2.PROTOCOL_TCP, cookie=cookie or port),
        family=sockets_pb2.FAMILY_IPV4,
        state=sockets_pb2.STATE_LISTEN,
        local_address=bytes(4),
        local_port=port,
        send_queue=511,
        holder=0,
        source=sockets_pb2.SOURCE_DIAG,
        inode=12_345,
    )


def past(
    socket: sockets_pb2.Socket,
    opened_at_us: int,
    closed_at_us: int = 0,
    closed_at_is: sockets_pb2.ClosedAtIs = sockets_pb2.CLOSED_AT_IS_EXACT,
) -> report_pb2.PastSocket:
    """A socket's time in one state; still open at the end of the gap where it has no end."""
    told = report_pb2.PastSocket(socket=socket, closed_at_us=closed_at_us)
    told.socket.opened_at_us, told.socket.opened_at_is = opened_at_us, sockets_pb2.OPENED_AT_IS_EXACT
    if closed_at_us:
        told.closed_at_is = closed_at_is
    return told


def backlog(
    sequence: int, gap: report_pb2.Gap, *sockets: report_pb2.PastSocket, last: bool = False
) -> report_pb2.Batch:
    """What was kept in a gap, or a part of it."""
    told = batch(sequence)
    told.processes.append(process())
    told.holders.append(holder())
    told.backlog.CopyFrom(
        report_pb2.Backlog(from_us=gap.from_us, to_us=gap.to_us, boot_id=BOOT_ID, sockets=sockets, last=last)
    )
    return told
