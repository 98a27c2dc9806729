"""`fleetnet who-listens`: which hosts listen on a port."""

import functools
from typing import Annotated

import typer

from fleetnet_cli import times
from fleetnet_cli.asking import connect, show_sockets
from fleetnet_cli.options import SOCKETS, Common, option, takes_common
from fleetnet_cli.output import sockets
from fleetnet_cli.ports import parse_ports
from fleetnet_cli.records import SocketQuestion
from fleetnet_cli.services import load
from fleetnet_cli.targets import parse_net
from fleetnet_cli.users import parse_user

own = functools.partial(option, command="who-listens")

EXAMPLES = """\b
Examples:
  fleetnet who-listens 443
  fleetnet who-listens https 8000-8999 --tcp --exposed
  fleetnet who-listens --cidr 10.0.0.0/8 --since "1h ago"
  fleetnet who-listens 5432 --at "yesterday 14:00" -o json
"""


@takes_common(SOCKETS)
def who_listens(
    ports: Annotated[
        list[str] | None,
        typer.Argument(metavar="PORT|SERVICE|A-B ...", hidden=True),
    ] = None,
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
    *,
    common: Common,
) -> int:
    """Show who listens on a port, on which hosts.

    A port is a number, a name of /etc/services, or a range; none means any.
    """
    services = load()
    words = ports or []
    question = SocketQuestion(
        selection=common.selection,
        protocols=transports(tcp=tcp, udp=udp, raw=raw),
        local_ports=tuple(r for word in words for r in parse_ports(word, services, raw=raw)),
        listeners_only=True,
        exposed_only=exposed,
        process=process,
        unit=unit,
        user=parse_user(user),
        container=container,
        local=parse_net(cidr) if cidr else None,
        since_us=common.since_us,
    )
    nothing = "nothing began to listen" if common.since_us else "nothing listens"
    nothing += (f" on {', '.join(words)}" if words else "") + since_words(common)
    nothing += words_of(
        (" exposed" if exposed else "", f" in {cidr}" if cidr else ""),
        process=process, unit=unit, user=user, container=container, tcp=tcp, udp=udp, raw=raw,
    )  # fmt: skip
    with connect(common) as collector:
        presentation = sockets.presentation(services, nothing, sockets.listener_columns(), since=common.since_us > 0)
        return show_sockets(collector, question, presentation, common)


def words_of(  # the options that several commands have
    first: tuple[str, ...] = (),
    *,
    process: str = "",
    unit: str = "",
    user: str = "",
    container: str = "",
    **protocols: bool,
) -> str:
    """` held by "python", by tcp`: what was asked beside ports and times, so that a miss says what was missed."""
    wanted = " or ".join(name for name, is_wanted in protocols.items() if is_wanted)
    words = (
        *first,
        f' held by "{process}"' if process else "",
        f' of unit "{unit}"' if unit else "",
        f' of user "{user}"' if user else "",
        f' in container "{container}"' if container else "",
        f" by {wanted}" if wanted else "",
    )
    return ",".join(filter(None, words))


def since_words(common: Common) -> str:
    """` since 2026-03-01 12:00:00 UTC`, where a question is about that, and up to when."""
    if not common.since_us:
        return ""
    until = f" until {times.local(common.selection.at_us)}" if common.asked_at else ""
    return f" since {times.local(common.since_us)}{until} {times.zone_name()}"


def transports(**wanted: bool) -> tuple[str, ...]:
    """The protocols of these switches; without any, all that have ports."""
    return tuple(name for name, is_wanted in wanted.items() if is_wanted) or ("tcp", "udp", "udplite", "sctp")
