"""What an audit shows of what it found: as rows and as JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fleetnet_cli.audit.judge import VIOLATED, Finding, Judged
from fleetnet_cli.audit.policy import Policy
from fleetnet_cli.output import sockets
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.services import Services

# Of as_json.
FIELDS = ("rule", "says", "severity", "why", "host", "verdict", "message", "count", "at_most", "socket")


def presentation(services: Services, nothing: str) -> Presentation[Finding]:
    """Findings."""
    return Presentation(
        kind="FindingList",
        as_json=lambda finding: as_json(finding, services),
        columns=(
            Column("VERDICT", lambda f: f.verdict),
            Column("SEVERITY", lambda f: f.rule.severity, leaves=1),
            Column("RULE", lambda f: f.rule.name, least=16),
            Column("HOST", lambda f: f.host, least=24),
            Column("WHAT", _what, least=40),
        ),
        nothing=nothing,
        host_of=lambda f: f.host,
        fields=FIELDS,
        cells={"socket": _socket_cell},
    )


def together(findings: Iterable[Finding]) -> list[Finding]:
    """For people: of a host that was silent one line, however many rules there are of it."""
    kept: dict[object, list[Finding]] = {}
    for number, finding in enumerate(findings):
        silent = finding.verdict != VIOLATED and finding.socket is None
        kept.setdefault((finding.host, finding.message) if silent else number, []).append(finding)
    return [
        same[0]
        if len(same) == 1
        else replace(same[0], rule=replace(same[0].rule, name=f"{len(same)} rules", severity="", why=""))
        for same in kept.values()
    ]


def summary(policy: Policy, judged: Iterable[Judged]) -> str:
    """`5 rules: 2 violated, on 2 hosts; 3 not judged on every host that they concern`."""
    violated: dict[str, set[str]] = {}
    unjudged: set[str] = set()
    for one in judged:
        if any(finding.verdict == VIOLATED for finding in one.findings):
            violated.setdefault(one.rule.name, set()).add(one.host)
        if any(finding.verdict != VIOLATED for finding in one.findings):
            unjudged.add(one.rule.name)
    hosts = set().union(*violated.values())
    parts = [f"{len(violated)} violated, on {_counted(len(hosts), 'host')}" if violated else "none violated"]
    parts += [f"{len(unjudged)} not judged everywhere"] * bool(unjudged)
    return f"{_counted(len(policy.rules), 'rule')}: {'; '.join(parts)}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def as_json(finding: Finding, services: Services) -> dict[str, object]:
    """A finding as documents have it."""
    return {
        "rule": finding.rule.name,
        "says": finding.rule.says,
        "severity": finding.rule.severity,
        "why": finding.rule.why or None,
        "host": finding.host or None,
        "verdict": finding.verdict,
        "message": finding.message,
        "count": finding.count,
        "at_most": finding.most,
        "socket": sockets.as_json(finding.socket, services) if finding.socket is not None else None,
    }


def _socket_cell(socket: Mapping[str, Any]) -> str:
    """`tcp 0.0.0.0:23`."""
    return f"{socket['protocol']} {sockets.endpoint(socket['local_address'] or '', '', socket['local_port'] or 0)}"


def _what(finding: Finding) -> str:
    return f"{finding.message} ({finding.rule.why})" if finding.rule.why else finding.message
