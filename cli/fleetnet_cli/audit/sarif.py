"""`-o sarif`: findings as code scanning has them (SARIF 2.1.0, docs.oasis-open.org/sarif/sarif/v2.1.0).

The place of a finding is the rule in its file, and beside it the host as a logical location. What could not be judged
is `open`, which is the standard's word for it.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from urllib.parse import quote

from fleetnet_cli.audit.judge import VIOLATED, Finding
from fleetnet_cli.audit.policy import Policy, Rule
from fleetnet_cli.output.sockets import local
from fleetnet_cli.text import visible

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def write(policy: Policy, findings: Iterable[Finding], version: str, coverage: str, whole: bool) -> str:
    """The whole document. `coverage` says how far the answer reaches; it is a warning where that is not `whole`."""
    numbers = {rule.name: number for number, rule in enumerate(policy.rules)}
    run = {
        "tool": {"driver": {"name": "fleetnet", "version": version, "rules": [_rule(rule) for rule in policy.rules]}},
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [{"level": "note" if whole else "warning", "message": _text(coverage)}],
            }
        ],
        "results": [_result(policy.source, numbers[finding.rule.name], finding) for finding in findings],
        "columnKind": "unicodeCodePoints",
    }
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=1).replace("\x7f", "\\u007f") + "\n"


def _rule(rule: Rule) -> dict[str, object]:
    hosts = ", ".join(rule.hosts.words) + (f" with {rule.labelled}" if rule.labels else "")
    described: dict[str, object] = {
        "id": rule.name,
        "shortDescription": _text(rule.why or f"{rule.says.replace('_', ' ')}, on {hosts}"),
        "defaultConfiguration": {"level": rule.severity},
    }
    return described | ({"help": _text(rule.why)} if rule.why else {})


def _result(source: str, number: int, finding: Finding) -> dict[str, object]:
    violated = finding.verdict == VIOLATED
    where = _where(finding)
    place: dict[str, object] = {"artifactLocation": {"uri": quote(os.fsencode(source))}}
    if finding.rule.line:
        place["region"] = {"startLine": finding.rule.line}
    named = visible(finding.host) or "no host"
    return {
        "ruleId": finding.rule.name,
        "ruleIndex": number,
        "kind": "fail" if violated else "open",
        "level": finding.rule.severity if violated else "none",
        "message": _text(f"{named}: {finding.message}"),
        "locations": [
            {
                "physicalLocation": place,
                "logicalLocations": [
                    {"name": named, "fullyQualifiedName": visible(where) or named, "kind": "resource"}
                ],
            }
        ],
        "partialFingerprints": {"finding/v1": _fingerprint(finding, where)},
    }


def _where(finding: Finding) -> str:
    """`web1/tcp/0.0.0.0:443`, with its network namespace where that is not the host's own."""
    socket = finding.socket
    if socket is None:
        return finding.host
    netns = [socket.netns] * bool(socket.netns_inode)
    return "/".join((finding.host, *netns, socket.protocol, local(socket)))


def _fingerprint(finding: Finding, where: str) -> str:
    """The same as long as it is the same finding: neither times nor counts nor process ids are in it."""
    parts = (finding.rule.name, where, finding.verdict, finding.about)
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()


def _text(text: str) -> dict[str, str]:
    return {"text": visible(text)}
