"""The options that commands share. Each is declared once, and has its FLEETNET_... twin in the environment.

A command takes them by `@takes_common(...)`: its parameter `common` is replaced, as far as typer can see, by the
options named, and arrives as one checked value.
"""

import copy
import functools
import inspect
import operator
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ParamSpec, get_args

import click
import typer

from fleetnet_cli import settings, times
from fleetnet_cli.errors import CliError, UsageError, suggestion
from fleetnet_cli.labels import parse_asked
from fleetnet_cli.output.presentation import FORMATS, OF_AUDIT, OF_MAP
from fleetnet_cli.records import Selection

P = ParamSpec("P")

# What holds where nobody says anything; the collector's own is named here too.
DEFAULTS = {"output": "table", "timeout": "20s", "max_age": "2m"}
# Of those who know netstat(8), whose options are letters in one word: -tno, -tanop.
O_OF_NETSTAT = '-o is the format here; netstat\'s timers are --timers (live); see "fleetnet netstat --help"'
_LETTERS_OF_NETSTAT = re.compile(r"[aceilnprstuvwxW46]{1,12}", re.ASCII)
WATCH = "watch"  # the command whose commands are questions that stay open
WATCH_FORMATS = ("table", "ndjson")
_OF_ANSWERS = ("at", "since", "until", "limit", "by", "at_least")  # parameters that make no sense of what is watched


def option(*flags: str, help: str, command: str = "", **more: Any) -> Any:  # noqa: ANN401  # as typer types its options
    """An option with its twin in the environment: FLEETNET_AT, or with a command FLEETNET_WHO_HOLDS_MIN."""
    twin = _twin(*filter(None, [command]), flags[0].removeprefix("--"))
    # The twin would take a line at each option; the main help says how they are named.
    return typer.Option(*flags, envvar=twin, show_envvar=False, show_default=False, help=help, **more)


def _twin(*words: str) -> str:
    return "_".join(["fleetnet", *words]).replace("-", "_").upper()


SERVER = option("--server", metavar="ADDRESS", help="The collector: unix:///PATH or HOST:7443.")
CONTEXT = option("--context", metavar="NAME", help="A context or login of ~/.config/fleetnet.")
TIMEOUT = option("--timeout", metavar="LENGTH", help=f"Give up on a silent collector (default {DEFAULTS['timeout']}).")


def _listed(formats: Sequence[str]) -> str:
    return f"{', '.join(formats[:-1])} or {formats[-1]}"


def _output(formats: Sequence[str], metavar: str = "FORMAT") -> Any:  # noqa: ANN401  # as typer types its options
    return option("--output", "-o", metavar=metavar, help=f"{_listed(formats)} (default table).")


QUIET = option("--quiet", "-q", help="Items only: no heading, no line on coverage.")
_AT = option("--at", metavar="TIME", help='As it was then: "10m ago", "yesterday 14:00".')
_SINCE = option("--since", metavar="TIME", help="What began since, open still or not.")
_UNTIL_OF_SINCE = option("--until", metavar="TIME", help="With --since: what began up to then.")
# Of commands that are about all that lies between two times.
_SINCE_OF_SPAN = option("--since", metavar="TIME", help="From when on; a TIME as for --at in other commands.")
_UNTIL = option("--until", metavar="TIME", help="Up to when (default now).")
_HOST = option("--host", metavar="GLOB", help='Hosts that match, such as "web*" (repeatable).')
_LABEL = option("--label", metavar="K[=V]", help="Only hosts with this label now (repeatable).")
_MAX_AGE = option("--max-age", metavar="LENGTH", help="A host silent for longer is stale (default 2m).")
_LIMIT = option("--limit", metavar="N", min=1, help="At most N items.")

