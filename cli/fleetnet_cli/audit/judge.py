"""A policy held against what the fleet has, host by host.

What must stay true: what is called a violation was seen on a host that was fresh; where a host was not, or what a rule
asks was not to be seen, the rule is not judged there, and that is said. A host is never called clean for want of data.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from fleetnet_cli import times
from fleetnet_cli.audit.patterns import PROTOCOLS, Pattern, all_of, any_of, is_ephemeral
from fleetnet_cli.audit.policy import Rule
from fleetnet_cli.errors import CollectorFailed
from fleetnet_cli.output.sockets import local, processes
from fleetnet_cli.records import Host, Socket

VIOLATED = "violated"
NOT_JUDGED = "not-judged"


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that is violated by a host, or that could not be judged there."""

    rule: Rule
    host: str
    verdict: str  # VIOLATED or NOT_JUDGED
    message: str
    socket: Socket | None = None
    count: int | None = None
    most: int | None = None
    about: str = ""  # what it is about beside rule, host and socket, without anything that changes while it stays true


@dataclass(frozen=True, slots=True)
class Judged:
    """A rule on a host; satisfied where there are no findings."""

    rule: Rule
    host: str
    findings: tuple[Finding, ...]


Counts = Counter[tuple[str, str]]  # sockets by host and state


def judge(
    rules: Sequence[Rule],
    hosts: Sequence[Host],
    listeners: Iterable[Socket],
    counts: Counts,
    as_of_us: int,
    *,
    ephemeral: bool,
    raw: bool,
) -> Iterator[Judged]:
    """Each rule on each host that it concerns, in the order of the hosts, then of the rules.

    `listeners` come in the order of their hosts, as the collector gives them. UDP sockets on ports that kernels hand
    out and raw sockets are looked at where that is asked for, or where a rule names them.
    """
    for host, sockets in _by_host(hosts, listeners):
        for rule in rules:
            if not rule.concerns(host):
                continue
            if why := _unknown(host, as_of_us):
                findings: tuple[Finding, ...] = (Finding(rule, host.host, NOT_JUDGED, why),)
            else:
                looked_at = sockets if raw or rule.names_raw else [s for s in sockets if s.protocol != "raw"]
                findings = _as_far_as_read(rule, host, _judged(rule, host.host, looked_at, counts, ephemeral))
            yield Judged(rule, host.host, findings)


def _by_host(hosts: Sequence[Host], listeners: Iterable[Socket]) -> Iterator[tuple[Host, list[Socket]]]:
    """Every host with its listeners. A host that came between the two questions is left for the next time."""
    groups = groupby(listeners, lambda socket: socket.host)
    name, group = next(groups, ("", iter(())))
    known = {host.host for host in hosts}
    for host in hosts:
        while name and name != host.host and name not in known:
            name, group = next(groups, ("", iter(())))
        if name == host.host:
            yield host, list(group)
            name, group = next(groups, ("", iter(())))
        else:
            yield host, []
    if name in known:
        raise CollectorFailed("the collector's answers are not in one order, and cannot be judged; upgrade it")


def of_nobody(rules: Sequence[Rule], hosts: Sequence[Host]) -> Iterator[Judged]:
    """What rules name and none of all hosts is called: mistyped perhaps, and never to be taken for satisfied."""
    names = [host.host for host in hosts]
    for rule in rules:
        unmatched = rule.hosts.unmatched(names)
        if not names:
            message = "no host was asked about"
        elif unmatched:
            message = f"no host matches {', '.join(unmatched)}"
        elif not any(map(rule.meets, hosts)):
            message = f"no host {rule.whom}"
        elif not any(map(rule.concerns, hosts)):
            message = (
                f"except leaves none of the hosts of which one {rule.whom}"
                if rule.labels
                else (f"except leaves none of the hosts that match {', '.join(rule.hosts.words)}")
            )
        else:
            continue
        yield Judged(rule, "", (Finding(rule, "", NOT_JUDGED, message, about=message),))


def _unknown(host: Host, as_of_us: int) -> str:
    """Why nothing of the host is certain; empty where it was watched."""
    if host.fresh:
        return "its history has a gap then" if host.gaps else ""
    if host.last_seen_us == 0:
        return "it has never been heard"
    return f"it was heard last {times.age(as_of_us - host.last_seen_us)} before"


