"""`fleetnet token`: tokens that let hosts join and people log in are made, listed and revoked. For operators."""

import functools
import re
import sys
from typing import Annotated

import typer

from fleetnet_cli import exits, times
from fleetnet_cli.asking import connect, show
from fleetnet_cli.commands.person import check_role
from fleetnet_cli.errors import UsageError
from fleetnet_cli.labels import listed, parse_given
from fleetnet_cli.options import CONNECTION, Common, option, takes_common
from fleetnet_cli.output import terminal, tokens
from fleetnet_cli.output.presentation import NAMELESS
from fleetnet_cli.records import Coverage, End, ReadyAnswer, Token, TokenWish
from fleetnet_cli.text import visible

own = functools.partial(option, command="token-create")

EXAMPLES = """\b
Examples:
  fleetnet token create --host web1 > web1.token
  fleetnet token create --host web1 --label role=web --label env=prod > web1.token
  fleetnet token create --label role=web --max-uses 50 --approve > web.token
  fleetnet token create --host web1 --ttl 10m -o json
  fleetnet token create --person alice --role viewer > alice.token
  fleetnet token list
  fleetnet token revoke 4f1c09a2b37e

Without --host a host proposes its own name, which no other may have: with
--approve it waits until "fleetnet host approve NAME", without it joins at once.
"""

# The name goes into a certificate; the collector checks it again.
_HOST_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?", re.ASCII)
_PERSON_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?", re.ASCII)
_ID = typer.Argument(metavar="ID", show_default=False, help="As token list shows it.")
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
    max_uses: Annotated[
        int | None, own("--max-uses", metavar="N", help="How many hosts may join, each as it calls itself (default 1).")
    ] = None,
    approve: Annotated[bool, own("--approve", help="A host waits until somebody approves it.")] = False,
    ttl: Annotated[str, own("--ttl", metavar="LENGTH", help="How long the token may be used (default 1h).")] = "1h",
    *,
    common: Common,
) -> int:
    """Make a token for hosts or for one person. It works once, or --max-uses times. Only the token goes to stdout."""
    wish = TokenWish(host or "", parse_given(label or ()), 1 if max_uses is None else max_uses, approve)
    _check_wish(wish, person, several=max_uses is not None)
    if host is not None:
        _check("--host", host, "a host's", _HOST_NAME)
    if person is None and role is not None:
        raise UsageError("--role is what a person may do; a host has none")
    if person is not None:
        _check("--person", person, "a person's", _PERSON_NAME)
        check_role(role or _ROLE)
    ttl_s = times.parse_duration(ttl) // times.SECOND_US
    if ttl_s == 0:
        raise UsageError(f"--ttl {ttl} is less than a second; write it as 10m or 1h")
    with connect(common) as collector:
        token = (
            collector.create_token(wish, ttl_s)
            if person is None
            else collector.create_person_token(person, role or _ROLE, ttl_s)
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


@takes_common(CONNECTION, NAMELESS)
def list_(*, common: Common) -> int:
    """Show the tokens that were made, the newest first, and what became of them; none of their secrets."""
    with connect(common) as collector:
        found = collector.tokens()
    answer = ReadyAnswer(Coverage(as_of_us=times.now_us()), list(found), End(len(found)))
    return show(answer, tokens.made(times.now_us()), common)


@takes_common(CONNECTION, NAMELESS)
def revoke(token_id: Annotated[str, _ID], *, common: Common) -> int:
    """Have a token admit nobody any more. Who has joined with it stays."""
    with connect(common) as collector:
        token = collector.revoke_token(token_id.lower())
    if common.output not in ("table", "wide"):
        answer = ReadyAnswer(Coverage(as_of_us=times.now_us()), [token], End(1))
        return show(answer, tokens.made(times.now_us()), common.silenced())
    if not common.quiet:
        used = f"; {token.uses} have joined with it" if token.uses else ""
        terminal.of(sys.stdout).write(visible(f"{token.token_id} admits nobody any more{used}") + "\n")
    return exits.FOUND


def _check_wish(wish: TokenWish, person: str | None, *, several: bool) -> None:
    """Raises UsageError."""
    of_hosts = [
        option
        for option, given in (("--label", wish.labels), ("--max-uses", several), ("--approve", wish.approve))
        if given
    ]
    if person is not None and (wish.host or of_hosts):
        raise UsageError(f"--person is for somebody who asks, and {of_hosts[0] if of_hosts else '--host'} for hosts")
    if person is None and not (wish.host or wish.labels or wish.approve):
        raise UsageError(
            "a token is for one host, for one person or for several hosts; give --host NAME, --person NAME, or --label "
            "K=V or --approve for hosts that are called as they call themselves"
        )
    if wish.host and several:
        raise UsageError("--host is one host, which joins once; leave it out for --max-uses, and hosts name themselves")
    if wish.max_uses < 1:
        raise UsageError(f"--max-uses {wish.max_uses} would admit nobody; give 1 or more")


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
    how_often = "once" if token.max_uses == 1 else f"{token.max_uses} times"
    whose = f'for host "{visible(token.host)}"' if token.host else "for hosts as they call themselves"
    approve = '; each waits for "fleetnet host approve NAME"' if token.approve else ""
    return (
        f"good {how_often}, {whose}{labels}, until {until}; put it in a file there and run "
        f"fleetnet-agent enroll --server COLLECTOR:7444 --token-file FILE{approve}"
    )