# Name, type and option of each, in the order in which --help shows them.
_OPTIONS: dict[str, tuple[Any, Any, Any]] = {
    "output": (str | None, _output(FORMATS), None),
    "at": (str | None, _AT, None),
    "since": (str | None, _SINCE, None),
    "until": (str | None, _UNTIL, None),
    "host": (list[str] | None, _HOST, None),
    "label": (list[str] | None, _LABEL, None),
    "max_age": (str | None, _MAX_AGE, None),
    "limit": (int | None, _LIMIT, None),
    "quiet": (bool, QUIET, False),
    "server": (str | None, SERVER, None),
    "context": (str | None, CONTEXT, None),
    "timeout": (str | None, TIMEOUT, None),
}

CONNECTION = ("output", "quiet", "server", "context", "timeout")
ONE_HOST = ("output", "at", "max_age", "limit", "quiet", "server", "context", "timeout")
SHEET = tuple(name for name in ONE_HOST if name != "limit")
SOCKETS = tuple(_OPTIONS)
QUESTION = tuple(name for name in SOCKETS if name not in ("since", "until"))
SPAN = tuple(name for name in _OPTIONS if name != "at")
SPAN_OF_HOST = tuple(name for name in SPAN if name not in ("host", "label"))


@dataclass(frozen=True, slots=True)
class Common:
    """What the shared options say, checked."""

    destination: settings.Destination
    collector_named: bool  # by option, environment or file; False: it is the default's socket
    timeout_s: float
    output: str
    output_is_typed: bool
    quiet: bool
    selection: Selection
    since_us: int = 0  # 0 where it was not said; of a span the selection is about its end
    broken: CliError | None = (
        None  # what is wrong with the settings that name the collector, where a command goes on all the same
    )
    watching: bool = False  # what comes and goes is to be shown, too

    def only_answers(self, option: str) -> None:
        """UsageError where something is watched, and `option` makes sense of an answer only."""
        if self.watching:
            raise UsageError(f"{option} makes no sense of what is watched; leave it out")

    def silenced(self) -> "Common":
        """The same without a word on coverage, where nobody was asked."""
        return replace(self, quiet=True)

    @property
    def asked_at(self) -> bool:
        """The question is about the past."""
        return self.selection.at_us != 0

    @property
    def by_item(self) -> bool:
        """Items with all there is of them, where the table of a command may be a layout of its own."""
        return self.output != "table"

    def within(self, formats: Sequence[str], what: str) -> "Common":
        """The same in one of these formats: UsageError where `what` makes no sense in the one that was typed, and a
        table where only the environment has it, which is meant for every command."""
        if self.output in formats:
            return self
        if self.output_is_typed:
            raise UsageError(f"-o {self.output} makes no sense for {what}; ask for {_listed(formats)}")
        return replace(self, output=DEFAULTS["output"])


def takes_common(
    names: tuple[str, ...], formats: tuple[str, ...] = FORMATS, *, broken_settings: bool = False
) -> Callable[[Callable[P, int]], Callable[..., int]]:
    """Gives a command the named options in place of its parameter `common`; where `broken_settings` are taken they are
    no error, and named there."""

    def decorate(command: Callable[P, int]) -> Callable[..., int]:
        @functools.wraps(command)
        def wrapper(**given: Any) -> int:  # noqa: ANN401  # typer passes what the options are typed as
            shared = {name: given.pop(name) for name in names}
            try:
                given["common"] = checked(shared, formats, broken_settings=broken_settings)
                return command(**given)  # type: ignore[call-arg]  # typer calls by name
            except UsageError as error:
                raise _with_variables(error, click.get_current_context()) from error

        wrapper.formats = formats  # type: ignore[attr-defined]  # for completing
        own = [p for p in inspect.signature(command).parameters.values() if p.name != "common"]
        wrapper.__signature__ = inspect.Signature([*own, *_parameters(names, formats)])  # type: ignore[attr-defined]  # typer reads it
        wrapper.__annotations__ = {p.name: p.annotation for p in wrapper.__signature__.parameters.values()}  # type: ignore[attr-defined]
        return wrapper

    return decorate


