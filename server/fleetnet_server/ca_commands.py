"""`fleetnet-server ca …`: the options of each command, and what it prints. The standard library only, until one runs.

Exit status as everywhere: 0 done, 2 anything that the user must know. A step of a rotation that would leave somebody
behind is not done.
"""

import argparse
import dataclasses
import ipaddress
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from fleetnet_server.config import Config
from fleetnet_server.errors import ConfigError

Command: TypeAlias = Callable[[Config, argparse.Namespace], int]
AddOptions: TypeAlias = Callable[[argparse.ArgumentParser], None]

_SHOWN_BEHIND: Final = 20
_MOST_DAYS: Final = 825  # as long as others take one that a CA of one's own has signed
_DNS: Final = re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?(\.[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?)*")
_REPLACE: Final = "put it in the place of one whose key is lost: all hosts and people have to join anew"


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--replace", action="store_true", help=_REPLACE)


def _init(settings: Config, options: argparse.Namespace) -> int:
    from fleetnet_server.run.ca import make

    print(f"fleetnet-server: {make(settings, replace=options.replace)}")
    return 0


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", metavar="FILE", type=Path, required=True, help="P-256, P-384 or RSA; PEM")
    parser.add_argument("--certificate", metavar="FILE", type=Path, required=True, help="that of a root, alone; PEM")
    parser.add_argument("--replace", action="store_true", help=_REPLACE)


def _import(settings: Config, options: argparse.Namespace) -> int:
    from fleetnet_server.run.ca import bring

    print(f"fleetnet-server: {bring(settings, options.key, options.certificate, replace=options.replace)}")
    return 0


def _add_issue_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="DNS", action="append", default=[], help="by which hosts dial it; repeatable")
    parser.add_argument("--address", metavar="IP", action="append", default=[], help="likewise an address")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where the files are put, mode 0700")
    parser.add_argument("--days", metavar="N", type=int, default=90, help="how long it is good (default 90)")


def _issue_server(settings: Config, options: argparse.Namespace) -> int:
    from fleetnet_server.run.ca import issue_server

    for name in options.name:
        if not _DNS.fullmatch(name):
            raise ConfigError(f"--name {name!r} is no name of a machine; write for example c2.example.com")
    for address in options.address:
        _check_address(address)
    names = sorted({*options.name, *options.address})
    if not names:
        raise ConfigError("name the collector as hosts dial it: --name c2.example.com, or --address IP")
    if not 1 <= options.days <= _MOST_DAYS:
        raise ConfigError(f"--days {options.days} is not between 1 and {_MOST_DAYS}")
    print(f"fleetnet-server: {issue_server(settings, names, options.out, options.days)}")
    return 0


def _check_address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise ConfigError(f"--address {text!r} is no IP address; a name is --name") from error


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="for people, or for programs")


def _show(settings: Config, options: argparse.Namespace) -> int:
    from fleetnet_server.logs import escaped
    from fleetnet_server.run.ca import show

    shows = show(settings)
    if options.output == "json":
        items = [{**dataclasses.asdict(one), "not_after": f"{one.not_after:%Y-%m-%dT%H:%M:%SZ}"} for one in shows.items]
        document = {"api_version": "fleetnet/v1", "kind": "AuthorityList", "hosts": shows.hosts, "people": shows.people}
        print(json.dumps({**document, "items": items}, indent=2))
        return 0
    for one in shows.items:
        key = "here" if one.key_here else "not here"
        hosts, people = (
            f"{one.hosts_trusting} of {shows.hosts} hosts",
            f"{one.people_trusting} of {shows.people} people",
        )
        print(f"{one.standing}: {one.subject}, until {one.not_after:%Y-%m-%d}, key {key}")
        print(f"  SHA-256     {one.fingerprint}")
        print(f"  trusted by  {hosts}, {people}")
        print(f"  has signed  certificates of {one.hosts_of_it} hosts, {one.people_of_it} people")
        for collector in one.collectors_of_it:
            print(f"              that of the collector {escaped(collector)}")
    return 0


def _add_rotate(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_mutually_exclusive_group()
    for step, what in (
        ("finish", "let the new CA issue, once all trust it"),
        ("retire", "trust the former CA no more, and remove its key"),
        ("back", "undo the last step, but for --retire"),
    ):
        steps.add_argument(f"--{step}", dest="step", action="store_const", const=step, help=what)
    parser.set_defaults(step="begin")
    parser.add_argument(
        "--leave-behind", action="store_true", help="take the step whoever is cut off by it; they are named"
    )
    parser.add_argument("--admin-socket", metavar="PATH", help="socket of the collector that runs (default: as of run)")


def _rotate(settings: Config, options: argparse.Namespace) -> int:
    from fleetnet_server.logs import escaped
    from fleetnet_server.rpc.authority import rotate

    told = rotate(settings.admin_socket, options.step, leave_behind=options.leave_behind)
    for one in told.left_behind[:_SHOWN_BEHIND]:
        print(f"{one.kind} {escaped(one.name)} {one.why}", file=sys.stderr)
    if (more := len(told.left_behind) - _SHOWN_BEHIND) > 0:
        print(f"and {more} more", file=sys.stderr)
    if not told.done:
        print(
            f"fleetnet-server: nothing was done, for {len(told.left_behind)} would be left behind; wait until they "
            "have come, and say it again, or go on without them with --leave-behind",
            file=sys.stderr,
        )
        return 2
    for standing, fingerprint in told.standing:
        print(f"{standing:<8} {fingerprint}")
    print(f"fleetnet-server: {_NEXT[options.step]}")
    return 0


_NEXT: Final = {
    "begin": "both are trusted, and hosts are asked to renew; `fleetnet-server ca show` says how many have; --finish",
    "finish": "the new CA issues, and hosts are asked to renew; `fleetnet-server ca show` says how many have; --retire",
    "retire": "the former CA is not trusted any more, and its key is removed; make a backup",
    "back": "the last step is undone",
}

COMMANDS: Final[tuple[tuple[str, str, Command, AddOptions], ...]] = (
    ("init", "make the CA, as the first start would", _init, _add_init),
    ("import", "take over a CA that was made elsewhere, before the first start", _import, _add_import),
    ("show", "say which CAs are trusted, and how many use and trust each", _show, _add_show),
    (
        "issue-server",
        "make the certificate of a collector without the CA's key",
        _issue_server,
        _add_issue_server,
    ),
    ("rotate", "let another CA take the present one's place, step by step", _rotate, _add_rotate),
)