def _as_far_as_read(rule: Rule, host: Host, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """What was found, but for what may be because the agent could not read a table; that nothing was found then is
    not judged either."""
    lacking = "; ".join(said for said in host.degraded if _matters(said, rule))
    if not lacking:
        return tuple(findings)
    why = f"its agent could not read all of it ({lacking})"
    seen = [finding for finding in findings if finding.verdict != VIOLATED or finding.socket or finding.count]
    return (*seen, Finding(rule, host.host, NOT_JUDGED, why, about="not read"))


def _matters(said: str, rule: Rule) -> bool:
    """Whether a source that is not whole, "name: detail", has to do with what a rule asks."""
    name, _, detail = said.partition(": ")
    if name in ("namespaces", "identity"):
        return True
    asked = {protocol for pattern in rule.patterns for protocol in pattern.protocols or PROTOCOLS} or set(PROTOCOLS)
    if rule.says in ("only", "exactly", "at_most"):
        asked = set(PROTOCOLS)
    return name in asked and detail.startswith("not read")


def _judged(rule: Rule, host: str, sockets: list[Socket], counts: Counts, ephemeral: bool) -> Iterator[Finding]:
    if rule.says == "at_most":
        yield from _too_many(rule, host, counts)
    if rule.says in ("expect", "exactly"):
        yield from _missing(rule, host, sockets)
    if rule.says in ("only", "exactly"):
        yield from _others(rule, host, sockets, ephemeral)
    if rule.says == "forbid":
        yield from _forbidden(rule, host, sockets, ephemeral)


def _too_many(rule: Rule, host: str, counts: Counts) -> Iterator[Finding]:
    for state, most in rule.most:
        if (count := counts[host, state]) > most:
            message = f"{count} {'socket' if count == 1 else 'sockets'} in {state}, where {most} at most are allowed"
            yield Finding(rule, host, VIOLATED, message, count=count, most=most, about=state)


def _missing(rule: Rule, host: str, sockets: list[Socket]) -> Iterator[Finding]:
    for pattern in rule.patterns:
        verdict, words = any_of(pattern.matches(socket) for socket in sockets), pattern.words()
        if verdict is False:
            yield Finding(rule, host, VIOLATED, f"nothing listens on {words}", about=words)
        elif verdict is None:
            message = f"whether anything listens on {words} is not known: {_unseen(pattern, sockets)}"
            yield Finding(rule, host, NOT_JUDGED, message, about=words)


def _others(rule: Rule, host: str, sockets: list[Socket], ephemeral: bool) -> Iterator[Finding]:
    for socket in sockets:
        if (socket.exposed == "no" and not rule.loopback) or (is_ephemeral(socket) and not ephemeral):
            continue
        # What is not certainly exposed is no certain violation either.
        verdict = all_of((_not(any_of(p.matches(socket) for p in rule.patterns)), rule.loopback or _is_exposed(socket)))
        if verdict is True:
            yield Finding(rule, host, VIOLATED, f"{_shown(socket)}, which is not among those allowed", socket)
        elif verdict is None:
            message = f"whether {_shown(socket)} is among those allowed is not known: {_why(socket)}"
            yield Finding(rule, host, NOT_JUDGED, message, socket)


def _forbidden(rule: Rule, host: str, sockets: list[Socket], ephemeral: bool) -> Iterator[Finding]:
    for socket in sockets:
        patterns = [p for p in rule.patterns if p.ports or ephemeral or not is_ephemeral(socket)]
        verdict = any_of(p.matches(socket, reached=True) for p in patterns)
        if verdict is True:
            yield Finding(rule, host, VIOLATED, _shown(socket), socket)
        elif verdict is None:
            message = f"whether {_shown(socket)} is forbidden is not known: {_why(socket)}"
            yield Finding(rule, host, NOT_JUDGED, message, socket)


def _not(verdict: bool | None) -> bool | None:
    return None if verdict is None else not verdict


def _is_exposed(socket: Socket) -> bool | None:
    return {"yes": True, "no": False}.get(socket.exposed)


def _shown(socket: Socket) -> str:
    """`nginx (812) listens on tcp 0.0.0.0:80`."""
    where = "" if socket.netns == "host" else f" in netns {socket.netns}"
    who = processes(socket) if socket.owners else "something"
    return f"{who} listens on {socket.protocol} {local(socket)}{where}"


def _unseen(pattern: Pattern, sockets: list[Socket]) -> str:
    return next(_why(socket) for socket in sockets if pattern.matches(socket) is None)


def _why(socket: Socket) -> str:
    if socket.owner_status not in ("known", "inferred", "kernel", "gone") and not socket.owners:
        return f"its agent could not see who holds {local(socket)} ({socket.owner_status})"
    if socket.exposed == "unknown":
        return f"what leads to netns {socket.netns} is not known"
    return "its agent could not see all of it"
