"""`fleetnet history`: what happened on a host."""

import functools
from dataclasses import replace
from typing import Annotated

import typer

from fleetnet_cli import times
from fleetnet_cli.asking import connect, show
from fleetnet_cli.commands.who_listens import transports
from fleetnet_cli.errors import UsageError
from fleetnet_cli.options import SPAN_OF_HOST, Common, option, takes_common
from fleetnet_cli.ports import parse_ports
from fleetnet_cli.records import SocketQuestion
from fleetnet_cli.services import load
from fleetnet_cli.states import parse_state
from fleetnet_cli.targets import parse_net
from fleetnet_cli.users import parse_user

own = functools.partial(option, command="history")

_USUALLY_US = 24 * 3600 * times.SECOND_US

EXAMPLES = """\b
Examples:
  fleetnet history web1
  fleetnet history web1:443 --since "2 days ago"
  fleetnet history db1:postgresql --state CLOSE_WAIT --since yesterday --until "1h ago"
"""


@takes_common(SPAN_OF_HOST)
def history(
    host: Annotated[str, typer.Argument(metavar="HOST[:PORT|:SERVICE|:A-B]", hidden=True)],
    states: Annotated[list[str] | None, own("--state", metavar="STATE", help="Only in this (repeatable).")] = None,
    tcp: Annotated[bool, own("--tcp", help="Only TCP.")] = False,
    udp: Annotated[bool, own("--udp", help="Only UDP.")] = False,
    process: Annotated[str, own("--process", metavar="NAME", help="Held by a process of this name.")] = "",
    unit: Annotated[str, own("--unit", metavar="NAME", help="Of this systemd unit.")] = "",
    user: Annotated[str, own("--user", metavar="NAME", help="Of this user.")] = "",
    container: Annotated[str, own("--container", metavar="NAME", help="Of this container, or id from 12 digits.")] = "",
    cidr: Annotated[str | None, own("--cidr", metavar="NET", help="Whose own address lies in it.")] = None,
    *,
    common: Common,
) -> int:
    """Show what a host's sockets did, with gaps and starts of its agent.

    The latest comes first, and --limit keeps the latest. Without --since it is the last 24 hours.
    """
    from fleetnet_cli.commands.netstat.asking import asked  # other commands do without these
    from fleetnet_cli.lives import LivesQuestion
    from fleetnet_cli.output import lives

    services = load()
    name, colon, port = host.partition(":")
    name = name.lower()
    if not name or (colon and not port):
        raise UsageError(f'"{host}" is not HOST or HOST:PORT; write it as web1 or web1:443')
    until_us = common.selection.at_us or times.now_us()
    sockets = SocketQuestion(
        selection=replace(common.selection, host=name),
        states=tuple(dict.fromkeys(parse_state(state) for state in states or ())),
        protocols=transports(tcp=tcp, udp=udp),
        local_ports=parse_ports(port, services) if port else (),
        process=process,
        unit=unit,
        user=parse_user(user),
        container=container,
        local=parse_net(cidr) if cidr else None,
    )
    question = LivesQuestion(sockets, common.since_us or until_us - _USUALLY_US)
    nothing = f"nothing is known to have happened on {host} since {times.local(question.since_us)}"
    with connect(common) as collector:
        answer = asked(collector, lambda: collector.lives(question))
        return show(answer, lives.presentation(services, nothing), common)
