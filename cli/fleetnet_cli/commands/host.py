"""`fleetnet host`: one host on one screen, and the group of what is done to hosts."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from fleetnet_cli import default_command, exits, times
from fleetnet_cli.asking import connect, show
from fleetnet_cli.options import SHEET, Common, takes_common
from fleetnet_cli.records import Coverage, End, ReadyAnswer, Selection, SocketQuestion
from fleetnet_cli.services import load

if TYPE_CHECKING:
    from fleetnet_cli.client import Collector
    from fleetnet_cli.sheet import Sheet

_LATELY_US = 24 * 3600 * times.SECOND_US
# A host is one item with much in it, for which no row has room.
FORMATS = ("table", "json", "ndjson")
# As `hosts` counts them.
_IP = ("tcp", "udp", "udplite", "sctp", "raw")

# What is no command here is the name of a host.
GROUP = {"cls": default_command.Group, "subcommand_metavar": "HOST|COMMAND"}

EXAMPLES = """\b
Examples:
  fleetnet host web1
  fleetnet host show web1 --at "yesterday 14:00"
  fleetnet host label web1 role=web
  fleetnet host revoke web1
"""


def nothing() -> None:
    """Show one host, label hosts, keep them out.

    What is no command here is the name of a host: "fleetnet host web1" is short for "fleetnet host show web1", and a
    host that is called as a command is ("label") is shown by "fleetnet host show label".
    """


@takes_common(SHEET, FORMATS)
def show_host(
    name: Annotated[str, typer.Argument(metavar="HOST", hidden=True)],
    *,
    common: Common,
) -> int:
    """Show one host: what it is, what is not seen of it, its listeners, and whom it talks to."""
    from fleetnet_cli.output import sheet as layout  # other commands do without

    with connect(common) as collector:
        sheet, coverage = gathered(collector, replace(common.selection, host=name.lower()))
        if common.output == "table":
            layout.write_head(sheet, sys.stdout, asked_at=common.asked_at)
            found = ReadyAnswer(coverage, list(sheet.listeners), End(len(sheet.listeners)))
            show(found, layout.listeners(load(), name), common)
        else:
            show(ReadyAnswer(coverage, [sheet], End(1)), layout.presentation(load()), common)
    return exits.status_of(found=True, whole=coverage.whole)


def gathered(collector: "Collector", selection: Selection) -> "tuple[Sheet, Coverage]":
    """What is known of the host that the selection names, and how far that reaches. Raises UnknownHost."""
    from fleetnet_cli.commands.netstat.asking import asked  # likewise
    from fleetnet_cli.lives import LivesQuestion
    from fleetnet_cli.network import NamespaceQuestion
    from fleetnet_cli.sheet import EVENTS, put_together

    until_us = selection.at_us or times.now_us()
    latest = SocketQuestion(replace(selection, limit=EVENTS))
    hosts = asked(collector, lambda: collector.hosts(selection))
    # All are asked before any is read: the collector finds one while another is on its way.
    namespaces = collector.namespaces(NamespaceQuestion(selection, without_routes=True))
    sockets = collector.sockets(SocketQuestion(selection, protocols=_IP))
    happened = collector.lives(LivesQuestion(latest, until_us - _LATELY_US, without_sockets=True))
    (found,) = hosts
    not_kept = (*sockets.coverage.not_kept, *namespaces.coverage.not_kept)
    return put_together(found, namespaces, sockets, happened), replace(sockets.coverage, not_kept=not_kept)
