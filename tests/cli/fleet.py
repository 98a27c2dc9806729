"""A small fleet at a fixed moment: what the canned collector answers in golden tests.

Its text is as bad as a host's can be: an escape sequence as a process name, a mark that turns the reading direction as
a unit, a line break as an operating system.
"""

import socket
from importlib.metadata import version

from fleetnet_proto.v1 import admin_pb2, people_pb2, query_pb2, sockets_pb2

AS_OF_US = 1_772_370_000_123_456  # 2026-03-01T13:00:00.123456Z
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US

TCP, UDP = sockets_pb2.PROTOCOL_TCP, sockets_pb2.PROTOCOL_UDP
IPV4, IPV6 = sockets_pb2.FAMILY_IPV4, sockets_pb2.FAMILY_IPV6

SERVICES = """
# as on Debian
ssh\t\t22/tcp\t\t\t\t# SSH Remote Login Protocol
domain\t\t53/tcp
domain\t\t53/udp
http\t\t80/tcp\t\twww
https\t\t443/tcp
https\t\t443/udp
postgresql\t5432/tcp\tpostgres
"""


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def owner(pid: int, name: str) -> query_pb2.OwnerItem:
    return query_pb2.OwnerItem(
        pid=pid, name=name, exe=f"/usr/sbin/{name}", started_at_us=AS_OF_US - 48 * HOUR_US, program=f"{name}: worker"
    )


def stale(minutes: int, *names: str) -> list[query_pb2.StaleHost]:
    return [query_pb2.StaleHost(host=n, last_seen_us=AS_OF_US - minutes * MINUTE_US) for n in names]


def all_fresh() -> query_pb2.Coverage:
    return query_pb2.Coverage(as_of_us=AS_OF_US, hosts_asked=4, hosts_fresh=4)


def listeners() -> list[query_pb2.SocketItem]:
    since = AS_OF_US - 30 * HOUR_US
    return [
        query_pb2.SocketItem(
            host="db1", netns="host", protocol=TCP, family=IPV4, state=sockets_pb2.STATE_LISTEN,
            local_address=packed("127.0.0.1"), local_port=5432, send_queue=244, uid=112, user="postgres", inode=2001,
            unit="postgresql@15-main.service", owners=[owner(900, "postgres")],
            owner_status=sockets_pb2.OWNER_STATUS_KNOWN, scope=query_pb2.ADDRESS_SCOPE_LOOPBACK,
            exposure=query_pb2.EXPOSURE_NO, opened_at_us=since, opened_at_is=sockets_pb2.OPENED_AT_IS_BEFORE,
            last_seen_us=AS_OF_US - MINUTE_US, cookie=7, source=sockets_pb2.SOURCE_DIAG,
        ),
        query_pb2.SocketItem(
            host="odd", netns="host", protocol=UDP, family=IPV4, state=sockets_pb2.STATE_CLOSE, interface="eth0",
            local_address=packed("0.0.0.0"), local_port=53, uid=65534, inode=2002, unit="a‮b.service",
            owners=[owner(17, "\x1b[2J\nroot")], owner_status=sockets_pb2.OWNER_STATUS_KNOWN,
            scope=query_pb2.ADDRESS_SCOPE_ANY, exposure=query_pb2.EXPOSURE_YES, opened_at_us=since,
            opened_at_is=sockets_pb2.OPENED_AT_IS_SEEN, last_seen_us=AS_OF_US, source=sockets_pb2.SOURCE_PSUTIL,
        ),
        query_pb2.SocketItem(
            host="web1", netns="host", protocol=TCP, family=IPV6, state=sockets_pb2.STATE_LISTEN, v6only=False,
            local_address=packed("::"), local_port=443, recv_queue=1, send_queue=511, uid=0, user="root", inode=2003,
            unit="nginx.service", owners=[owner(p, "nginx") for p in (812, 813, 814, 815)],
            owner_status=sockets_pb2.OWNER_STATUS_KNOWN, scope=query_pb2.ADDRESS_SCOPE_ANY,
            exposure=query_pb2.EXPOSURE_YES, opened_at_us=since, opened_at_is=sockets_pb2.OPENED_AT_IS_SEEN,
            last_seen_us=AS_OF_US, cookie=9, source=sockets_pb2.SOURCE_DIAG,
        ),
        query_pb2.SocketItem(
            host="web1", netns="4026532281", protocol=TCP, family=IPV6, state=sockets_pb2.STATE_LISTEN, v6only=True,
            local_address=packed("fe80::1"), local_port=80, send_queue=128, uid=0, user="root", inode=2004,
            unit="docker.service", container="0123456789abcdef0123", runtime="docker", netns_inode=4026532281,
            owner_status=sockets_pb2.OWNER_STATUS_NO_HELPER,
            scope=query_pb2.ADDRESS_SCOPE_LINK_LOCAL, exposure=query_pb2.EXPOSURE_UNKNOWN, opened_at_us=since,
            opened_at_is=sockets_pb2.OPENED_AT_IS_EXACT, last_seen_us=AS_OF_US, source=sockets_pb2.SOURCE_DIAG,
        ),
    ]  # fmt: skip


