"""`fleetnet diff`: what began or stopped listening between two times."""

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from fleetnet_cli import exits
from fleetnet_cli.asking import connect, show
from fleetnet_cli.commands.who_listens import transports, words_of
from fleetnet_cli.differences import Difference, Doubt, between
from fleetnet_cli.errors import UsageError
from fleetnet_cli.options import SPAN, Common, option, takes_common
from fleetnet_cli.output import differences
from fleetnet_cli.ports import parse_ports
from fleetnet_cli.records import Answer, Coverage, End, Selection, Socket, SocketQuestion, StaleHost
from fleetnet_cli.services import load
from fleetnet_cli.targets import parse_net
from fleetnet_cli.users import parse_user

if TYPE_CHECKING:
    from fleetnet_cli.client import Collector

own = functools.partial(option, command="diff")

# net.ipv4.ip_local_port_range as the kernel has it (Documentation/networking/ip-sysctl.rst).
_FIRST_EPHEMERAL, _LAST_EPHEMERAL = 32768, 60999

EXAMPLES = """\b
Examples:
  fleetnet diff --since yesterday
  fleetnet diff 443 --since "2h ago" --host "web*"
  fleetnet diff --since "2026-03-01 22:00" --until "2026-03-02 06:00" -q
"""


@takes_common(SPAN)
def diff(
    ports: Annotated[list[str] | None, typer.Argument(metavar="PORT|SERVICE|A-B ...", hidden=True)] = None,
    tcp: Annotated[bool, own("--tcp", help="Only TCP.")] = False,
    udp: Annotated[bool, own("--udp", help="Only UDP.")] = False,
    raw: Annotated[bool, own("--raw", help="Only raw sockets; their port is the protocol's number.")] = False,
    exposed: Annotated[bool, own("--exposed", help="Not those bound to loopback alone.")] = False,
    process: Annotated[str, own("--process", metavar="NAME", help="Held by a process of this name.")] = "",
    unit: Annotated[str, own("--unit", metavar="NAME", help="Of this systemd unit.")] = "",
    user: Annotated[str, own("--user", metavar="NAME", help="Of this user.")] = "",
    container: Annotated[str, own("--container", metavar="NAME", help="Of this container, or id from 12 digits.")] = "",
    cidr: Annotated[
        str | None,
        own(
            "--cidr", metavar="NET", help="On an address in it, or on every address of its family: reachable there too."
        ),
    ] = None,
    ephemeral: Annotated[bool, own("--ephemeral", help="Also UDP on ports that the kernel hands out.")] = False,
    *,
    common: Common,
) -> int:
    """Show what began or stopped listening between two times.

    + began, - stopped, ~ another program, ? not known then. A service that was started again is the same.

    Exit status: 0 the same, 1 different, 3 not everything is known.
    """
    if not common.since_us:
        raise UsageError('say since when, as in: fleetnet diff --since "2h ago"')
    services = load()
    words = ports or []
    question = SocketQuestion(
        selection=replace(common.selection, limit=0),  # the limit is one of differences
        protocols=transports(tcp=tcp, udp=udp, raw=raw),
        local_ports=tuple(r for word in words for r in parse_ports(word, services, raw=raw)),
        listeners_only=True,
        exposed_only=exposed,
        process=process,
        unit=unit,
        user=parse_user(user),
        container=container,
        local=parse_net(cidr) if cidr else None,
    )
    nothing = "the same listens" + (f" on {', '.join(words)}" if words else "")
    nothing += words_of(
        (" exposed" if exposed else "", f" in {cidr}" if cidr else ""),
        process=process, unit=unit, user=user, container=container, tcp=tcp, udp=udp, raw=raw,
    )  # fmt: skip
    with connect(common) as collector:
        answer = Comparison(collector, question, common, ephemeral=ephemeral or bool(words))
        return exits.of_comparison(show(answer, differences.presentation(services, nothing), common))


