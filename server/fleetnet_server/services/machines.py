"""Two machines with one identity, as a copied disk makes them: noticed, and not left to end each other's streams.

What must stay true: the history of a host is that of one machine. The first that reports after enrolling is the host;
another is refused before it can fence that one's stream, until somebody enrolls it. It is told by its machine id. Where
both have the same one, or none, it is told by its boot: a boot that comes back after another one was there is proof of
two machines, for none goes back to a boot that it has ended.
"""

from dataclasses import replace

import structlog

from fleetnet_server.records import Gap, Hello, Host
from fleetnet_server.storage import gaps, machines
from fleetnet_server.storage.database import Connection

TWO_MACHINES = "two machines reported as this host"
# How long a machine that came as another one's host is told of.
TOLD_US = 86_400_000_000
# Machines are told by their boots within this time. A machine that is refused comes back within a minute or so: one
# that has not come for so long is off, and the other may boot again.
_BY_BOOT_US = 3_600_000_000
SENTENCE = (
    "another machine with this host's identity came and is refused (a copied disk?); enroll it with a name of its own"
)


_log = structlog.get_logger()


def refusal(conn: Connection, host: Host, hello: Hello, now_us: int) -> str:
    """Why this is not the machine that reports as the host, in a sentence for its agent; empty if it is, or is to be
    from now on. Either is noted; `now_us` is the collector's clock."""
    known = machines.of(conn, host.host_id)
    if _another(known, hello, now_us):
        _say_once(host, known, now_us)
        machines.note(conn, host.host_id, replace(known, clone_seen_us=now_us))
        return (
            f"another machine reports as {host.name}, and this one looks like a copy of it; "
            "only one can be: enroll the one that is to be it with a new token, the other with a name of its own"
        )
    now_known = replace(
        known,
        machine_id_hash=known.machine_id_hash or hello.machine_id_hash,
        kept_boot_id=known.kept_boot_id if hello.boot_id == known.kept_boot_id else None,
    )
    since_us = _another_since(conn, host, known, hello, now_us)
    if since_us:
        _say_once(host, known, now_us)
        offset_us = hello.wall_clock_us - now_us
        gaps.record(conn, host.host_id, [Gap(since_us + offset_us, now_us + offset_us, TWO_MACHINES)])
        now_known = replace(now_known, kept_boot_id=hello.boot_id, clone_seen_us=now_us)
    if now_known != known:
        machines.note(conn, host.host_id, now_known)
    return ""


def _another(known: machines.Machine, hello: Hello, now_us: int) -> bool:
    if known.machine_id_hash and hello.machine_id_hash not in (b"", known.machine_id_hash):
        return True
    about = known.clone_seen_us is not None and known.clone_seen_us > now_us - _BY_BOOT_US
    return known.kept_boot_id is not None and about and hello.boot_id != known.kept_boot_id


def _another_since(conn: Connection, host: Host, known: machines.Machine, hello: Hello, now_us: int) -> int:
    """Since when another boot has been reporting, if this one did before that; else 0."""
    since_us = 0
    boots = machines.boots(conn, host.host_id, known.since_generation, now_us - _BY_BOOT_US)
    for boot in reversed(boots):
        if boot.boot_id == hello.boot_id:
            return since_us
        since_us = boot.started_at_us
    return 0


def _say_once(host: Host, known: machines.Machine, now_us: int) -> None:
    if known.clone_seen_us is None or known.clone_seen_us < now_us - TOLD_US:
        _log.error("two machines have the identity of one host; the one that was there first is heard", host=host.name)
