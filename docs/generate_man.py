"""Write the manual pages: what --help says of each program, and of each of its commands, as roff.

Usage: python docs/generate_man.py FOLDER   (`make man` does so)

Nothing is written for the pages alone but where files are and what belongs together. Dates are those of
SOURCE_DATE_EPOCH where it is set, so that a build can be made again to the byte.
"""

import argparse
import copy
import datetime
import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import click
import fleetnet_agent.helper.main
import fleetnet_agent.main
import fleetnet_cli.main
import fleetnet_server.main
from fleetnet_cli import exits, options
from fleetnet_cli.commands.help import guides


@dataclass(frozen=True, slots=True)
class Command:
    """A program, or a command of one."""

    name: str  # "fleetnet who-listens"
    usage: str  # what may follow it
    about: str
    options: list[tuple[str, str]]  # as typed, and what it does
    after: str = ""  # examples, laid out
    below: list["Command"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    """A manual page."""

    section: int
    command: Command
    also: dict[str, str]  # other sections, as plain text that keeps its layout
    see: str


def of_click(command: click.Command, context: click.Context, shared: frozenset[str]) -> Command:
    """What click knows; options whose names are in `shared` stand with the program alone."""
    own = list(_options_of(command, context))
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return Command(
        name=context.command_path,
        usage=" ".join(command.collect_usage_pieces(context)),
        about=inspect.cleandoc(command.help or ""),
        options=[o for p in own if p.opts[0] not in shared and (o := p.get_help_record(context))],
        after=inspect.cleandoc((command.epilog or "").replace("\b\n", "")),
        below=[of_click(c, click.Context(c, context, name), shared) for name, c in below],
    )


def _options_of(command: click.Command, context: click.Context) -> Iterator[click.Option]:
    """Here is room for the options that a screen has none for; what makes no sense of what is watched is no option."""
    watched = context.parent is not None and context.parent.info_name == options.WATCH
    for option in (p for p in command.params if isinstance(p, click.Option)):
        if not option.hidden:
            yield option
        elif not watched:
            shown = copy.copy(option)
            shown.hidden = False
            yield shown


def of_argparse(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> Command:
    """What argparse knows, which lets itself be asked for it by underscores alone."""
    shown = [a for a in parser._actions if a.help is not argparse.SUPPRESS and a.dest not in without]
    groups = [a for a in shown if isinstance(a, argparse._SubParsersAction)]
    usage = " ".join(parser.format_usage().removeprefix(f"usage: {parser.prog}").split())
    return Command(
        name=parser.prog,
        usage=usage,
        about=parser.description or "",
        options=[(_typed(a), (a.help or "") % {**vars(a), "prog": parser.prog}) for a in shown if a not in groups],
        after=parser.epilog or "",
        below=[of_argparse(p, without=("help",)) for group in groups for p in group.choices.values()],
    )


def _typed(action: argparse.Action) -> str:
    choices = f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper()
    metavar = action.metavar if isinstance(action.metavar, str) else choices
    value = f" {metavar}" if action.nargs != 0 and action.option_strings else ""
    return ", ".join(f"{o}{value}" for o in action.option_strings) or metavar


def roff(page: Page, date: str) -> str:
    """The page in the man(7) macros."""
    command = page.command
    title, summary = command.name.upper(), command.about.partition("\n")[0].rstrip(".")
    return "\n".join(
        [
            f'.TH {_escaped(title)} {page.section} "{date}" "fleetnet {version("fleetnet")}"',
            ".SH NAME", f"{_escaped(command.name)} \\- {_escaped(summary)}",
            ".SH SYNOPSIS", f".B {_escaped(command.name)}", _escaped(command.usage),
            ".SH DESCRIPTION", *_paragraphs(command.about),
            *([".SH OPTIONS", *_options(command)] if command.options else []),
            *([".SH COMMANDS", *(line for c in _flat(command.below) for line in _command(c))] if command.below else []),
            *(line for name, text in page.also.items() for line in (f".SH {name}", *_kept(text))),
            *([".SH NOTES", *_kept(command.after)] if command.after else []),
            ".SH SEE ALSO", *(f".BR {name} ({section})," for name, section in _others(page.see)),
        ]
    ).removesuffix(",") + "\n"  # fmt: skip


def _flat(commands: Iterable[Command]) -> Iterator[Command]:
    for command in commands:
        yield from _flat(command.below) if command.below else (command,)


def _command(command: Command) -> Iterator[str]:
    yield f".SS {_escaped(f'{command.name} {command.usage}'.strip())}"
    yield from _paragraphs(command.about)
    yield from _options(command)
    if command.after:
        yield from (".PP", *_kept(command.after))


def _options(command: Command) -> Iterator[str]:
    for typed, help in command.options:
        yield from (".TP", f".B {_escaped(typed)}", _escaped(help or "-"))


def _paragraphs(text: str) -> list[str]:
    joined = [" ".join(p.split()) for p in text.split("\n\n")]
    return "\n.PP\n".join(_escaped(p) for p in joined if p).splitlines()


def _kept(text: str) -> list[str]:
    """Text that is laid out already. An empty line is a request of its own, which mandoc wants."""
    lines = text.strip("\n").splitlines()
    return [".nf", *(_escaped(line) if line.strip() else ".sp" for line in lines), ".fi"]


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    # A line that begins with one of these is a request to roff.
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in text.splitlines())


def _others(see: str) -> list[tuple[str, str]]:
    return re.findall(r"([\w-]+)\((\d)\)", see)


_FILES = """\
~/.config/fleetnet/config.toml   contexts, and which of them counts
/etc/fleetnet/cli.toml           the same, for all users of this machine
~/.cache/fleetnet/               names of hosts, for completion
"""


def pages() -> list[Page]:
    """All of them."""
    program = fleetnet_cli.main.build()
    context = click.Context(program, info_name="fleetnet")
    shared = options.shared(program)
    command = of_click(program, context, frozenset(o.opts[0] for o in shared.values()))
    command.options[:0] = [r for o in shared.values() if (r := o.get_help_record(context))]
    statuses = "\n".join(f"{status:<3}  {meaning}" for status, meaning in exits.MEANINGS.items())
    also = {"EXIT STATUS": statuses, "FILES": _FILES}
    also |= {name.upper(): text for name, text in guides().items() if name != "exit-codes"}
    servers = (fleetnet_server.main, fleetnet_agent.main, fleetnet_agent.helper.main)
    return [
        Page(1, command, also, "fleetnet-server(8) fleetnet-agent(8) netstat(8) ss(8)"),
        *(Page(8, of_argparse(m._parser()), {}, "fleetnet(1) fleetnet-agent(8) fleetnet-server(8)") for m in servers),
    ]


def main() -> None:
    """Write them into the folder that is named."""
    os.environ["COLUMNS"] = "1000"  # usage in one line; roff breaks it
    seconds = float(os.environ.get("SOURCE_DATE_EPOCH") or datetime.datetime.now(datetime.UTC).timestamp())
    date = datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages():
        path = folder / f"{page.command.name}.{page.section}"
        path.write_text(roff(page, date))
        print(path)


if __name__ == "__main__":
    main()
