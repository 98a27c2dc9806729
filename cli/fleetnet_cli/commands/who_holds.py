"""`fleetnet who-holds`: who has sockets in a state, and how many."""

import functools
from dataclasses import replace
from typing import Annotated

import typer

from fleetnet_cli.asking import connect, show, show_sockets
from fleetnet_cli.commands.who_listens import since_words, transports, words_of
from fleetnet_cli.counting import Began, count, cut, parse_by
from fleetnet_cli.errors import UsageError
from fleetnet_cli.options import SOCKETS, Common, option, takes_common
from fleetnet_cli.output import counts, sockets
from fleetnet_cli.ports import parse_ports
from fleetnet_cli.records import SocketQuestion
from fleetnet_cli.services import load
from fleetnet_cli.states import parse_state
from fleetnet_cli.targets import Target, parse_net, parse_target
from fleetnet_cli.users import parse_user

own = functools.partial(option, command="who-holds")

EXAMPLES = """\b
Examples:
  fleetnet who-holds CLOSE_WAIT
  fleetnet who-holds close-wait --by process --min 100
  fleetnet who-holds ESTAB --remote 10.0.0.0/8:5432 --by host,remote
  fleetnet who-holds SYN-SENT TIME-WAIT --host "web*" -o json
"""


@takes_common(SOCKETS)
def who_holds(
    states: Annotated[
        list[str],
        typer.Argument(metavar="STATE ...", hidden=True),
    ],
    by: Annotated[
        list[str] | None, own("--by", metavar="host|process|remote", help="Count by these instead of listing.")
    ] = None,
    at_least: Annotated[
        int | None, own("--min", metavar="N", min=1, help="Only counts of N and up (alone: by host).")
    ] = None,
    tcp: Annotated[bool, own("--tcp", help="Only TCP.")] = False,
    udp: Annotated[bool, own("--udp", help="Only UDP.")] = False,
    raw: Annotated[bool, own("--raw", help="Only raw sockets.")] = False,
    unix: Annotated[bool, own("--unix", help="Only UNIX sockets.")] = False,
    port: Annotated[
        list[str] | None, own("--port", metavar="P", help="Only this local port, name or range (repeatable).")
    ] = None,
    remote: Annotated[
        str | None, own("--remote", metavar="NET[:PORT]", help="Only with this address or net at the other end.")
    ] = None,
    process: Annotated[str, own("--process", metavar="NAME", help="Held by a process of this name.")] = "",
    unit: Annotated[str, own("--unit", metavar="NAME", help="Of this systemd unit.")] = "",
    user: Annotated[str, own("--user", metavar="NAME", help="Of this user.")] = "",
    container: Annotated[str, own("--container", metavar="NAME", help="Of this container, or id from 12 digits.")] = "",
    cidr: Annotated[str | None, own("--cidr", metavar="NET", help="Whose own address lies in it.")] = None,
    *,
    common: Common,
) -> int:
    """Show who holds sockets in a state.

    States are spelled as netstat or ss does: CLOSE_WAIT, close-wait, estab.
    """
    services = load()
    counted_by = parse_by(",".join(by)) if by else ("host",) if at_least else ()
    other_end = parse_target(remote, services, hosts=False) if remote else Target()
    if other_end.host:
        raise UsageError(f'--remote {remote}: an address or a net is meant; "fleetnet who-talks-to" knows hosts')
    wanted = tuple(dict.fromkeys(parse_state(s) for s in states))
    question = SocketQuestion(
        selection=common.selection,
        states=wanted,
        protocols=transports(tcp=tcp, udp=udp, raw=raw, unix=unix),
        local_ports=tuple(r for word in port or () for r in parse_ports(word, services, raw=raw)),
        remotes=(other_end.net,) if other_end.net else (),
        remote_ports=other_end.ports,
        process=process,
        unit=unit,
        user=parse_user(user),
        container=container,
        local=parse_net(cidr) if cidr else None,
        since_us=common.since_us,
    )
    on_ports = (f" on port {', '.join(port)}" if port else "") + (f" to {remote}" if remote else "")
    on_ports += words_of(
        (f" in {cidr}" if cidr else "",),
        process=process, unit=unit, user=user, container=container, tcp=tcp, udp=udp, raw=raw, unix=unix,
    )  # fmt: skip
    nothing = f"nobody holds a socket in {' or '.join(wanted)}{on_ports}{since_words(common)}"
    if not counted_by:
        with connect(common) as collector:
            presentation = sockets.presentation(
                services, nothing, sockets.connection_columns(), since=common.since_us > 0
            )
            return show_sockets(collector, question, presentation, common)
    common.only_answers("--by" if by else "--min")
    # The limit is one of counts, not of the sockets that are counted.
    question = replace(question, selection=replace(common.selection, limit=0))
    with connect(common) as collector:
        answer = collector.sockets(question)
        began = Began(answer)
        counted = count(began if common.since_us else answer, counted_by, at_least or 1)
        if at_least:
            nothing = f"nobody holds {at_least} or more sockets in {' or '.join(wanted)}{on_ports}{since_words(common)}"
        limited = cut(counted, answer.coverage, common.selection.limit)
        return show(limited, counts.presentation(counted_by, nothing, began.there_before), common)
