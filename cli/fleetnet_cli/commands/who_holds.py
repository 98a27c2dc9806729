"""`fleetnet who-holds`: who has sockets in a state, and how many."""

import functools
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated

import typer

from fleetnet_cli.asking import connect, show
from fleetnet_cli.commands.who_listens import transports
from fleetnet_cli.errors import UsageError, suggestion
from fleetnet_cli.options import QUESTION, Common, option, takes_common
from fleetnet_cli.output import counts, sockets
from fleetnet_cli.ports import parse_ports
from fleetnet_cli.records import Answer, Count, Coverage, End, ReadyAnswer, Socket, SocketQuestion
from fleetnet_cli.services import load
from fleetnet_cli.states import parse_state

own = functools.partial(option, command="who-holds")

EXAMPLES = """\b
Examples:
  fleetnet who-holds CLOSE_WAIT
  fleetnet who-holds close-wait --by process --min 100
  fleetnet who-holds SYN-SENT TIME-WAIT --host "web*" -o json
"""

_BY = ["host", "process"]


@takes_common(QUESTION)
def who_holds(
    states: Annotated[
        list[str],
        typer.Argument(metavar="STATE ...", hidden=True),
    ],
    by: Annotated[str | None, own("--by", metavar="host|process", help="Count instead of listing.")] = None,
    at_least: Annotated[
        int | None, own("--min", metavar="N", min=1, help="Only counts of N and more (alone: by host).")
    ] = None,
    tcp: Annotated[bool, own("--tcp", help="Only TCP.")] = False,
    udp: Annotated[bool, own("--udp", help="Only UDP.")] = False,
    raw: Annotated[bool, own("--raw", help="Only raw sockets.")] = False,
    unix: Annotated[bool, own("--unix", help="Only UNIX sockets.")] = False,
    port: Annotated[str | None, own("--port", metavar="P", help="Only this local port, service or range.")] = None,
    *,
    common: Common,
) -> int:
    """Show who holds sockets in a state.

    States are spelled as netstat or ss does, in any case: CLOSE_WAIT, close-wait, estab.
    """
    services = load()
    if by is not None and by not in _BY:
        raise UsageError(f"--by {by}: count by {' or '.join(_BY)}{suggestion(by, _BY)}")
    wanted = tuple(dict.fromkeys(parse_state(s) for s in states))
    question = SocketQuestion(
        selection=common.selection,
        states=wanted,
        protocols=transports(tcp=tcp, udp=udp, raw=raw, unix=unix),
        local_ports=parse_ports(port, services, raw=raw) if port else (),
    )
    nothing = f"nobody holds a socket in {' or '.join(wanted)}" + (f" on port {port}" if port else "")
    if by is None and at_least is None:
        with connect(common) as collector:
            presentation = sockets.presentation(services, nothing, sockets.connection_columns())
            return show(collector.sockets(question), presentation, common)
    # The limit is one of counts, not of the sockets that are counted.
    question = replace(question, selection=replace(common.selection, limit=0))
    with connect(common) as collector:
        answer = collector.sockets(question)
        counted = count(answer, by or "host", at_least or 1)
        if at_least:
            nothing = f"nobody holds {at_least} or more sockets in {' or '.join(wanted)}"
        limited = cut(counted, answer.coverage, common.selection.limit)
        return show(limited, counts.presentation(by or "host", nothing), common)


def count(answer: Iterable[Socket], by: str, at_least: int) -> list[Count]:
    """Counts, the highest first, then by name. A socket that several processes share counts once for each name."""
    sockets_of: Counter[str] = Counter()
    hosts_of: dict[str, set[str]] = {}
    for socket in answer:
        for name in {socket.host} if by == "host" else {o.name for o in socket.owners} or {""}:
            sockets_of[name] += 1
            hosts_of.setdefault(name, set()).add(socket.host)
    kept = [Count(by, name, n, len(hosts_of[name])) for name, n in sockets_of.items() if n >= at_least]
    return sorted(kept, key=lambda c: (-c.count, c.name))


def cut(counted: list[Count], coverage: Coverage, limit: int) -> Answer[Count]:
    """The first `limit` counts as an answer that says whether it was cut; 0 means all."""
    kept = counted[:limit] if limit else counted
    return ReadyAnswer(coverage, kept, End(len(kept), truncated=len(kept) < len(counted)))