def _with_variables(error: UsageError, context: click.Context) -> UsageError:
    """The error with the variables that said what it is about: nobody sees them on the line that was typed."""
    sentence = str(error)
    said = [
        f"{max(p.opts, key=len)} is from {p.envvar}"
        for p in of_environment(context)
        if f'"{p.value_from_envvar(context)}"' in sentence or any(re.search(rf"{o}(?![\w-])", sentence) for o in p.opts)
    ]
    return UsageError(f"{sentence} ({', '.join(said)})") if said else error


def of_environment(context: click.Context) -> list[click.Option]:
    """The options of a command, and of the program, whose value the environment has."""
    of_environment = click.core.ParameterSource.ENVIRONMENT
    parents = dict.fromkeys((context, context.find_root()))
    found = {
        str(p.envvar): p
        for c in parents
        for p in c.command.params
        if isinstance(p, click.Option) and p.name and c.get_parameter_source(p.name) is of_environment
    }
    return [p for p in found.values() if not is_typed(context, p.name or "")]


def _parameters(names: tuple[str, ...], formats: tuple[str, ...]) -> Iterator[inspect.Parameter]:
    # What some commands mean otherwise.
    others = {"output": _output(formats), "until": _UNTIL_OF_SINCE}
    if _of_span(names):
        others |= {"since": _SINCE_OF_SPAN, "until": _UNTIL}
    for name in names:
        kind, option, default = _OPTIONS[name]
        # Annotated[kind, option] in words that a type checker does not take for a type.
        annotation = operator.getitem(Annotated, (kind, others.get(name, option)))
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _of_span(names: Container[str]) -> bool:
    """Whether a command with these options is about all that lies between two times."""
    return "until" in names and "at" not in names


def watched(command: Callable[..., int]) -> Callable[..., int]:
    """The same command where its question stays open: what makes no sense then is not offered. It is known still, so
    that who says it is told why it is refused."""

    @functools.wraps(command)
    def wrapper(**given: Any) -> int:  # noqa: ANN401  # typer passes what the options are typed as
        return command(**given)

    parameters = [_watched(parameter) for parameter in inspect.signature(command).parameters.values()]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _watched(parameter: inspect.Parameter) -> inspect.Parameter:
    if parameter.name not in ("output", *_OF_ANSWERS):
        return parameter
    kind, declared = get_args(parameter.annotation)
    if parameter.name == "output":
        declared = _output(WATCH_FORMATS, "|".join(WATCH_FORMATS))
    else:
        declared = copy.copy(declared)
        declared.hidden = True
    return parameter.replace(annotation=operator.getitem(Annotated, (kind, declared)))


def of_commands(command: click.Command, path: str = "") -> Iterator[tuple[str, click.Option]]:
    """Every option that has a twin, of a command and all below it, each with its command's path."""
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.envvar:
            yield path, parameter
    for name, below in command.commands.items() if isinstance(command, click.Group) else ():
        if name == WATCH:  # the same commands once more, with the same twins
            continue
        yield from of_commands(below, f"{path} {name}".strip())


def shared(program: click.Command) -> dict[str, click.Option]:
    """The shared options by name, as the commands of the program have them."""
    by_twin = {str(o.envvar): o for _, o in of_commands(program)}
    return {name: by_twin[_twin(name)] for name in _OPTIONS}


