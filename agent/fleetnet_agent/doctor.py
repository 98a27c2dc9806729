"""`fleetnet-agent doctor`: one line per thing that must be right or can be seen, and what to do about what is not.

"ok", "reduced" (something of it cannot be seen), "missing" (nothing of it can), or "problem" (the agent cannot report).
What can be seen is in `sight.py`.
"""

import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from fleetnet_agent import facts, reach, sight, state
from fleetnet_agent.config import Settings
from fleetnet_agent.errors import AgentError
from fleetnet_agent.host import Host, this_host
from fleetnet_agent.log import printable
from fleetnet_agent.run import OTHER_NAMESPACES
from fleetnet_agent.sight import Finding

DAY_US = 86_400 * 1_000_000


def doctor(settings: Settings) -> int:
    """Print what is right and what is not; 0 if all is right, 1 if anything is not."""
    found = []
    for finding in findings(settings, this_host()):
        found.append(finding)
        if settings.output != "json":
            print(f"{finding.verdict:8}{printable(finding.topic)}: {printable(finding.words)}", flush=True)
    if settings.output == "json":
        print(json.dumps(document(found), indent=1), flush=True)
    return 0 if all(finding.ok for finding in found) else 1


def document(found: list[Finding]) -> dict[str, object]:
    """The findings in the envelope that all lists have."""
    items = [{"topic": one.topic, "verdict": one.verdict, "words": one.words} for one in found]
    return {"api_version": "fleetnet/v1", "kind": "FindingList", "items": items}


def findings(settings: Settings, host: Host) -> Iterator[Finding]:
    """All checks, one after the other; none stops another."""
    try:
        identity = state.load(settings.state)
    except AgentError as error:
        yield Finding("state", False, str(error))
    else:
        yield Finding("state", True, f"enrolled as {identity.host} in {settings.state}")
        yield _directory(settings.state)
        yield _key_mode(settings.state)
        yield _certificate(identity, host.wall_clock_us())
        for address in identity.report_addresses:
            yield _collector(address, identity, settings.state)
    yield from sight.findings(settings, host)
    yield _namespaces(settings, host)


def _directory(directory: Path) -> Finding:
    if os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return Finding("state directory", True, f"{directory} can be written, so the certificate can be renewed")
    owner = directory.stat().st_uid
    words = f"{directory} cannot be written, so the certificate is not renewed; run as uid {owner}, or chown it"
    return Finding("state directory", False, words)


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


def _namespaces(settings: Settings, host: Host) -> Finding:
    if settings.namespaces != "own":
        return Finding("namespaces", False, OTHER_NAMESPACES)
    own = facts.netns_inode(host)
    if not own:
        return Finding("namespaces", False, f"{host.proc}/self/ns/net cannot be read; is /proc mounted?")
    try:
        first = os.stat(host.proc / "1/ns/net").st_ino
    except OSError:
        return Finding(
            "namespaces", True, f"reads its own, {own}; whether it is the host's cannot be seen without root"
        )
    which = "the host's" if own == first else "not that of process 1"
    return Finding("namespaces", True, f"reads its own, {own}, {which}")
