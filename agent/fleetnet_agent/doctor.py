"""`fleetnet-agent doctor`: one line per thing that must be right, "ok" or "problem", and what to do about a problem."""

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fleetnet_agent import facts, privileges, reach, state
from fleetnet_agent.config import Settings
from fleetnet_agent.errors import AgentError
from fleetnet_agent.host import Host, this_host
from fleetnet_agent.run import found_helper
from fleetnet_agent.watch import open_watch

DAY_US = 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; for a problem, `words` says what to do."""

    topic: str
    ok: bool
    words: str


def doctor(settings: Settings) -> int:
    """Print what is right and what is not; 0 if all is right, 1 if anything is not."""
    all_right = True
    for finding in findings(settings, this_host()):
        print(f"{'ok' if finding.ok else 'problem':8}{finding.topic}: {finding.words}", flush=True)
        all_right = all_right and finding.ok
    return 0 if all_right else 1


def findings(settings: Settings, host: Host) -> Iterator[Finding]:
    """All checks, one after the other; none stops another."""
    try:
        identity = state.load(settings.state)
    except AgentError as error:
        yield Finding("state", False, str(error))
    else:
        yield Finding("state", True, f"enrolled as {identity.host} in {settings.state}")
        yield _key_mode(settings.state)
        yield _certificate(identity, host.wall_clock_us())
        for address in identity.report_addresses:
            yield _collector(address, identity, settings.state)
    yield _helper(settings)
    yield from _sources(settings, host)


def _key_mode(directory: Path) -> Finding:
    key = directory / state.KEY
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & 0o077:
        return Finding("key", False, f"{key} has mode {mode:04o}, so others may read it; chmod 600 it")
    return Finding("key", True, "readable by its owner alone")


def _certificate(identity: state.Identity, now_us: int) -> Finding:
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(identity.valid_until_us / 1e6))
    if now_us >= identity.valid_until_us:
        return Finding("certificate", False, f"expired on {until}; enroll again with --force and a new token")
    if now_us < identity.valid_from_us:
        return Finding("certificate", False, "not valid yet; check the clock of this host")
    return Finding("certificate", True, f"valid until {until} ({(identity.valid_until_us - now_us) / DAY_US:.1f} days)")


def _collector(address: str, identity: state.Identity, directory: Path) -> Finding:
    context = reach.trust(identity.ca_pem)
    context.load_cert_chain(directory / state.CERTIFICATE, directory / state.KEY)
    try:
        reach.check(*reach.split_address(address), context)
    except AgentError as error:
        return Finding("collector", False, str(error))
    return Finding("collector", True, f"{address} answers")


def _helper(settings: Settings) -> Finding:
    path = found_helper(settings)
    if path is None:
        # Not a fault: an agent that is run with --with-helper has one that it keeps to itself.
        where = privileges.DEFAULT_SOCKET
        return Finding(
            "helper",
            True,
            f"none on {where}; `run --with-helper` brings one, else owners and other network namespaces are not seen",
        )
    if not privileges.answers(path):
        return Finding("helper", False, f"nothing answers on {path}; start fleetnet-helper --socket {path}")
    return Finding("helper", True, f"answers on {path}")


def _sources(settings: Settings, host: Host) -> Iterator[Finding]:
    watch = open_watch(host, helper_socket=found_helper(settings), namespaces=settings.namespaces)
    try:
        watch.look()
        snapshot = watch.snapshot()
    finally:
        watch.close()
    for source in snapshot.sources:
        yield Finding(f"source {source.name}", source.ok, source.detail or "reads whole")
    yield Finding("sockets", bool(snapshot.sockets), f"{len(snapshot.sockets)} are open")
    yield _namespaces(host, len(snapshot.namespaces), watch.sees_all_namespaces)


def _namespaces(host: Host, count: int, sees_all: bool) -> Finding:
    own = facts.netns_inode(host)
    if not own:
        return Finding("namespaces", False, f"{host.proc}/self/ns/net cannot be read; is /proc mounted?")
    if sees_all:
        return Finding("namespaces", True, f"reads all that its helper finds, {count} now, its own ({own}) among them")
    try:
        # Other files in each namespace, and unlike /proc/1/ns/net anybody may look at them.
        same = os.stat(host.proc / "1/net/dev").st_ino == os.stat(host.proc / "self/net/dev").st_ino
    except OSError:
        return Finding(
            "namespaces",
            True,
            f"reads its own, {own}; whether it is the host's cannot be seen, for process 1 is hidden",
        )
    which = (
        "that of process 1; with a helper and --namespaces all it reads every one" if same else "not that of process 1"
    )
    return Finding("namespaces", True, f"reads its own, {own}, {which}")
