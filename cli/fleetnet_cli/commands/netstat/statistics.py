"""Protocol statistics: looked at now, for they are not kept."""

import sys
from collections.abc import Iterable
from dataclasses import replace

from fleetnet_cli import exits
from fleetnet_cli.asking import connect
from fleetnet_cli.asking import show as show_all
from fleetnet_cli.commands.netstat.asking import cut, inode_of, looked_at, namespaces, say, warn
from fleetnet_cli.commands.netstat.wish import Wish
from fleetnet_cli.live import LiveQuestion, Statistic
from fleetnet_cli.network import Namespace
from fleetnet_cli.options import Common
from fleetnet_cli.output import statistics, terminal
from fleetnet_cli.output.netstat import statistics as layout

# In a document, by the beginning of the group's name without the 6 of IPv6: "TcpExt" is TCP's.
_GROUPS = {"tcp": ("Tcp", "MPTcp"), "udp": ("Udp",), "udplite": ("UdpLite",), "raw": ("Ip", "Icmp")}
# Of the IPv4 file the one group that netstat(8) shows with -6: it counts for both.
_OF_BOTH = "Tcp"


def show(wish: Wish, common: Common) -> int:
    """Asks and shows; returns the exit status."""
    with connect(common) as collector:
        known: list[Namespace] = []
        if wish.netns or common.by_item:
            known, _ = namespaces(collector, replace(common.selection, host=wish.host, limit=0))
        inode = inode_of(wish, known)
        every = common.by_item and not wish.netns
        question = LiveQuestion(wish.host, statistics=True, netns=None if every else inode)
        look = looked_at(collector, question, kept=False)
        wanted = [s for s in look if isinstance(s, Statistic) and (every or s.netns == inode)]
    if common.by_item:
        place = statistics.Place(wish.host, {n.inode: n.netns for n in known} | {0: "host"})
        answer = cut(list(_of_document(wanted, wish)), look.coverage, common.selection.limit)
        status = show_all(answer, statistics.presentation(place), common)
        warn(look.troubles, common)
    else:
        found = layout.write(of_table(wanted, wish), wish.protocols, terminal.of(sys.stdout))
        say(look, common, found, "no such statistics", look.troubles)
        status = exits.status_of(found > 0, look.coverage.whole)
    return exits.PARTIAL if look.troubles else status


def _of_document(items: Iterable[Statistic], wish: Wish) -> Iterable[Statistic]:
    groups = tuple(g for p in wish.protocols for g in _GROUPS.get(p, ()))
    for one in items:
        family = "ipv6" if "6" in one.group else "ipv4"
        if wish.of_family(family) and (not wish.protocols or one.group.startswith(groups)):
            yield one


def of_table(items: Iterable[Statistic], wish: Wish) -> list[Statistic]:
    """Those of the files that netstat(8) reads, in the order in which it reads them."""
    if wish.families != ("ipv6",):
        return [one for one in items if "6" not in one.group]
    kept = [one for one in items if "6" in one.group or one.group == _OF_BOTH]
    return sorted(kept, key=lambda one: one.group == _OF_BOTH)
