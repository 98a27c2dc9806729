"""Interfaces: their facts from history, and with --live what they have counted."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetnet_cli import exits
from fleetnet_cli.asking import connect
from fleetnet_cli.asking import show as show_all
from fleetnet_cli.commands.netstat.asking import cut, inode_of, looked_at, namespaces, say, unread, warn
from fleetnet_cli.commands.netstat.wish import Wish
from fleetnet_cli.live import InterfaceCounters, LiveQuestion
from fleetnet_cli.network import Interface, InterfaceItem, Namespace
from fleetnet_cli.options import Common
from fleetnet_cli.output import interfaces, terminal
from fleetnet_cli.output.netstat import interfaces as layout
from fleetnet_cli.records import Coverage, ReadyAnswer

if TYPE_CHECKING:
    from fleetnet_cli.client import Collector


def show(wish: Wish, common: Common) -> int:
    """Asks and shows; returns the exit status."""
    with connect(common) as collector:
        selection = replace(common.selection, host=wish.host, limit=0)
        known, coverage = namespaces(collector, selection, interfaces=True)
        inode = inode_of(wish, known)
        every = common.by_item and not wish.netns
        asked = [n for n in known if every or n.inode == inode]
        items, notes = [InterfaceItem(n, i) for n in asked for i in n.interfaces], unread(asked)
        if wish.live:
            items, coverage, notes = _counted(collector, wish, items, asked)
    status = _show(items, coverage, notes, wish, common)
    return exits.PARTIAL if notes and status in (exits.FOUND, exits.NOTHING) else status


def _counted(
    collector: "Collector", wish: Wish, items: list[InterfaceItem], asked: list[Namespace]
) -> tuple[list[InterfaceItem], Coverage, list[str]]:
    """The interfaces that are there now, with their counters and with the facts that history has of them."""
    inside = {n.inode: n for n in asked}
    if wish.netns in ("", "host"):
        # A host that has told nothing of its namespaces yet can be looked at all the same.
        inside.setdefault(0, Namespace(wish.host, "host", 0))
    only = next(iter(inside)) if len(inside) == 1 else None
    look = looked_at(collector, LiveQuestion(wish.host, interfaces=True, netns=only), kept=True)
    facts = {(i.namespace.inode, i.interface.name): i for i in items}
    counted = [
        _with_counters(facts.get((one.netns, one.name)), inside[one.netns], one)
        for one in look
        if isinstance(one, InterfaceCounters) and one.netns in inside
    ]
    return counted, look.coverage, look.troubles


def _with_counters(known: InterfaceItem | None, inside: Namespace, now: InterfaceCounters) -> InterfaceItem:
    # One that history does not have yet has nothing but what the look itself says.
    facts = known.interface if known else Interface(0, now.name, 0, "", 0, 0, 0, "", 0, (), 0, "", None, "")
    return InterfaceItem(inside, replace(facts, mtu=now.mtu, flags=now.flags), dict(now.counters))


def _show(items: list[InterfaceItem], coverage: Coverage, notes: list[str], wish: Wish, common: Common) -> int:
    if common.by_item:
        status = show_all(cut(items, coverage, common.selection.limit), interfaces.presentation(), common)
        warn(notes, common)
        return status
    found = layout.write(items, wish.everything, terminal.of(sys.stdout), heading=not common.quiet)
    if not wish.live:
        notes = [*notes, "counters are not kept; --live shows those of now"]
    say(ReadyAnswer[object](coverage), common, found, "no such interfaces", notes)
    # Of the past the counters are not an answer; of now they only had to be asked for.
    return exits.status_of(found > 0, coverage.whole and not common.asked_at)
