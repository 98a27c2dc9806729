"""What a shell may complete: click knows the commands and options, this module the values.

A value's words are found by the metavar of its option or argument, so a new command has them by naming its values
like the others. What must stay true: nothing is ever said but words, whatever goes wrong, and a word is made of plain
characters, for a shell may act upon others.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from fleetnet_cli import exits, known_hosts, options, settings
from fleetnet_cli.counting import BY
from fleetnet_cli.output.presentation import FORMATS
from fleetnet_cli.services import load
from fleetnet_cli.states import STATES

VARIABLE = "_FLEETNET_COMPLETE"  # "bash_complete", set by the script when it asks
_PROGRAM = "fleetnet"
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,/=-]*", re.ASCII)
_CHOICE = re.compile(r"[a-z]+(\|[a-z]+)+", re.ASCII)  # the metavar "host|process"

Words = Callable[[click.Context, str], Iterable[str]]


def script(shell: str) -> str:
    """What the shell is to read."""
    complete = _of(shell, click.Command(_PROGRAM))
    return complete.source_template % complete.source_vars()


def answer(program: click.Command) -> int:
    """Tells a script what the line that the environment has may go on with; nothing where anything is amiss."""
    with contextlib.suppress(Exception):  # what is said here lands in the midst of what somebody types
        click.echo(_answer(program))
    return exits.FOUND


def _answer(program: click.Command) -> str:
    complete = _of(os.environ[VARIABLE].partition("_")[0], program)
    for command in _commands(program):
        for parameter in command.params:
            if (words := _words_of(parameter)) is not None:
                parameter.type = _Value(words)
    arguments, incomplete, typed = _put_together(*complete.get_completion_args())
    found = complete.get_completions(arguments, incomplete)
    for item in found:
        item.value = str(item.value).removeprefix(typed)
    return "\n".join(complete.format_completion(item) for item in found)


def _put_together(arguments: list[str], incomplete: str) -> tuple[list[str], str, str]:
    """bash takes --host=web for three words, and role=web as well: the words, the one to be completed, and what of that
    it takes for words before it."""
    words: list[str] = []
    open_ended = False  # the last of these goes on with the next
    for word in (*arguments, incomplete):
        if word == "=" and words and not open_ended and not words[-1].startswith("-"):
            words[-1] += "="
            open_ended = True
        elif open_ended:
            words[-1] += word
            open_ended = False
        elif word != "=":
            words.append(word)
    if incomplete == "=" and not open_ended:
        words.append("")
    last = words.pop() if words else ""
    return words, last, last.removesuffix(incomplete) if incomplete != "=" else last


def _of(shell: str, program: click.Command) -> ShellComplete:
    kind = get_completion_class(shell)
    if kind is None:
        raise LookupError(shell)
    return kind(program, {}, _PROGRAM, VARIABLE)


def _commands(command: click.Command) -> Iterable[click.Command]:
    yield command
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _commands(below)


class _Value(click.ParamType):  # type: ignore[type-arg]  # takes an argument since click 8.4 only
    """A value that is one of some words, as far as completing goes."""

    name = "word"

    def __init__(self, words: Words) -> None:
        self._words = words

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        # State names may be typed in any case.
        begun = incomplete.lower()
        words = dict.fromkeys(w for w in self._words(ctx, incomplete) if w.lower().startswith(begun))
        return [CompletionItem(w) for w in words if _PLAIN.fullmatch(w)]


def _words_of(parameter: click.Parameter) -> Words | None:
    metavar = (parameter.metavar or "").removesuffix(" ...")
    if parameter.name == "context":
        return lambda _context, _incomplete: settings.contexts(settings.this_machine())
    if parameter.name == "by" and _CHOICE.fullmatch(metavar):
        return _columns(metavar.split("|"))
    if _CHOICE.fullmatch(metavar):
        return lambda _context, _incomplete: metavar.split("|")
    return _WORDS.get(metavar)


def _collector(context: click.Context) -> settings.Destination:
    server, name = options.collector_named(context)
    return settings.destination(server, name, settings.this_machine())


def _hosts(context: click.Context, _incomplete: str) -> Iterable[str]:
    return known_hosts.names(_collector(context))


def _labels(context: click.Context, _incomplete: str) -> Iterable[str]:
    return [f"{key}={value}" for key, values in known_hosts.labels(_collector(context)).items() for value in values]


def _labels_asked(context: click.Context, incomplete: str) -> Iterable[str]:
    """Likewise, and keys alone, which mean any value."""
    return (*known_hosts.labels(_collector(context)), *_labels(context, incomplete))


def _hosts_and_labels(context: click.Context, incomplete: str) -> Iterable[str]:
    return (*_hosts(context, incomplete), *_labels(context, incomplete))


def _formats(context: click.Context, _incomplete: str) -> Iterable[str]:
    """Those that the command takes."""
    if context.parent is not None and context.parent.info_name == options.WATCH:
        return options.WATCH_FORMATS
    return getattr(context.command.callback, "formats", FORMATS)


def _columns(known: Iterable[str]) -> Words:
    """Several words with commas between them: what is typed stays, and each further word is another."""

    def words(_context: click.Context, incomplete: str) -> Iterable[str]:
        typed, comma, _ = incomplete.rpartition(",")
        return [f"{typed}{comma}{word}" for word in known if word not in typed.split(",")]

    return words


def _services(_context: click.Context, incomplete: str) -> Iterable[str]:
    return load().ports if incomplete else ()  # hundreds of them help nobody


def _topics(_context: click.Context, incomplete: str) -> Iterable[str]:
    from fleetnet_cli import topics  # reads files

    return [t.name for group in topics.GROUPS for t in topics.of(group)]


def _help_topics(context: click.Context, _incomplete: str) -> Iterable[str]:
    from fleetnet_cli.commands.help import guides  # likewise

    program = context.find_root().command
    return [*guides(), *(program.commands if isinstance(program, click.Group) else ())]


_WORDS: dict[str, Words] = {
    "FORMAT": _formats,
    "STATE": lambda _context, _incomplete: STATES,
    "HOST": _hosts,
    "ADDRESS[:PORT]|NET[:PORT]|HOST[:PORT]": _hosts,
    "BY": _columns((*BY, "socket")),
    "HOST[:PORT|:SERVICE|:A-B]": _hosts,
    "GLOB": _hosts,
    "HOST|GLOB": _hosts,
    "K[=V]": _labels_asked,
    "K=V": _labels,
    "HOST|KEY=VALUE|KEY-": _hosts_and_labels,
    "P": _services,
    "PORT|SERVICE|A-B": _services,
    "[STATE|COLUMN|SCOPE|PORT]": _topics,
    "TOPIC": _help_topics,
}
