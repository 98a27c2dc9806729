"""`fleetnet who-talks-to`: whose sockets have an address, a net or a host at their other end."""

import functools
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from fleetnet_cli import exits
from fleetnet_cli.asking import connect, show, show_sockets
from fleetnet_cli.commands.who_listens import since_words, transports, words_of
from fleetnet_cli.counting import BY, Began, count, cut, parse_by
from fleetnet_cli.errors import NotKept
from fleetnet_cli.options import SOCKETS, Common, option, takes_common
from fleetnet_cli.output import counts, sockets, terminal
from fleetnet_cli.records import SocketQuestion
from fleetnet_cli.services import load
from fleetnet_cli.states import parse_state
from fleetnet_cli.targets import parse_net, parse_target, read_with_port
from fleetnet_cli.text import visible
from fleetnet_cli.users import parse_user

if TYPE_CHECKING:
    from fleetnet_cli.addresses import StandIns
    from fleetnet_cli.client import Collector

own = functools.partial(option, command="who-talks-to")

EXAMPLES = """\b
Examples:
  fleetnet who-talks-to 10.0.0.5:5432
  fleetnet who-talks-to db1 --by host --at "yesterday 14:00"
  fleetnet who-talks-to 10.0.0.0/8:https,8443 --since "1h ago"
  fleetnet who-talks-to "[2001:db8::1]:443" --process nginx -o json
"""

_SOCKET = "socket"
_ADDRESSES_NAMED = 3


@takes_common(SOCKETS)
def who_talks_to(
    target: Annotated[str, typer.Argument(metavar="ADDRESS[:PORT]|NET[:PORT]|HOST[:PORT]", hidden=True)],
    by: Annotated[
        list[str] | None,
        own("--by", metavar="BY", help="Count by host, process or remote (tables: by all), or show each socket."),
    ] = None,
    state: Annotated[
        list[str] | None, own("--state", metavar="STATE", help="Only in this state; several times: or.")
    ] = None,
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
    """Show whose sockets have this other end: an address, a net or a host.

    For a HOST stand its own addresses, not loopback, link-local or such as other hosts have too.
    IPv4 and IPv4-mapped addresses are the same. ":25" is a port of any address.
    """
    wanted = parse_target(target, load())
    grouped = _grouped(by, common)
    states = tuple(dict.fromkeys(parse_state(s) for s in state or ()))
    question = SocketQuestion(
        selection=replace(common.selection, limit=0) if grouped else common.selection,
        states=states,
        protocols=transports(tcp=tcp, udp=udp) if tcp or udp else (),
        process=process,
        unit=unit,
        user=parse_user(user),
        container=container,
        local=parse_net(cidr) if cidr else None,
        remotes=(wanted.net,) if wanted.net else (),
        remote_ports=wanted.ports,
        since_us=common.since_us,
    )
    nothing = f"nobody {'began to talk' if common.since_us else 'talks'} to {target}{since_words(common)}"
    nothing += words_of(
        (f" in {' or '.join(states)}" if states else "", f" from {cidr}" if cidr else ""),
        process=process, unit=unit, user=user, container=container, tcp=tcp, udp=udp,
    )  # fmt: skip
    if with_port := read_with_port(target):
        nothing += f" (one address; for a port write {with_port})"
    with connect(common) as collector:
        if not wanted.host:
            return _answer(collector, question, grouped, nothing, common)
        known = _stand_ins(collector, wanted.host, common)
        question = replace(question, remotes=known.nets)
        if common.watching:  # which has no end to say it at
            _say_reservations(known, common)
        status = _answer(collector, question, grouped, f"{nothing} ({_named(known.addresses)})", common)
    _say_reservations(known, common)
    return status if known.whole else exits.PARTIAL


def _say_reservations(known: "StandIns", common: Common) -> None:
    if not common.quiet:
        err = terminal.of(sys.stderr)
        for sentence in known.reservations():
            err.write(visible(sentence) + "\n")


def _answer(
    collector: "Collector", question: SocketQuestion, grouped: tuple[str, ...], nothing: str, common: Common
) -> int:
    if grouped:
        common.only_answers("--by")
        answer = collector.sockets(question)
        began = Began(answer)
        counted = count(began if common.since_us else answer, grouped, 1)
        limited = cut(counted, answer.coverage, common.selection.limit)
        return show(limited, counts.presentation(grouped, nothing, began.there_before), common)
    presentation = sockets.presentation(load(), nothing, sockets.connection_columns(), since=common.since_us > 0)
    return show_sockets(collector, question, presentation, common)


def _grouped(by: list[str] | None, common: Common) -> tuple[str, ...]:
    """What to count by; nothing where each socket is to be shown."""
    if not by:
        return BY if common.output == "table" and not common.watching else ()
    words = parse_by(",".join(by), (*BY, _SOCKET))
    return () if _SOCKET in words else words


def _stand_ins(collector: "Collector", host: str, common: Common) -> "StandIns":
    from fleetnet_cli.addresses import standing_for  # only where a host is named

    known = standing_for(collector, host, common.selection.at_us, common.selection.max_age_ms)
    if not known.addresses:
        when = "then" if common.asked_at else "yet"
        why = f"other hosts have {_named(known.shared)} too" if known.shared else f"no address of it was known {when}"
        raise NotKept(f"who talks to {host} cannot be told, for {why}; name an address instead")
    return known


def _named(addresses: tuple[str, ...]) -> str:
    more = len(addresses) - _ADDRESSES_NAMED
    return ", ".join(addresses[:_ADDRESSES_NAMED]) + (f", +{more}" if more > 0 else "")
