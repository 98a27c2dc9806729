"""The commands, one module each, by the name that the user types: the list of them, and the program that they make.

What must stay true: a command is loaded when it is named, or where all of them are to be listed (`--help`), so that
nobody waits for what only another command needs.
"""

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import click
import typer

from fleetnet_cli.given_twice import Command

# The module here, with the examples of its help, and the function in it; in the order of --help.
# A name that others go on from is a group, and its function runs before theirs. GROUP of its module, where there is
# one, says what is special about it.
_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "who-listens": ("who_listens", "who_listens"),
    "who-holds": ("who_holds", "who_holds"),
    "who-talks-to": ("who_talks_to", "who_talks_to"),
    "host": ("host", "nothing"),
    "host show": ("host", "show_host"),
    "host label": ("label", "label"),
    "host approve": ("standing", "approve"),
    "host revoke": ("standing", "revoke"),
    "host forget": ("standing", "forget"),
    "hosts": ("hosts", "hosts"),
    "map": ("map", "map_"),
    "diff": ("diff", "diff"),
    "history": ("history", "history"),
    "netstat": ("netstat", "netstat"),
    "audit": ("audit", "audit"),
    "doctor": ("doctor", "doctor"),
    "explain": ("explain", "explain"),
    "completion": ("completion", "completion"),
    "help": ("help", "help_"),
    "watch": ("watch", "nothing"),
    "watch who-listens": ("watch", "who_listens"),
    "watch who-holds": ("watch", "who_holds"),
    "watch who-talks-to": ("watch", "who_talks_to"),
    "token": ("token", "nothing"),
    "token create": ("token", "create"),
    "token list": ("token", "list_"),
    "token revoke": ("token", "revoke"),
    "person": ("person", "nothing"),
    "person list": ("person", "list_"),
    "person role": ("person", "role"),
    "person revoke": ("person", "revoke"),
    "log": ("log", "log"),
    "login": ("login", "login"),
    "config": ("config", "nothing"),
    "config explain": ("config", "explain"),
}

_SETTINGS: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

# rich would be loaded for each help and each error, and its tracebacks show variables, tokens among them.
_typer = functools.partial(
    typer.Typer,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    suggest_commands=False,  # click does, and twice is too often
)


def build(before: Callable[..., None], epilog: str) -> click.Group:
    """The program; `before` runs before each command, and has the options that stand before it."""
    return _group(_typer(context_settings=_SETTINGS, epilog=epilog), before, "")


class _Commands(Mapping[str, click.Command]):
    """Those of the program, or of a group of it, by name, each made when it is first asked for."""

    def __init__(self, of: str) -> None:
        above = f"{of} " if of else ""
        names = {path.removeprefix(above): path for path in _COMMANDS if path.startswith(above)}
        self._paths = {name: path for name, path in names.items() if " " not in name}
        self._made: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._made:
            self._made[name] = _command(name, self._paths[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def _command(name: str, path: str) -> click.Command:
    module, function = _COMMANDS[path]
    loaded = importlib.import_module(f"{__name__}.{module}")
    if any(other.startswith(f"{path} ") for other in _COMMANDS):
        special = getattr(loaded, "GROUP", {})
        return _group(_typer(name=name, epilog=loaded.EXAMPLES, **special), getattr(loaded, function), path)
    alone = _typer()
    alone.command(name, cls=Command, epilog=loaded.EXAMPLES)(getattr(loaded, function))
    return typer.main.get_command(alone)


def _group(app: typer.Typer, before: Callable[..., None], path: str) -> click.Group:
    app.callback()(before)
    group = typer.main.get_group(app)
    group.commands = _Commands(path)  # type: ignore[assignment]  # nobody adds to them
    return group