def checked(given: dict[str, Any], formats: Sequence[str], *, broken_settings: bool = False) -> Common:
    """The shared options as given, checked; UsageError where one makes no sense."""
    watching = _is_watched()
    formats = WATCH_FORMATS if watching else formats
    command = click.get_current_context()
    output = given.get("output") or DEFAULTS["output"]
    if output not in (*FORMATS, *OF_AUDIT, *OF_MAP, *formats):
        if _is_netstat(command) and _LETTERS_OF_NETSTAT.fullmatch(output):
            raise UsageError(f"-o {output}: {O_OF_NETSTAT}")
        guess = suggestion(output, list(formats)) or f"; the formats are {_listed(formats)}"
        raise UsageError(f'-o {output}: there is no format "{output}"{guess}')
    now_us = times.now_us()
    at, since, max_age = _asked_time(given), given.get("since"), given.get("max_age")
    selection = Selection(
        # Names of hosts are lower-case, and a name that is typed otherwise is meant all the same.
        host_globs=tuple(dict.fromkeys(glob.lower() for glob in given.get("host") or ())),
        at_us=times.parse_time(at, now_us) if at else 0,
        max_age_ms=times.parse_duration(max_age) // 1000 if max_age else 0,
        limit=given.get("limit") or 0,
        labels=parse_asked(given.get("label") or ()),
    )
    timeout_us = times.parse_duration(nearest(command, "timeout") or DEFAULTS["timeout"])
    for name in ("at", "since", "until", "limit"):
        if watching and given.get(name):
            raise UsageError(f"--{name} makes no sense of what is watched, which is now, and all of it; leave it out")
    end = "--until" if given.get("until") else "--at"
    machine = settings.this_machine()
    server, context = collector_named(command)
    destination, named, broken = settings.Destination(""), server is not None, None
    try:
        destination = settings.destination(server, context, machine)
        named = named or settings.configured(context, machine) is not None
    except CliError as error:
        if not broken_settings:
            raise
        broken = error
    common = Common(
        destination=destination,
        collector_named=named,
        timeout_s=timeout_us / times.SECOND_US,
        output=output,
        output_is_typed=is_typed(command, "output"),
        quiet=bool(given.get("quiet")),
        selection=selection,
        since_us=_since(since, selection.at_us, now_us, of_span=_of_span(given), end=end) if since else 0,
        broken=broken,
        watching=watching,
    )
    return common.within(formats, command.command_path.partition(" ")[2])


def _asked_time(given: Mapping[str, Any]) -> str | None:
    """The time that the question is about as it was typed, be it called --at or --until."""
    at, until = given.get("at"), given.get("until")
    if not until or _of_span(given):
        return until or at
    if not given.get("since"):
        raise UsageError("--until is the later time of two; say --since as well, or --at for what was there then")
    if at:
        raise UsageError("--at and --until are the same beside --since; leave one of them out")
    return str(until)


def _is_netstat(command: click.Context) -> bool:
    return command.info_name == "netstat"


def _is_watched() -> bool:
    parent = click.get_current_context().parent
    return parent is not None and parent.info_name == WATCH


def _since(text: str, at_us: int, now_us: int, *, of_span: bool, end: str) -> int:
    since_us = times.parse_time(text, now_us)
    if of_span and since_us >= (until_us := at_us or now_us):
        raise UsageError(
            f'--since "{text}" is not before {times.local(until_us)}; --since is the earlier time of the two'
        )
    if not of_span and 0 < at_us < since_us:
        raise UsageError(
            f'--since "{text}" is later than {end}; what began in between can be asked for, the earlier first'
        )
    return since_us


def collector_named(context: click.Context) -> tuple[str | None, str | None]:
    """The server and the context that somebody named. A context that was typed leaves no server of the environment."""
    server, name = nearest(context, "server"), nearest(context, "context")
    if name and is_typed(context, "context") and not is_typed(context, "server"):
        server = None
    return server, name


def is_typed(context: click.Context, name: str) -> bool:
    """Whether an option stands on the command line, behind the command or before it."""
    typed = click.core.ParameterSource.COMMANDLINE
    return any(c.get_parameter_source(name) is typed for c in (context, context.find_root()))


def nearest(context: click.Context, name: str) -> str | None:
    """An option that may stand before the command too: after it, before it, in the environment, in this order."""
    before: str | None = context.find_root().params.get(name)
    after: str | None = context.params.get(name)
    after_is_typed = context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    return (after or before if after_is_typed else before or after) or None
