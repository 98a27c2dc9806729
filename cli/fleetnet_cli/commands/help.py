"""`fleetnet help`: what all commands have in common, or the help of a command."""

from typing import Annotated

import click
import typer

from fleetnet_cli import exits
from fleetnet_cli.errors import UsageError, suggestion

EXAMPLES = """\b
Examples:
  fleetnet help exit-codes
  fleetnet help times
  fleetnet help who-listens
"""


def help_(
    topic: Annotated[list[str] | None, typer.Argument(metavar="TOPIC", hidden=True)] = None,
) -> int:
    """Explain exit-codes, times, formats, filters, or a command."""
    words = topic or []
    if len(words) == 1 and (text := guides().get(words[0])) is not None:
        click.echo(text.strip("\n"))
        return exits.FOUND
    context = click.get_current_context().find_root()
    for word in words:
        context = _below(context, word)
    click.echo(context.command.get_help(context))
    return exits.FOUND


def guides() -> dict[str, str]:
    """What all commands have in common, by topic."""
    from fleetnet_cli import topics  # reads a file

    exit_codes = "\n".join(f"{status:<3}  {meaning}" for status, meaning in exits.MEANINGS.items())
    others = {"diff": exits.OF_COMPARISON, "doctor": exits.OF_DOCTOR}
    of_others = [f"of {name}: {', '.join(f'{s} {m}' for s, m in told.items())}" for name, told in others.items()]
    return {"exit-codes": "\n".join([exit_codes, *of_others]), **topics.guides()}


def _below(context: click.Context, word: str) -> click.Context:
    group = context.command
    known = sorted(group.commands) if isinstance(group, click.Group) else []
    command = group.get_command(context, word) if isinstance(group, click.Group) else None
    if command is None:
        topics = list(guides()) if context.parent is None else []
        guess = suggestion(word, [*topics, *known]) or '; "fleetnet --help" lists the commands'
        raise UsageError(f'there is no help on "{word}"{guess}')
    return click.Context(command, parent=context, info_name=word)
