"""`fleetnet audit`: what a policy says held against what the fleet has."""

import functools
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleetnet_cli import exits
from fleetnet_cli.asking import connect, show
from fleetnet_cli.errors import UsageError
from fleetnet_cli.options import Common, option, takes_common
from fleetnet_cli.output import coverage, terminal
from fleetnet_cli.output.presentation import FORMATS, OF_AUDIT
from fleetnet_cli.records import Coverage, End, Host, ReadyAnswer, Selection, SocketQuestion
from fleetnet_cli.services import load
from fleetnet_cli.version import VERSION

if TYPE_CHECKING:
    from fleetnet_cli.audit.judge import Finding, Judged
    from fleetnet_cli.audit.policy import Policy

own = functools.partial(option, command="audit")

EXAMPLES = """\b
Examples:
  fleetnet audit policy.toml
  fleetnet audit policy.toml --at "yesterday 14:00" -o sarif
  fleetnet audit --learn --host "web*" > policy.toml

What a rule may ask: "fleetnet help policies".
"""

_OPTIONS = ("output", "at", "host", "label", "max_age", "quiet", "server", "context", "timeout")
_PROTOCOLS = ("tcp", "udp", "udplite", "sctp")


@takes_common(_OPTIONS, (*FORMATS, *OF_AUDIT))
def audit(
    policy: Annotated[str | None, typer.Argument(metavar="POLICY.toml", hidden=True)] = None,
    learn: Annotated[bool, own("--learn", help="Write a policy that says what is there now.")] = False,
    ephemeral: Annotated[bool, own("--ephemeral", help="UDP on ports that the kernel hands out, too.")] = False,
    raw: Annotated[bool, own("--raw", help="Raw sockets, too.")] = False,
    *,
    common: Common,
) -> int:
    """Hold the fleet against a policy: what must, may and must not listen.

    Ends with 0 if nothing violates it, with 1 if something does, and with 3 if nothing was found to but not everything
    could be judged: a host was silent, or an agent could not see who holds a socket.
    """
    if learn:
        if policy is not None:
            raise UsageError(
                f'--learn writes a policy and reads none; leave out "{policy}", or write to it: > {policy}'
            )
        return _learn(common, ephemeral=ephemeral, raw=raw)
    if policy is None:
        raise UsageError("give a policy, such as policy.toml; fleetnet audit --learn writes one to begin with")
    return _audit(policy, common, ephemeral=ephemeral, raw=raw)


def _audit(path: str, common: Common, *, ephemeral: bool, raw: bool) -> int:
    from fleetnet_cli.audit import judge, policy  # with what they need no other command needs

    asked = policy.parse(_read(path), path, load())
    with connect(common) as collector:
        answer = collector.hosts(common.selection)
        hosts = _with_gaps(list(answer), answer.coverage)
        reach = answer.coverage
        states = {state for rule in asked.rules for state, _ in rule.most}
        counts: Counter[tuple[str, str]] = Counter()
        if states:
            held = collector.sockets(_in(common.selection, states))
            counts.update((socket.host, socket.state) for socket in held)
            reach = reach.joined(held.coverage)
        with_raw = raw or any(rule.names_raw for rule in asked.rules)
        listeners = collector.sockets(_listeners(common.selection, raw=with_raw))
        reach = reach.joined(listeners.coverage)
        stale = {stale.host for stale in reach.hosts_stale}
        hosts = [replace(host, fresh=host.fresh and host.host not in stale) for host in hosts]
        judged = list(judge.judge(asked.rules, hosts, listeners, counts, reach.as_of_us, ephemeral=ephemeral, raw=raw))
    if not (common.selection.host_globs or common.selection.labels) or not judged:
        judged += judge.of_nobody(asked.rules, hosts)
    findings = [finding for one in judged for finding in one.findings]
    findings.sort(key=lambda finding: finding.verdict != judge.VIOLATED)
    _write(asked, judged, findings, reach, common)
    if findings and findings[0].verdict == judge.VIOLATED:
        return exits.VIOLATED
    return exits.FOUND if reach.whole and not findings else exits.PARTIAL


def _with_gaps(hosts: list[Host], reach: Coverage) -> list[Host]:
    """Where a collector tells of gaps and not of whose they are, as older ones do, each host may be the one."""
    if reach.gaps and not any(host.gaps for host in hosts):
        return [replace(host, gaps=reach.gaps) for host in hosts]
    return hosts


def _write(asked: "Policy", judged: "list[Judged]", findings: "list[Finding]", reach: Coverage, common: Common) -> None:
    from fleetnet_cli.audit import junit, report, sarif

    out = terminal.of(sys.stdout)
    said = coverage.sentences(reach, None, asked_at=common.asked_at, with_zone=True, asked=common.selection)
    if common.output == "junit":
        out.write(junit.write(asked.rules, judged, said, reach.whole))
    elif common.output == "sarif":
        out.write(sarif.write(asked, findings, VERSION, said, reach.whole))
    else:
        for_people = common.output in ("table", "wide")
        shown = report.together(findings) if for_people else findings
        answer = ReadyAnswer(reach, shown, End(len(shown)))
        show(answer, report.presentation(load(), f"nothing violates {asked.source}"), common)
        if for_people and not common.quiet:
            out.write(report.summary(asked, judged) + "\n")


def _learn(common: Common, *, ephemeral: bool, raw: bool) -> int:
    from fleetnet_cli.audit import learn

    if common.output != "table" and common.output_is_typed:
        raise UsageError("--learn writes TOML; leave out -o")
    with connect(common) as collector:
        answer = collector.hosts(common.selection)
        hosts = list(answer)
        listeners = collector.sockets(_listeners(common.selection, raw=raw))
        terminal.of(sys.stdout).write(learn.learn(hosts, listeners, ephemeral))
    if not answer.coverage.whole or not hosts:
        said = coverage.sentences(
            answer.coverage, None, asked_at=common.asked_at, with_zone=True, asked=common.selection
        )
        terminal.of(sys.stderr).write(said + "\n")
    return exits.status_of(found=bool(hosts), whole=answer.coverage.whole and all(host.fresh for host in hosts))


def _listeners(selection: Selection, *, raw: bool) -> SocketQuestion:
    return SocketQuestion(selection, protocols=(*_PROTOCOLS, *["raw"] * raw), listeners_only=True)


def _in(selection: Selection, states: set[str]) -> SocketQuestion:
    return SocketQuestion(selection, protocols=_PROTOCOLS, states=tuple(sorted(states)))


def _read(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); name a policy, or write one with --learn"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 ({error}); save it as that") from error