class Comparison(Answer[Difference]):
    """Two answers about the same at two times, as one about what differs."""

    def __init__(self, collector: "Collector", question: SocketQuestion, common: Common, *, ephemeral: bool) -> None:
        earlier = replace(question, selection=replace(question.selection, at_us=common.since_us))
        self._limit = common.selection.limit
        self._ephemeral = ephemeral
        self._before = collector.sockets(earlier)
        self._after = collector.sockets(question)
        self._then = _Known(collector, self._before.coverage, earlier.selection)
        self._now = _Known(collector, self._after.coverage, question.selection)
        later = self._then.add_later(self._now)
        self._coverage = replace(self._after.coverage, since=later)
        self._end: End | None = None

    @property
    def coverage(self) -> Coverage:
        """That of the later time, which has that of the earlier one."""
        return self._coverage

    @property
    def end(self) -> End | None:
        """None until every difference has been taken."""
        return self._end

    def __iter__(self) -> Iterator[Difference]:
        """The differences, once; raises BrokenAnswer where one of the answers breaks off."""
        found = 0
        before, after = filter(self._is_meant, self._before), filter(self._is_meant, self._after)
        for difference in between(before, after, self._doubts):
            if self._limit and found == self._limit:
                self._end = End(found, truncated=True)
                return
            found += 1
            yield difference
        self._end = End(found)

    def _is_meant(self, socket: Socket) -> bool:
        passing = socket.protocol == "udp" and _FIRST_EPHEMERAL <= socket.local_port <= _LAST_EPHEMERAL
        return self._ephemeral or not passing

    def _doubts(self, host: str, was: bool, is_now: bool) -> tuple[Doubt, ...]:
        told = (self._then.doubt(host, found=was), self._now.doubt(host, found=is_now))
        return tuple(doubt for doubt in told if doubt is not None)


class _Known:
    """What is known of each host at one time."""

    def __init__(self, collector: "Collector", coverage: Coverage, selection: Selection) -> None:
        self._collector = collector
        self._coverage = coverage
        self._selection = selection
        self._stale = {stale.host: stale.last_seen_us for stale in coverage.hosts_stale}
        self._later: set[str] = set()
        self._gaps: tuple[str, int] = ("", 0)  # of the host that was asked about last

    def add_later(self, other: "_Known") -> Coverage:
        """The coverage with those hosts among the stale ones that enrolled between this time and the other."""
        theirs = other._coverage
        if theirs.hosts_asked == self._coverage.hosts_asked:
            return self._coverage
        of_now = replace(self._selection, at_us=0)
        self._later = {
            host.host
            for host in self._collector.hosts(of_now)
            if self._coverage.as_of_us < host.enrolled_at_us <= theirs.as_of_us
        }
        stale = [*self._coverage.hosts_stale, *(StaleHost(host, 0) for host in self._later)]
        return replace(
            self._coverage,
            hosts_asked=self._coverage.hosts_asked + len(self._later),
            hosts_stale=tuple(sorted(stale, key=lambda stale: stale.host.encode())),
            # What matches none of those matched none then, either.
            unmatched_globs=tuple(glob for glob in self._coverage.unmatched_globs if glob in theirs.unmatched_globs),
        )

    def doubt(self, host: str, *, found: bool) -> Doubt | None:
        """Why it is not known what the host had then; None where it is. What was found is true, whatever is no longer
        kept beside it."""
        at_us = self._coverage.as_of_us
        if host in self._later:
            return Doubt(at_us, "not-enrolled")
        if host in self._stale:
            heard_us = self._stale[host]
            return Doubt(at_us, "silent", heard_us) if heard_us else Doubt(at_us, "never-heard")
        if self._coverage.not_kept and not found:
            return Doubt(at_us, "not-kept")
        return Doubt(at_us, "gap") if self._coverage.gaps and self._has_gap(host) else None

    def _has_gap(self, host: str) -> bool:
        # Coverage counts the gaps of all hosts; of the few that differ each is asked about.
        if self._gaps[0] != host:
            asked = replace(self._selection, host_globs=(), labels=(), host=host)
            answer = self._collector.hosts(asked)
            for _ in answer:
                pass
            self._gaps = (host, answer.coverage.gaps)
        return self._gaps[1] > 0
