"""`fleetnet help`: exit statuses, or the help of a command."""

from typing import Annotated

import click
import typer

from fleetnet_cli import exits
from fleetnet_cli.errors import UsageError, suggestion

EXAMPLES = """\b
Examples:
  fleetnet help exit-codes
  fleetnet help who-listens
"""


def help_(
    topic: Annotated[list[str] | None, typer.Argument(metavar="TOPIC", hidden=True)] = None,
) -> int:
    """Explain the exit statuses, or a command."""
    words = topic or []
    if words == ["exit-codes"]:
        click.echo("\n".join(f"{status}  {meaning}" for status, meaning in exits.MEANINGS.items()))
        of_diff = ", ".join(f"{status} {meaning}" for status, meaning in exits.OF_COMPARISON.items())
        click.echo(f"of diff: {of_diff}")
        return exits.FOUND
    context = click.get_current_context().find_root()
    for word in words:
        context = _below(context, word)
    click.echo(context.command.get_help(context))
    return exits.FOUND


def _below(context: click.Context, word: str) -> click.Context:
    group = context.command
    known = sorted(group.commands) if isinstance(group, click.Group) else []
    command = group.get_command(context, word) if isinstance(group, click.Group) else None
    if command is None:
        guess = suggestion(word, ["exit-codes", *known]) or '; "fleetnet --help" lists the commands'
        raise UsageError(f'there is no help on "{word}"{guess}')
    return click.Context(command, parent=context, info_name=word)
