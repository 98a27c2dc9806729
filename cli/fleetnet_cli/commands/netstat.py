"""`fleetnet netstat HOST`: that host's netstat(8), from here."""

import functools
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from fleetnet_cli import exits
from fleetnet_cli.asking import connect, show
from fleetnet_cli.commands.who_listens import protocols
from fleetnet_cli.errors import BrokenAnswer, UnknownHost, nearest
from fleetnet_cli.options import ONE_HOST, Common, option, takes_common
from fleetnet_cli.output import coverage, sockets, terminal
from fleetnet_cli.output import netstat as layout_of
from fleetnet_cli.output.names import Names, Numeric, Symbolic
from fleetnet_cli.records import Answer, Selection, Socket, SocketQuestion
from fleetnet_cli.services import load
from fleetnet_cli.states import STATES

if TYPE_CHECKING:
    from fleetnet_cli.client import Collector

own = functools.partial(option, command="netstat")

EXAMPLES = """\b
Examples:
  fleetnet netstat web1 -tulpn
  fleetnet netstat web1 -tan --at "10m ago"
  fleetnet netstat web1 -a -o json
"""

# Without -a and -l netstat(8) leaves out what has no peer: TCP listeners and unconnected UDP.
_WITH_PEER = tuple(s for s in STATES if s not in ("LISTEN", "CLOSE"))


@takes_common(ONE_HOST)
def netstat(
    host: Annotated[str, typer.Argument(metavar="HOST", hidden=True)],
    everything: Annotated[bool, own("--all", "-a", help="Listening and connected.")] = False,
    listening: Annotated[bool, own("--listening", "-l", help="Listening only.")] = False,
    tcp: Annotated[bool, own("--tcp", "-t", help="Only TCP.")] = False,
    udp: Annotated[bool, own("--udp", "-u", help="Only UDP.")] = False,
    numeric: Annotated[bool, own("--numeric", "-n", help="Addresses and ports as numbers.")] = False,
    programs: Annotated[bool, own("--programs", "-p", help="Which process holds the socket.")] = False,
    wide: Annotated[bool, own("--wide", "-W", help="Do not cut long addresses.")] = False,
    *,
    common: Common,
) -> int:
    """Show one host's sockets in the layout of netstat(8).

    What netstat(8) has no words for (how fresh the answer is) goes to stderr.
    """
    question = SocketQuestion(
        selection=replace(common.selection, host=host),
        protocols=protocols(tcp, udp),
        states=() if everything or listening else _WITH_PEER,
        listeners_only=listening and not everything,
    )
    with connect(common) as collector:
        answer = _asked(collector, question)
        if common.output == "json":
            return show(answer, sockets.presentation(load(), "", ()), common)
        names: Names = Numeric() if numeric else Symbolic(load())
        layout = layout_of.Layout(everything, listening, programs, wide)
        return _show(answer, names, layout, common)


def _asked(collector: "Collector", question: SocketQuestion) -> Answer[Socket]:
    try:
        return collector.sockets(question)
    except UnknownHost as error:
        known = [h.host for h in collector.hosts(Selection())]
        raise UnknownHost(error.host, nearest(error.host, known)) from error


def _show(answer: Answer[Socket], names: Names, layout: layout_of.Layout, common: Common) -> int:
    table, out = _OwnNamespace(answer), terminal.of(sys.stdout)
    found = layout_of.write(table, names, layout, out, heading=not common.quiet)
    if table.broken is not None:
        raise table.broken
    if not common.quiet:
        # After the lines, not in the midst of them, where both go to one terminal.
        out.flush()
        coverage.write(
            answer,
            terminal.of(sys.stderr),
            found=found,
            nothing="no such sockets",
            asked_at=common.asked_at,
            zone_shown=False,
            glob="",
            notes=[*table.notes(), *_past(common)],
        )
    # Queues are kept as last reported and not as they were at each moment: of the past they are not an answer.
    return exits.status_of(found=found > 0, whole=answer.coverage.whole and not common.asked_at)


def _past(common: Common) -> list[str]:
    return ["Recv-Q and Send-Q are as last reported, not as they were then"] if common.asked_at else []


class _OwnNamespace:
    """The sockets that netstat(8) on the host would see; counts the others, and keeps what broke the answer off."""

    def __init__(self, answer: Answer[Socket]) -> None:
        self._answer = answer
        self._elsewhere = 0
        self._from_proc = False
        self.broken: BrokenAnswer | None = None

    def __iter__(self) -> Iterator[Socket]:
        try:
            for socket in self._answer:
                self._from_proc = self._from_proc or socket.source == "psutil"
                if socket.netns == "host":
                    yield socket
                else:
                    self._elsewhere += 1
        except BrokenAnswer as error:
            self.broken = error

    def notes(self) -> Iterator[str]:
        """What must be said beside the lines."""
        if self._from_proc:
            yield "read from /proc/net, for the host's kernel refuses diag; a socket may be missed or doubled"
        if self._elsewhere:
            more = "1 socket" if self._elsewhere == 1 else f"{self._elsewhere} sockets"
            yield f"{more} in other network namespaces not shown; -o json has them"
