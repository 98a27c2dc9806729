"""Two machines with one identity, as a copied disk makes them: noticed, and not left to end each other's streams.

What must stay true: the history of a host is that of one machine. The first that reports after enrolling is the host;
another is refused before it can fence that one's stream, until somebody enrolls it. It is told by its machine id. Where
both have the same one, or none, it is told by its boot: a boot that comes back after another one was there is proof of
two machines, for none goes back to a boot that it has ended.
"""

from collections.abc import Sequence
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


def refusals(conn: Connection, came: Sequence[tuple[Host, Hello, int, str]]) -> dict[int, str]:
    """Of those who came, each as another host, that are not the machine that reports as theirs: why not, in a sentence
    for its agent, by host. All others are, or are to be from now on. Either is noted. Call with the hosts held."""
    known = machines.known(conn, [host.host_id for host, *_ in came])
    since = {host.host_id: known.setdefault(host.host_id, machines.Machine()).since_generation for host, *_ in came}
    boots = machines.boots(
        conn, [(host.host_id, since[host.host_id], now_us - _BY_BOOT_US) for host, _, now_us, _ in came]
    )
    found = {}
    notes = {}
    for host, hello, now_us, _ in came:
        was = known[host.host_id]
        if _another(was, hello, now_us):
            _say_once(host, was, now_us)
            notes[host.host_id] = replace(was, clone_seen_us=now_us)
            found[host.host_id] = (
                f"another machine reports as {host.name}, and this one looks like a copy of it; "
                "only one can be: enroll the one that is to be it with a new token, the other with a name of its own"
            )
        elif (now := _now(conn, host, was, hello, now_us, boots[host.host_id])) != was:
            notes[host.host_id] = now
    machines.note(conn, notes)
    return found


def _now(
    conn: Connection, host: Host, was: machines.Machine, hello: Hello, now_us: int, boots: Sequence[machines.Boot]
) -> machines.Machine:
    """What is known of the machine that reports as the host, now that it has come."""
    now = replace(
        was,
        machine_id_hash=was.machine_id_hash or hello.machine_id_hash,
        kept_boot_id=was.kept_boot_id if hello.boot_id == was.kept_boot_id else None,
    )
    since_us = _another_since(boots, hello)
    if not since_us:
        return now
    _say_once(host, was, now_us)
    offset_us = hello.wall_clock_us - now_us
    gaps.record(conn, host.host_id, [Gap(since_us + offset_us, now_us + offset_us, TWO_MACHINES)])
    return replace(now, kept_boot_id=hello.boot_id, clone_seen_us=now_us)


def _another(known: machines.Machine, hello: Hello, now_us: int) -> bool:
    if known.machine_id_hash and hello.machine_id_hash not in (b"", known.machine_id_hash):
        return True
    about = known.clone_seen_us is not None and known.clone_seen_us > now_us - _BY_BOOT_US
    return known.kept_boot_id is not None and about and hello.boot_id != known.kept_boot_id


def _another_since(boots: Sequence[machines.Boot], hello: Hello) -> int:
    """Since when another boot has been reporting, if this one did before that; else 0."""
    since_us = 0
    for boot in reversed(boots):
        if boot.boot_id == hello.boot_id:
            return since_us
        since_us = boot.started_at_us
    return 0


def _say_once(host: Host, known: machines.Machine, now_us: int) -> None:
    if known.clone_seen_us is None or known.clone_seen_us < now_us - TOLD_US:
        _log.error("two machines have the identity of one host; the one that was there first is heard", host=host.name)
