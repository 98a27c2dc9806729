"""Commands that say so where an option is given twice that takes one value.

Of the options that all commands share the last one holds, so that what an alias says can be said otherwise. What
narrows a question is not overruled: whoever gives two values expects either, or both.
"""

from collections import Counter

import click
from typer.core import TyperCommand

from fleetnet_cli import options
from fleetnet_cli.errors import UsageError

_SHARED = {*options.SOCKETS, *options.SPAN}


class Command(TyperCommand):
    """A command whose own options are given once each, but for those that take several values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; UsageError where one is given twice."""
        _, _, in_order = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, times in Counter(in_order).items():
            if times > 1 and _takes_one(parameter) and not ctx.resilient_parsing:  # as where a shell completes
                raise UsageError(f"{parameter.opts[0]} is given twice; it takes one value, so ask once for each")
        return super().parse_args(ctx, args)


def _takes_one(parameter: click.Parameter) -> bool:
    return (
        isinstance(parameter, click.Option)
        and not (parameter.multiple or parameter.is_flag or parameter.count)
        and parameter.name not in _SHARED
    )
