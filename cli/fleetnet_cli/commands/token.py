"""`fleetnet token create`: a one-time token that lets a host join, or a person log in."""

import functools
import re
import sys
from typing import Annotated

from fleetnet_cli import exits, times
from fleetnet_cli.asking import connect, show
from fleetnet_cli.commands.person import check_role
from fleetnet_cli.errors import UsageError
from fleetnet_cli.labels import listed, parse_given
from fleetnet_cli.options import CONNECTION, Common, option, takes_common
from fleetnet_cli.output import terminal, tokens
from fleetnet_cli.output.presentation import NAMELESS
from fleetnet_cli.records import Coverage, End, ReadyAnswer, Token
from fleetnet_cli.text import visible

own = functools.partial(option, command="token-create")

EXAMPLES = """\b
Examples:
  fleetnet token create --host web1 > web1.token
  fleetnet token create --host web1 --label role=web --label env=prod > web1.token
  fleetnet token create --host web1 --ttl 10m -o json
  fleetnet token create --person alice --role viewer > alice.token
"""

# The name goes into a certificate; the collector checks it again.
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?", re.ASCII)
_PERSON_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)
_ROLE = "viewer"  # where nobody says a word


def nothing() -> None:
    """Let hosts join, and people log in."""


@takes_common(CONNECTION, NAMELESS)
def create(
    host: Annotated[
        str | None, own("--host", metavar="NAME", help="The name that the host will have in the fleet.")
    ] = None,
    person: Annotated[
        str | None, own("--person", metavar="NAME", help="Or that of somebody who is to ask over the network.")
    ] = None,
    role: Annotated[
        str | None, own("--role", metavar="viewer|operator", help="What the person may do (default viewer).")
    ] = None,
    label: Annotated[
        list[str] | None, own("--label", metavar="K=V", help="A label that the host has from then on (repeatable).")
    ] = None,
    ttl: Annotated[str, own("--ttl", metavar="LENGTH", help="How long the token may be used (default 1h).")] = "1h",
    *,
    common: Common,
) -> int:
    """Make a token for one host or one person. It works once. Only the token goes to stdout."""
    if (host is None) == (person is None):
        raise UsageError("a token is for one host or for one person; give --host NAME or --person NAME")
    if host is not None:
        _check("--host", host, "a host's", _HOST_NAME)
        if role is not None:
            raise UsageError("--role is what a person may do; a host has none")
    if person is not None:
        _check("--person", person, "a person's", _PERSON_NAME)
        check_role(role or _ROLE)
        if label:
            raise UsageError("--label is what a host is told by; a person has none")
    ttl_s = times.parse_duration(ttl) // times.SECOND_US
    if ttl_s == 0:
        raise UsageError(f"--ttl {ttl} is less than a second; write it as 10m or 1h")
    with connect(common) as collector:
        token = (
            collector.create_token(host, ttl_s, parse_given(label or ()))
            if host is not None
            else collector.create_person_token(person or "", role or _ROLE, ttl_s)
        )
    if common.output not in ("table", "wide"):
        answer = ReadyAnswer(Coverage(as_of_us=times.now_us()), [token], End(1))
        # Nobody was asked, so there is no coverage to be said beside it.
        return show(answer, tokens.presentation(), common.silenced())
    out = terminal.of(sys.stdout)
    out.write(visible(token.token) + "\n")
    if not common.quiet:
        out.flush()
        sys.stderr.write(_explanation(token) + "\n")
    return exits.FOUND


def _check(option: str, name: str, whose: str, pattern: re.Pattern[str]) -> None:
    if pattern.fullmatch(name):
        return
    close = name.lower()
    guess = f'; did you mean "{close}"?' if pattern.fullmatch(close) else ""
    raise UsageError(f'{option} "{name}" cannot be {whose} name: lower-case letters, digits, ".", "-" and "_"{guess}')


def _explanation(token: Token) -> str:
    until = f"{times.local(token.expires_at_us)} {times.zone_name()}"
    if token.person:
        return (
            f"good once, for {visible(token.person)} ({token.role}), until {until}; hand it over in a file, for "
            "fleetnet login --server COLLECTOR:7444 --token-file FILE"
        )
    labels = f" with {visible(listed(token.labels))}" if token.labels else ""
    return (
        f'good once, for host "{visible(token.host)}"{labels}, until {until}; put it in a file there and run '
        "fleetnet-agent enroll --server COLLECTOR:7444 --token-file FILE"
    )
