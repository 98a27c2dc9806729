"""`fleetnet host approve`, `host revoke`, `host forget`: who may report, and who has left. For operators."""

import sys
from typing import Annotated

import click
import typer

from fleetnet_cli import exits, times
from fleetnet_cli.asking import connect, show
from fleetnet_cli.errors import UsageError
from fleetnet_cli.options import CONNECTION, Common, option, takes_common
from fleetnet_cli.output import standings, terminal
from fleetnet_cli.records import Coverage, End, HostStanding, ReadyAnswer
from fleetnet_cli.text import visible

EXAMPLES = """\b
Examples:
  fleetnet host approve web2
  fleetnet host revoke web1
  fleetnet host forget web1 web2
  fleetnet hosts --label rack=7 -o name | xargs fleetnet host forget --yes

A host that is revoked may not report, and is silent in every answer; a new
token lets it in again. One that is forgotten is not asked any more, and its
history still answers --at a time before.
"""

_HOSTS = typer.Argument(metavar="HOST ...", show_default=False, help="Exact names.")

_SENTENCES = {
    "active": "may report",
    "pending": "waits to be approved",
    "revoked": "is revoked: nothing it reports is stored any more, and only a new token lets it in again",
    "retired": "has left the fleet: it is not asked any more, and its history answers --at a time before",
}


@takes_common(CONNECTION)
def approve(hosts: Annotated[list[str], _HOSTS], *, common: Common) -> int:
    """Let hosts in that wait for it ("token create --approve"). All of them or, where one cannot be, none."""
    with connect(common) as collector:
        return _tell(collector.approve_hosts(_names(hosts)), common)


@takes_common(CONNECTION)
def revoke(hosts: Annotated[list[str], _HOSTS], *, common: Common) -> int:
    """Keep hosts out, at once; a new token lets one in again. All of them or, where one is not known, none."""
    with connect(common) as collector:
        return _tell(collector.revoke_hosts(_names(hosts)), common)


@takes_common(CONNECTION)
def forget(
    hosts: Annotated[list[str], _HOSTS],
    yes: Annotated[bool, option("--yes", command="host-forget", help="Do not ask whether it is meant.")] = False,
    *,
    common: Common,
) -> int:
    """Have hosts leave the fleet: kept out and not asked any more. Their history stays.

    All of them or, where one is not known, none.
    """
    names = _names(hosts)
    if not yes:
        _make_sure(names)
    with connect(common) as collector:
        return _tell(collector.forget_hosts(names), common)


def _names(hosts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(host.lower() for host in hosts))


def _make_sure(names: tuple[str, ...]) -> None:
    """Raises UsageError where nobody can be asked, Abort where it is not meant."""
    what, is_ = (visible(names[0]), "is") if len(names) == 1 else (f"{len(names)} hosts", "are")
    if not sys.stdin.isatty():
        raise UsageError(f"there is nobody here to ask whether {what} {is_} to leave the fleet; give --yes if so")
    click.confirm(
        f"{what} will not be asked any more, and may not report; history stays, and a new token is the way back. "
        "Is that meant?",
        abort=True,
        err=True,
    )


def _tell(found: tuple[HostStanding, ...], common: Common) -> int:
    if common.output not in ("table", "wide"):
        answer = ReadyAnswer(Coverage(as_of_us=times.now_us()), list(found), End(len(found)))
        return show(answer, standings.presentation(), common.silenced())
    if not common.quiet:
        out = terminal.of(sys.stdout)
        for host in found:
            before = "" if host.changed else " (as before)"
            out.write(visible(f"{host.host} {_SENTENCES.get(host.status, host.status)}{before}") + "\n")
    return exits.FOUND
