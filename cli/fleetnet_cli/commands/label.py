"""`fleetnet host label`: what hosts are called, beside their names."""

import sys
from typing import Annotated

import typer

from fleetnet_cli import exits, times
from fleetnet_cli.asking import connect, show
from fleetnet_cli.errors import UsageError
from fleetnet_cli.labels import listed, parse_wish
from fleetnet_cli.options import CONNECTION, Common, takes_common
from fleetnet_cli.output import labelled, terminal
from fleetnet_cli.records import Coverage, End, LabelledHost, ReadyAnswer
from fleetnet_cli.text import visible

EXAMPLES = """\b
Examples:
  fleetnet host label web1 role=web env=prod
  fleetnet host label web1 web2 env-
  fleetnet host label --host "web*" role=web
  fleetnet who-listens 5432 -o name | xargs -r fleetnet host label role=db

Any question is then asked of some hosts with --label role=web.
"""

_OPTIONS = (CONNECTION[0], "host", *CONNECTION[1:])


@takes_common(_OPTIONS)
def label(
    words: Annotated[list[str], typer.Argument(metavar="HOST|KEY=VALUE|KEY- ...", hidden=True)],
    *,
    common: Common,
) -> int:
    """Give hosts labels (KEY=VALUE), or take them (KEY-).

    Hosts are named, in any order with the labels, or meant by --host. All of them are labelled or, where one
    is not known or a pattern matches none, none is. A key has one value: a new one takes the place of the old.
    """
    wish = parse_wish(words)
    globs = common.selection.host_globs
    if not (wish.given or wish.taken):
        raise UsageError(f"say which labels, as in: fleetnet host label {words[0]} role=web")
    if wish.hosts and globs:
        raise UsageError(f'"{wish.hosts[0]}" is named beside --host; name the hosts, or mean them by --host alone')
    if not (wish.hosts or globs):
        raise UsageError(f'say which hosts, as in: fleetnet host label web1 {words[0]}, or with --host "web*"')
    with connect(common) as collector:
        answer = collector.label_hosts(wish, globs)
    if answer.unmatched_globs:
        unmatched = '" or "'.join(answer.unmatched_globs)
        err = terminal.of(sys.stderr)
        err.write(visible(f'no host matches "{unmatched}"; nothing was changed; "fleetnet hosts" lists them') + "\n")
        return exits.NOTHING
    if common.output != "table":
        found = ReadyAnswer(Coverage(as_of_us=times.now_us()), list(answer.hosts), End(len(answer.hosts)))
        return show(found, labelled.presentation(), common.silenced())
    if not common.quiet:
        terminal.of(sys.stdout).write(visible(_sentence(answer.hosts)) + "\n")
    return exits.FOUND


def _sentence(hosts: tuple[LabelledHost, ...]) -> str:
    changed = sum(host.changed for host in hosts)
    if len(hosts) == 1:
        [host] = hosts
        before = "" if host.changed else ", as before"
        return f"{host.host}: {listed(host.labels) or 'no labels'}{before}"
    as_before = len(hosts) - changed
    return f"{len(hosts)} hosts labelled" + (f", {as_before} of them as before" if as_before else "")
