"""A group of commands that is a command as well: what is no command of it is handed to the one called SHOW.

So `fleetnet host web1` is `fleetnet host show web1`, which is how something is shown that is called as a command is.
"""

from typing import Final

import click
from click.shell_completion import CompletionItem
from typer.core import TyperGroup

SHOW: Final = "show"
_HELP = ("-h", "--help")


class Group(TyperGroup):
    """A group with a command SHOW, whose name need not be typed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does, with the name put in where it was left out."""
        if args and args[0] not in (*self.commands, *_HELP):
            args = [SHOW, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, and what may be shown, and how."""
        shown = self.commands[SHOW]
        of_arguments = [p for p in shown.params if isinstance(p, click.Argument)]
        values = [item for p in of_arguments for item in p.shell_complete(ctx, incomplete)]
        found = [*super().shell_complete(ctx, incomplete), *values, *shown.shell_complete(ctx, incomplete)]
        return list({item.value: item for item in found}.values())
