"""`fleetnet netstat HOST`: that host's netstat(8), from here."""

import functools
from typing import Annotated

import typer

from fleetnet_cli.commands.netstat.wish import Wish, checked, families_of
from fleetnet_cli.options import ONE_HOST, Common, option, takes_common
from fleetnet_cli.output.presentation import NAMELESS

own = functools.partial(option, command="netstat")
rare = functools.partial(own, hidden=True)  # more than a screen has room for; who knows netstat(8) knows them

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
    udplite: Annotated[bool, rare("--udplite", "-U", help="Only UDP-Lite.")] = False,
    sctp: Annotated[bool, rare("--sctp", "-S", help="Only SCTP.")] = False,
    raw: Annotated[bool, own("--raw", "-w", help="Only raw sockets.")] = False,
    unix: Annotated[bool, own("--unix", "-x", help="Only UNIX sockets.")] = False,
    ipv4: Annotated[bool, own("--inet", "-4", help="Only IPv4.")] = False,
    ip: Annotated[bool, rare("--ip", "--tcpip", help="The same.")] = False,
    ipv6: Annotated[bool, own("--inet6", "-6", help="Only IPv6.")] = False,
    protocol: Annotated[list[str] | None, rare("--protocol", "-A", help="inet, inet6 or unix, with commas.")] = None,
    numeric: Annotated[bool, own("--numeric", "-n", help="Addresses, ports and users as numbers.")] = False,
    numeric_hosts: Annotated[bool, rare("--numeric-hosts", help="Addresses as numbers.")] = False,
    numeric_ports: Annotated[bool, rare("--numeric-ports", help="Ports as numbers.")] = False,
    numeric_users: Annotated[bool, rare("--numeric-users", help="Users as numbers.")] = False,
    symbolic: Annotated[bool, rare("--symbolic", "-N", help="With -r addresses as numbers.")] = False,
    programs: Annotated[bool, own("--programs", "-p", help="Which process holds the socket.")] = False,
    program: Annotated[bool, rare("--program", help="The same.")] = False,
    extend: Annotated[int, own("--extend", "-e", count=True, help="User and inode; with -r metrics, -ee all.")] = 0,
    wide: Annotated[bool, own("--wide", "-W", help="Do not cut addresses.")] = False,
    routes: Annotated[bool, own("--route", "-r", help="The routing table.")] = False,
    fib: Annotated[bool, rare("--fib", "-F", help="With -r its table, and no cache: as in any case.")] = False,
    interfaces: Annotated[bool, own("--interfaces", "-i", help="The interfaces; counters only with --live.")] = False,
    statistics: Annotated[bool, own("--statistics", "-s", help="Protocol statistics, live.")] = False,
    verbose: Annotated[bool, rare("--verbose", "-v", help="Say what could not be read: as in any case.")] = False,
    live: Annotated[bool, own("--live", help="Ask the host itself, now.")] = False,
    timers: Annotated[bool, own("--timers", help="Timers of the sockets, live.")] = False,
    netns: Annotated[str, own("--netns", metavar="NAME", help="Another network namespace of the host.")] = "",
    *,
    common: Common,
) -> int:
    """Show sockets, routes or interfaces as netstat(8) does.

    What is not kept is "-", or left out and said. The manual page has all
    options of netstat(8), docs/netstat.md what stands here for -o and -c.
    """
    del fib, verbose  # as it is in any case
    families = families_of(protocol or ())
    if routes or statistics:
        common = common.within(NAMELESS, "routes" if routes else "protocol statistics")
    wish = Wish(
        host=host.lower(),
        everything=everything,
        listening=listening,
        protocols=_those_of(
            {"tcp": tcp, "udp": udp, "udplite": udplite, "sctp": sctp, "raw": raw, "unix": unix or "unix" in families}
        ),
        families=_those_of({"ipv4": ipv4 or ip or "inet" in families, "ipv6": ipv6 or "inet6" in families}),
        numbers=_those_of(
            {
                "hosts": numeric or numeric_hosts or (routes and symbolic),
                "ports": numeric or numeric_ports,
                "users": numeric or numeric_users,
            }
        ),
        programs=programs or program,
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


def _those_of(wanted: dict[str, bool]) -> tuple[str, ...]:
    return tuple(name for name, is_wanted in wanted.items() if is_wanted)
