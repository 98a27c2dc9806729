"""`fleetnet-agent doctor`: one line per thing that must be right or can be seen, and what to do about what is not.

"ok", "reduced" (something of it cannot be seen), "missing" (nothing of it can), or "problem" (the agent cannot report).
What can be seen is in `sight.py`.
"""

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from fleetnet_agent import reach, sight, state
from fleetnet_agent.budget import MIB
from fleetnet_agent.config import Settings
from fleetnet_agent.errors import AgentError
from fleetnet_agent.host import Host, this_host
from fleetnet_agent.log import printable
from fleetnet_agent.sight import Finding
from fleetnet_agent.spool import paths

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
        yield _certificate(identity, settings.state, host.wall_clock_us())
        yield _spool(settings, host.wall_clock_us())
        for address in identity.report_addresses:
            yield _collector(address, identity, settings.state)
    yield from sight.findings(settings, host)


def _directory(directory: Path) -> Finding:
    if os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return Finding("state directory", True, f"{directory} can be written, so the certificate can be renewed")
    owner = directory.stat().st_uid
    words = f"{directory} cannot be written, so the certificate is not renewed; run as uid {owner}, or chown it"
    return Finding("state directory", False, words)


def _spool(settings: Settings, now_us: int) -> Finding:
    """From outside: the agent that runs has the file to itself."""
    directory, most = settings.state, f"{settings.spool_size:g} MiB"
    if (directory / paths.DAMAGED).exists():
        words = f"{directory / paths.DAMAGED} was damaged and set aside; look for a failing disk, then remove it"
        return Finding("spool", False, words)
    if settings.spool_size == 0:
        return Finding("spool", True, "switched off: what happens while no collector answers becomes a gap")
    kept = paths.there(directory)
    free_bytes = shutil.disk_usage(directory).free
    if kept is None and free_bytes < settings.spool_size * MIB:
        words = (
            f"{directory} has {free_bytes / MIB:.0f} MiB free for a spool of {most}; free some, or lower --spool-size"
        )
        return Finding("spool", False, words)
    if kept is None:
        return Finding("spool", True, f"empty; up to {most} are kept while no collector answers")
    size_bytes, changed_us = kept
    ago_s = max(0.0, (now_us - changed_us) / 1e6)
    return Finding(
        "spool", True, f"{size_bytes / MIB:.1f} MiB of {most} wait for a collector, written {ago_s:.0f} s ago"
    )


def _key_mode(directory: Path) -> Finding:
    key = directory / state.KEY
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & 0o077:
        return Finding("key", False, f"{key} has mode {mode:04o}, so others may read it; chmod 600 it")
    return Finding("key", True, "readable by its owner alone")


def _certificate(identity: state.Identity, directory: Path, now_us: int) -> Finding:
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(identity.valid_until_us / 1e6))
    if now_us >= identity.valid_until_us:
        return Finding("certificate", False, f"expired on {until}; {_way_back(identity, directory)}")
    if now_us < identity.valid_from_us:
        return Finding("certificate", False, "not valid yet; check the clock of this host")
    return Finding("certificate", True, f"valid until {until} ({(identity.valid_until_us - now_us) / DAY_US:.1f} days)")


def _way_back(identity: state.Identity, directory: Path) -> str:
    from fleetnet_agent import keys  # late: cryptography is large, and mostly this is not asked

    anew = "or enroll it again with --force and a new token"
    waiting = directory / state.WAITING_KEY
    try:
        key_id = keys.key_id(waiting.read_bytes())
    except FileNotFoundError:
        return f"an agent that runs asks for another by itself, and says in its log how that stands; {anew}"
    except (OSError, ValueError) as error:
        return f"{waiting} cannot be used ({error}); remove it, {anew}"
    return f"it asks for another; an operator runs: fleetnet host approve {identity.host} (key {key_id}); {anew}"


def _collector(address: str, identity: state.Identity, directory: Path) -> Finding:
    context = reach.trust(identity.ca_pem)
    context.load_cert_chain(directory / state.CERTIFICATE, directory / state.KEY)
    try:
        reach.check(*reach.split_address(address), context)
    except AgentError as error:
        return Finding("collector", False, str(error))
    return Finding("collector", True, f"{address} answers")
