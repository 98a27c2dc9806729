"""`fleetnet person`: who may ask over the network, and what each may do. For operators."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from fleetnet_cli import exits, times
from fleetnet_cli.asking import connect, show
from fleetnet_cli.errors import UsageError, suggestion
from fleetnet_cli.options import CONNECTION, Common, takes_common
from fleetnet_cli.output import people, terminal
from fleetnet_cli.output.presentation import NAMELESS
from fleetnet_cli.records import Coverage, End, Person, ReadyAnswer
from fleetnet_cli.text import visible

ROLES = ("viewer", "operator")

EXAMPLES = """\b
Examples:
  fleetnet token create --person alice --role viewer > alice.token
  fleetnet person list
  fleetnet person role alice operator
  fleetnet person revoke alice

A viewer asks questions, an operator administers as well. A change holds at
once, also for what is being answered.
"""

_NAME = typer.Argument(metavar="PERSON", show_default=False, help="As the login is called.")
_ROLE = typer.Argument(metavar="viewer|operator", show_default=False, help="What the person may do.")


def nothing() -> None:
    """Say who may ask over the network, and change it."""


@takes_common(CONNECTION, NAMELESS)
def list_(*, common: Common) -> int:
    """Show everybody who has ever logged in."""
    with connect(common) as collector:
        return _show(collector.people(), common)


@takes_common(CONNECTION, NAMELESS)
def role(person: Annotated[str, _NAME], role: Annotated[str, _ROLE], *, common: Common) -> int:
    """Give a person another role, at once."""
    check_role(role)
    with connect(common) as collector:
        return _tell(collector.change_role(person, role), common)


@takes_common(CONNECTION, NAMELESS)
def revoke(person: Annotated[str, _NAME], *, common: Common) -> int:
    """Keep a person out, at once, with the unused tokens that the person made; a new token is the way back."""
    with connect(common) as collector:
        return _tell(collector.revoke_person(person), common)


def check_role(role: str) -> None:
    """Raises UsageError where it is none."""
    if role not in ROLES:
        guess = suggestion(role, list(ROLES)) or f"; roles are {' and '.join(ROLES)}"
        raise UsageError(f'there is no role "{role}"{guess}')


def _tell(person: Person, common: Common) -> int:
    if common.output not in ("table", "wide"):
        return _show([person], common)
    if not common.quiet:
        standing = "is revoked, and nothing is answered any more" if person.revoked else f"is now {_a(person.role)}"
        terminal.of(sys.stdout).flush()
        sys.stderr.write(f"{visible(person.person)} {standing}\n")
    return exits.FOUND


def _a(role: str) -> str:
    return f"an {role}" if role[:1] in "aeiou" else f"a {role}"


def _show(found: Sequence[Person], common: Common) -> int:
    return show(
        ReadyAnswer(Coverage(as_of_us=times.now_us()), list(found), End(len(found))), people.presentation(), common
    )