def listeners_before() -> list[query_pb2.SocketItem]:
    """Two days before: db1 listened for itself, odd had been started less lately, on web1 another program had the port,
    and something else was there."""
    before = listeners()
    db1, odd, web1, docker = before
    db1.local_port = 5433
    odd.inode, odd.owners[0].pid = 77, 16
    web1.unit, web1.inode = "haproxy.service", 78
    del web1.owners[:]
    web1.owners.append(owner(700, "haproxy"))
    for ended in (db1, odd, web1):
        ended.opened_at_us -= 100 * HOUR_US
        ended.closed_at_us, ended.closed_at_is = AS_OF_US - 31 * HOUR_US, sockets_pb2.CLOSED_AT_IS_EXACT
    web1.closed_at_is, docker.local_port = sockets_pb2.CLOSED_AT_IS_GAP, 80
    return before


def connections() -> list[query_pb2.SocketItem]:
    since = AS_OF_US - 5 * MINUTE_US
    return [
        query_pb2.SocketItem(
            host="web1", netns="host", protocol=TCP, family=IPV6, state=sockets_pb2.STATE_CLOSE_WAIT,
            local_address=packed("::ffff:198.18.0.2"), local_port=40000, remote_address=packed("::ffff:198.18.0.3"),
            remote_port=5432, recv_queue=1, uid=33, user="www-data", inode=2005, unit="app.service",
            owners=[owner(950, "app"), owner(951, "worker")], owner_status=sockets_pb2.OWNER_STATUS_KNOWN,
            opened_at_us=since, opened_at_is=sockets_pb2.OPENED_AT_IS_SEEN, last_seen_us=AS_OF_US,
            source=sockets_pb2.SOURCE_DIAG,
        ),
        query_pb2.SocketItem(
            host="web1", netns="host", protocol=TCP, family=IPV4, state=sockets_pb2.STATE_CLOSE_WAIT,
            local_address=packed("198.18.0.2"), local_port=40001, remote_address=packed("198.18.0.3"),
            remote_port=5432, uid=33, user="www-data", inode=2006, unit="app.service", owners=[owner(950, "app")],
            owner_status=sockets_pb2.OWNER_STATUS_INFERRED, opened_at_us=since,
            opened_at_is=sockets_pb2.OPENED_AT_IS_SEEN, last_seen_us=AS_OF_US, source=sockets_pb2.SOURCE_DIAG,
        ),
        query_pb2.SocketItem(
            host="web2", netns="host", protocol=TCP, family=IPV4, state=sockets_pb2.STATE_TIME_WAIT,
            local_address=packed("198.18.0.4"), local_port=443, remote_address=packed("198.18.0.3"),
            remote_port=50000, owner_status=sockets_pb2.OWNER_STATUS_GONE, opened_at_us=since,
            opened_at_is=sockets_pb2.OPENED_AT_IS_EXACT, closed_at_us=AS_OF_US - MINUTE_US,
            closed_at_is=sockets_pb2.CLOSED_AT_IS_GAP, last_seen_us=AS_OF_US - 2 * MINUTE_US,
            source=sockets_pb2.SOURCE_DIAG,
        ),
    ]  # fmt: skip


def labels(**of_host: str) -> list[query_pb2.Label]:
    return [query_pb2.Label(key=key, value=value) for key, value in of_host.items()]


def hosts() -> list[query_pb2.HostItem]:
    enrolled = AS_OF_US - 1000 * HOUR_US
    answer = [
        query_pb2.HostItem(
            host="db1", fresh=True, connected=True, last_seen_us=AS_OF_US - 1_000_000, sockets=120, listeners=3,
            os="Debian GNU/Linux 12 (bookworm)", kernel="6.1.0-30-amd64", booted_at_us=AS_OF_US - 100 * HOUR_US,
            clock_offset_us=-1500, labels=labels(env="prod", role="db"),
        ),
        query_pb2.HostItem(
            host="odd", fresh=True, connected=False, last_seen_us=AS_OF_US - MINUTE_US, sockets=9, listeners=1,
            os="Evil\x1b[31m\nOS", kernel="5.15", degraded=["owners: no helper", "tcp: the kernel refuses diag"],
        ),
        query_pb2.HostItem(
            host="web1", fresh=False, last_seen_us=AS_OF_US - 3 * HOUR_US, sockets=4000, labels=labels(role="web")
        ),
        query_pb2.HostItem(host="web2", status=query_pb2.HOST_STATUS_REVOKED),
    ]  # fmt: skip
    for host in answer:
        host.enrolled_at_us = enrolled
        host.status = host.status or query_pb2.HOST_STATUS_ACTIVE
    for host in answer[:3]:
        host.agent_version, host.architecture = "0.1.0", "x86_64"
    return answer


