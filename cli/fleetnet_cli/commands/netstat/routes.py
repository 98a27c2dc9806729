"""Routes, from history: those of IPv4 as netstat(8) does, with -6 those of IPv6; JSON has both."""

import sys
from dataclasses import replace

from fleetnet_cli import exits
from fleetnet_cli.asking import connect
from fleetnet_cli.asking import show as show_all
from fleetnet_cli.commands.netstat.asking import cut, inode_of, namespaces, say, unread, warn
from fleetnet_cli.commands.netstat.wish import Wish
from fleetnet_cli.network import Namespace, RouteItem
from fleetnet_cli.options import Common
from fleetnet_cli.output import routes, terminal
from fleetnet_cli.output.names import but_for
from fleetnet_cli.output.netstat import routes as layout
from fleetnet_cli.records import ReadyAnswer


def show(wish: Wish, common: Common) -> int:
    """Asks and shows; returns the exit status."""
    selection = replace(common.selection, host=wish.host, limit=0)
    with connect(common) as collector:
        # The lines of IPv6's local table are told from the interfaces.
        known, coverage = namespaces(collector, selection, interfaces=True, routes=True)
    inode = inode_of(wish, known)
    if common.by_item:
        asked = [n for n in known if not wish.netns or n.inode == inode]
        items = [RouteItem(n, r) for n in asked for r in n.routes if wish.of_family(r.family)]
        status = show_all(cut(items, coverage, common.selection.limit), routes.presentation(), common)
    else:
        asked = [n for n in known if n.inode == inode]
        found = _write(asked, wish, common)
        answer: ReadyAnswer[object] = ReadyAnswer(coverage)
        say(answer, common, found, "no such routes", unread(asked))
        status = exits.status_of(found > 0, coverage.whole)
    if common.by_item:
        warn(unread(asked), common)
    return exits.PARTIAL if unread(asked) else status


def _write(asked: list[Namespace], wish: Wish, common: Common) -> int:
    out, heading, names = terminal.of(sys.stdout), not common.quiet, but_for(wish.numbers)
    every = [r for n in asked for r in n.routes]
    found = 0
    if "ipv4" in wish.families or not wish.families:
        found += layout.write_ipv4(every, names, wish.extend, out, heading=heading)
    if "ipv6" in wish.families:
        interfaces = [i for n in asked for i in n.interfaces]
        found += layout.write_ipv6(every, interfaces, names, out, heading=heading)
    return found
