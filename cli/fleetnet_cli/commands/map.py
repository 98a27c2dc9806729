"""`fleetnet map`: who talks to whom."""

import functools
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from fleetnet_cli import exits
from fleetnet_cli.asking import connect, say, show
from fleetnet_cli.commands.who_listens import words_of
from fleetnet_cli.errors import UsageError, suggestion
from fleetnet_cli.options import QUESTION, Common, option, takes_common
from fleetnet_cli.output.presentation import NAMELESS, OF_MAP
from fleetnet_cli.ports import parse_ports
from fleetnet_cli.records import End, ReadyAnswer
from fleetnet_cli.services import load

if TYPE_CHECKING:
    from fleetnet_cli.edges.records import Edge

own = functools.partial(option, command="map")

FORMATS = (*NAMELESS, *OF_MAP)
_GLOB = re.compile(r"[*?\[]")  # what makes a pattern of a name

EXAMPLES = """\b
Examples:
  fleetnet map
  fleetnet map db1 "web*" --port postgresql
  fleetnet map --process nginx --at "yesterday 14:00"
  fleetnet map --external none -o dot | dot -Tsvg > map.svg
"""


@takes_common(QUESTION, FORMATS)
def map_(
    hosts: Annotated[list[str] | None, typer.Argument(metavar="HOST|GLOB ...", hidden=True)] = None,
    port: Annotated[
        list[str] | None, own("--port", metavar="P", help="Only where this is served; several times: or.")
    ] = None,
    tcp: Annotated[bool, own("--tcp", help="Only TCP.")] = False,
    udp: Annotated[bool, own("--udp", help="Only UDP.")] = False,
    process: Annotated[str, own("--process", metavar="NAME", help="One end is a process of this name.")] = "",
    unit: Annotated[str, own("--unit", metavar="NAME", help="One end is of this systemd unit.")] = "",
    external: Annotated[
        str,
        own(
            "--external",
            metavar="each|servers|none",
            help="Ends outside the fleet: each, or those who come from there as one (default servers), or none.",
        ),
    ] = "servers",
    *,
    common: Common,
) -> int:
    """Show who talks to whom: which program on which host is at each end.

    With a HOST, one end is on it. What cannot be told is said and never guessed.
    """
    from fleetnet_cli.edges import questions, wanted  # other commands do without these
    from fleetnet_cli.output import edges

    if external not in wanted.EXTERNAL:
        guess = suggestion(external, list(wanted.EXTERNAL))
        raise UsageError(f"--external {external}: it is each, servers or none{guess}")
    services = load()
    named = tuple(host.lower() for host in hosts or ())
    common = _of_hosts(common, named)
    ports = tuple(ranges for word in port or () for ranges in parse_ports(word, services))
    question = questions.MapQuestion(
        selection=replace(common.selection, limit=0),
        named=frozenset(name for name in named if not _GLOB.search(name)),
        protocols=tuple(name for name, asked in (("tcp", tcp), ("udp", udp)) if asked or not (tcp or udp)),
        wanted=wanted.Wanted(process=process, unit=unit, ports=ports, external=external),
    )
    nothing = f"nobody talks to {', '.join(port)}" if port else "nobody talks"
    nothing += words_of(process=process, unit=unit, tcp=tcp, udp=udp)
    with connect(common) as collector:
        drawn = questions.ask(collector, question)
    kept = drawn.edges[: common.selection.limit or None]
    answer = ReadyAnswer(drawn.coverage, kept, End(len(kept), truncated=len(kept) < len(drawn.edges)))
    if common.output in OF_MAP:
        status = _draw(answer, nothing, common)
    else:
        status = show(answer, edges.presentation(services, nothing), common)
    doubtful = any(end.is_doubtful for edge in kept for end in (edge.client, edge.server))
    return exits.PARTIAL if doubtful else status


def _of_hosts(common: Common, named: tuple[str, ...]) -> Common:
    """The hosts named are those of --host as well."""
    both = tuple(dict.fromkeys((*common.selection.host_globs, *named)))
    return replace(common, selection=replace(common.selection, host_globs=both))


def _draw(answer: "ReadyAnswer[Edge]", nothing: str, common: Common) -> int:
    from fleetnet_cli.output import coverage, dot, graph, mermaid, terminal

    reach = coverage.sentences(
        answer.coverage, answer.end, asked_at=common.asked_at, with_zone=True, asked=common.selection
    )
    drawn = graph.of(answer, load())
    terminal.of(sys.stdout).write((dot if common.output == "dot" else mermaid).write(drawn, reach))
    if not common.quiet:
        say(answer, common, found=len(answer.items), nothing=nothing, notes=[])
    return exits.status_of(found=bool(answer.items), whole=answer.coverage.whole)