def lives() -> list[query_pb2.LifeItem]:
    """What happened on web1: the port was taken over, its agent was away, the host was booted."""
    items = [query_pb2.LifeItem(socket=each) for each in (connections()[1], listeners()[2])]
    start = query_pb2.AgentStart(
        at_us=AS_OF_US - 29 * HOUR_US, booted=True, agent_version="0.1.0", kernel="6.1.0-30-amd64",
        booted_at_us=AS_OF_US - 30 * HOUR_US,
    )  # fmt: skip
    items.append(query_pb2.LifeItem(agent_start=start))
    gap = query_pb2.GapItem(from_us=AS_OF_US - 31 * HOUR_US, to_us=start.at_us, reason="host\x1b rebooted")
    items.append(query_pb2.LifeItem(gap=gap))
    items.append(query_pb2.LifeItem(socket=listeners_before()[2]))
    return items


def tokens() -> list[admin_pb2.TokenItem]:
    """One of each kind: for several hosts, for one, and for a person; used, revoked, and made by whom nobody knows."""
    hour, day = AS_OF_US - HOUR_US, AS_OF_US + 23 * HOUR_US
    return [
        admin_pb2.TokenItem(
            id="4f1c09a2b37e", labels=labels(role="web"), max_uses=50, uses=3, approve=True, made_by="local",
            created_at_us=hour, expires_at_us=day, used_at_us=AS_OF_US,
        ),
        admin_pb2.TokenItem(
            id="0123456789ab", host="web9", max_uses=1, made_by="spiffe://fleetnet/person/alice", created_at_us=hour,
            expires_at_us=AS_OF_US - MINUTE_US,
        ),
        admin_pb2.TokenItem(
            id="00ff00ff00ff", person="bob", role=people_pb2.ROLE_VIEWER, max_uses=1, uses=1, created_at_us=hour,
            expires_at_us=day, used_at_us=AS_OF_US,
        ),
        admin_pb2.TokenItem(
            id="aaaaaaaaaaaa", host="db\x1b[31m", max_uses=1, made_by="local", created_at_us=hour, expires_at_us=day,
            revoked_at_us=AS_OF_US,
        ),
    ]  # fmt: skip


def log() -> list[admin_pb2.LogEntry]:
    """What local did, a person was refused, and somebody who has a name to be wary of did before."""
    told = (
        (MINUTE_US, "local", "root", "unix:", "revoke-hosts", "web2", "done"),
        (HOUR_US, "spiffe://fleetnet/person/alice", "", "ipv4:198.18.0.9:50000", "forget-hosts", "web7",
         'refused: no host named "web7" has enrolled'),
        (2 * HOUR_US, "local", "\x1b[31m", "unix:", "create-token", "up to 50 hosts role=web to be approved", "done"),
    )  # fmt: skip
    return [
        admin_pb2.LogEntry(
            number=len(told) - index, at_us=AS_OF_US - ago_us, who=who, login=login, peer=peer, action=action,
            subject=subject, result=result, hash=bytes([index]) * 32,
        )
        for index, (ago_us, who, login, peer, action, subject, result) in enumerate(told)
    ]  # fmt: skip


def people() -> list[people_pb2.PersonItem]:
    """An operator, a viewer, and one who is kept out."""
    joined, month_us = AS_OF_US - 100 * HOUR_US, 30 * 24 * HOUR_US
    return [
        people_pb2.PersonItem(
            person=name, role=role, revoked=revoked, joined_at_us=joined, certificate_until_us=joined + month_us
        )
        for name, role, revoked in (
            ("alice", people_pb2.ROLE_OPERATOR, False),
            ("bob", people_pb2.ROLE_VIEWER, False),
            ("mallory", people_pb2.ROLE_OPERATOR, True),
        )
    ]


def described() -> admin_pb2.DescribeCollectorResponse:
    """The collector of this command line's version, of which all is well but for a report of odd's."""
    day_us = 24 * HOUR_US
    refused = admin_pb2.RefusedReports(host="odd", reports=2, last_at_us=AS_OF_US - HOUR_US, reason="a\x1b state")
    return admin_pb2.DescribeCollectorResponse(
        version=version("fleetnet"), at_us=AS_OF_US, server_certificate_until_us=AS_OF_US + 60 * day_us,
        ca_certificate_until_us=AS_OF_US + 3_000 * day_us, refused=[refused],
    )  # fmt: skip
