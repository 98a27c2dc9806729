"""`fleetnet netstat HOST`: that host's netstat(8), from here."""

import functools
from typing import Annotated

import typer

from fleetnet_cli.commands.netstat.wish import Wish, checked
from fleetnet_cli.options import ONE_HOST, Common, option, takes_common
from fleetnet_cli.output.presentation import NAMELESS

own = functools.partial(option, command="netstat")

EXAMPLES = """\b
Examples:
  fleetnet netstat web1 -tulpn
  fleetnet netstat web1 -rn --at "10m ago"
  fleetnet netstat web1 -tan --live --timers
"""


@takes_common(ONE_HOST)
def netstat(
    host: Annotated[str, typer.Argument(metavar="HOST", hidden=True)],
    everything: Annotated[bool, own("--all", "-a", help="Listening and connected; with -i those down too.")] = False,
    listening: Annotated[bool, own("--listening", "-l", help="Listening only.")] = False,
    tcp: Annotated[bool, own("--tcp", "-t", help="Only TCP.")] = False,
    udp: Annotated[bool, own("--udp", "-u", help="Only UDP.")] = False,
    raw: Annotated[bool, own("--raw", "-w", help="Only raw sockets.")] = False,
    unix: Annotated[bool, own("--unix", "-x", help="Only UNIX sockets.")] = False,
    ipv4: Annotated[bool, own("--inet", "-4", help="Only IPv4.")] = False,
    ipv6: Annotated[bool, own("--inet6", "-6", help="Only IPv6.")] = False,
    numeric: Annotated[bool, own("--numeric", "-n", help="Addresses, ports and users as numbers.")] = False,
    programs: Annotated[bool, own("--programs", "-p", help="Which process holds the socket.")] = False,
    extend: Annotated[int, own("--extend", "-e", count=True, help="User and inode; with -r metrics, -ee all.")] = 0,
    wide: Annotated[bool, own("--wide", "-W", help="Do not cut addresses; with -i the facts.")] = False,
    routes: Annotated[bool, own("--route", "-r", help="The routing table.")] = False,
    interfaces: Annotated[bool, own("--interfaces", "-i", help="The interfaces; counters only with --live.")] = False,
    statistics: Annotated[bool, own("--statistics", "-s", help="Protocol statistics, live.")] = False,
    live: Annotated[bool, own("--live", help="Ask the host itself, now.")] = False,
    timers: Annotated[bool, own("--timers", help="Timers of the sockets, live.")] = False,
    netns: Annotated[str, own("--netns", metavar="NAME", help="Another network namespace of the host.")] = "",
    *,
    common: Common,
) -> int:
    """Show sockets, routes or interfaces as netstat(8) does.

    What is not kept is "-" (RefCnt of -x, Ref of -r -6, counters) or left out (flags D, A, e of -r -6).
    """
    if routes or statistics:
        common = common.within(NAMELESS, "routes" if routes else "protocol statistics")
    wish = Wish(
        host=host.lower(),
        everything=everything,
        listening=listening,
        protocols=tuple(p for p, wanted in (("tcp", tcp), ("udp", udp), ("raw", raw), ("unix", unix)) if wanted),
        families=tuple(f for f, wanted in (("ipv4", ipv4), ("ipv6", ipv6)) if wanted),
        numeric=numeric,
        programs=programs,
        extend=extend,
        wide=wide,
        live=live or timers or statistics,
        timers=timers,
        netns=netns,
        document=common.by_item,
    )
    table = checked(wish, common, routes=routes, interfaces=interfaces, statistics=statistics, live=live)
    # Each table is loaded only where it is asked for.
    if table == "routes":
        from fleetnet_cli.commands.netstat.routes import show
    elif table == "interfaces":
        from fleetnet_cli.commands.netstat.interfaces import show
    elif table == "statistics":
        from fleetnet_cli.commands.netstat.statistics import show
    else:
        from fleetnet_cli.commands.netstat.sockets import show
    return show(wish, common)
