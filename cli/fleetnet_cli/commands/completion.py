"""`fleetnet completion`: what teaches a shell to complete commands, options, states, formats and hosts."""

from typing import Annotated

import click
import typer

from fleetnet_cli import exits
from fleetnet_cli.errors import UsageError, suggestion

EXAMPLES = """\b
Examples:
  fleetnet completion bash > /etc/bash_completion.d/fleetnet
  fleetnet completion zsh > "${fpath[1]}/_fleetnet"
  fleetnet completion fish > ~/.config/fish/completions/fleetnet.fish
"""

_SHELLS = ["bash", "zsh", "fish"]


def completion(shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", hidden=True)]) -> int:
    """Print what makes a shell complete what is typed.

    For one shell alone: source <(fleetnet completion bash)
    """
    if shell not in _SHELLS:
        guess = suggestion(shell, _SHELLS) or f"; the shells are {', '.join(_SHELLS)}"
        raise UsageError(f'there is no completion for "{shell}"{guess}')
    from fleetnet_cli import completing  # only a shell needs it

    click.echo(completing.script(shell))
    return exits.FOUND
