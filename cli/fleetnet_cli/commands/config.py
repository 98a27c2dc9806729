"""`fleetnet config explain`: every setting, its value, and who said so.

A setting is an option with its twin in the environment; two of them, the collector and the context, may stand in a
file too. Of what nobody reads only the name is shown: a value there may be a secret in the wrong place.
"""

import os
import re
from collections.abc import Iterator

import click

from fleetnet_cli import exits, options, settings, times
from fleetnet_cli.errors import nearest
from fleetnet_cli.options import CONNECTION, DEFAULTS, Common, takes_common
from fleetnet_cli.output.presentation import NAMELESS
from fleetnet_cli.records import Coverage, End, ReadyAnswer, Setting

EXAMPLES = """\b
Examples:
  fleetnet config explain
  fleetnet config explain --context lab -o json
"""

Said = tuple[str | None, str]  # a value, and who said it

_DEFAULT = "default"
_OPTION = "option"
_SECRET = re.compile(r"password|secret|token|key", re.IGNORECASE)
# Variables that no option is the twin of: this one is read by main.py, the rest by the other programs.
_KNOWN_TOO = ("FLEETNET_DEBUG",)
_OF_OTHERS = ("FLEETNET_AGENT_", "FLEETNET_SERVER_", "FLEETNET_TEST_")


def nothing() -> None:
    """Say where settings come from."""


@takes_common(CONNECTION, NAMELESS)
def explain(*, common: Common) -> int:
    """Show every setting, its value, and who said so.

    An option outranks the environment, that the file of the user, that the file of the machine, that the default.
    """
    from fleetnet_cli.asking import show
    from fleetnet_cli.output import settings as output

    context = click.get_current_context()
    shared = options.shared(context.find_root().command)
    every = [*_shared(shared, common, context), *_own(set(map(_twin, shared.values())), context)]
    # For people, what single commands have by default is left out: that is what their help says.
    listed = every if common.output != "table" else [s for s in every if not s.command or s.origin != _DEFAULT]
    shown = [*listed, *_unread(every, settings.this_machine())]
    answer = ReadyAnswer(Coverage(as_of_us=times.now_us()), shown, End(len(shown)))
    show(answer, output.presentation(), common)
    return exits.FOUND


def _shared(shared: dict[str, click.Option], common: Common, context: click.Context) -> Iterator[Setting]:
    said = {name: _given(name, parameter, context) for name, parameter in shared.items()}
    said["server"], said["context"] = _collector(said["server"], said["context"], common)
    for name, parameter in shared.items():
        value, origin = said[name]
        yield _setting(parameter, "", DEFAULTS.get(name) if value is None else value, origin)


def _collector(server: Said, context: Said, common: Common) -> tuple[Said, Said]:
    """The same with what files say. A server that is named outranks a context, but not a typed one that of the
    environment."""
    machine, asked = settings.this_machine(), str(common.destination)
    if context[1] == _OPTION and server[0] is not None and server[1] != _OPTION:
        written = settings.configured(context[0], machine)
        return (asked, f"{_place(written) if written else _DEFAULT}; not {server[1]}, for --context is typed"), context
    if server[0] is not None:
        ignored = (context[0], f"{context[1]}; not used, for the server is named") if context[0] else context
        return (asked, server[1]), ignored
    if context[0] is None and (chosen := settings.chosen_context(machine)) is not None:
        context = (chosen.value, _place(chosen))
    written = settings.configured(context[0], machine)
    return (asked, _place(written) if written else _DEFAULT), context


def _given(name: str, parameter: click.Option, context: click.Context) -> Said:
    """What the command line or the environment has of a shared option, and which of them."""
    for where in (context, context.find_root()):
        if where.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            return str(where.params[name]), _OPTION
    return _of_environment(parameter)


def _of_environment(parameter: click.Option) -> Said:
    twin = _twin(parameter)
    value = os.environ.get(twin) or None  # empty is as good as absent, to click too
    return value, f"environment, {twin}" if value else _DEFAULT


def _own(shared: set[str], context: click.Context) -> Iterator[Setting]:
    """The options of single commands, which no file can set."""
    for command, parameter in options.of_commands(context.find_root().command):
        if _twin(parameter) not in shared:
            value, origin = _of_environment(parameter)
            default = parameter.default if isinstance(parameter.default, str) else None
            yield _setting(parameter, command, value or default or None, origin)


def _setting(parameter: click.Option, command: str, value: str | None, origin: str) -> Setting:
    name = max(parameter.opts, key=len)
    hidden = value is not None and _SECRET.search(name) is not None
    return Setting(name, command, "(not shown)" if hidden else value, origin, _twin(parameter))


def _twin(parameter: click.Option) -> str:
    return str(parameter.envvar)


def _place(written: settings.Written) -> str:
    line = settings.line_of(written)
    return f"{written.file}:{line}" if line else f"{written.file}, {'.'.join(written.key)}"


def _unread(every: list[Setting], machine: settings.Machine) -> Iterator[Setting]:
    """What stands in the environment or a file and is read by nobody: mostly a slip of the keyboard."""
    twins = [s.twin for s in every]
    for name in sorted(os.environ):
        if name.startswith("FLEETNET_") and not name.startswith(_OF_OTHERS) and name not in (*twins, *_KNOWN_TOO):
            yield Setting(name, "", None, "environment, read by nobody", name, close=nearest(name, twins))
    for written in settings.unread(machine):
        key = ".".join(written.key)
        close = nearest(written.key[-1], ["server", "context", "contexts"])
        yield Setting(key, "", None, f"{_place(written)}, read by nobody", "", close=close)
