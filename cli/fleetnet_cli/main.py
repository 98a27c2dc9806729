"""The program `fleetnet`: its commands, and the border where every failure becomes one sentence and an exit status."""

import functools
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import click
import typer

from fleetnet_cli import exits, options
from fleetnet_cli.commands import (
    audit,
    completion,
    config,
    diff,
    doctor,
    explain,
    help,
    history,
    host,
    hosts,
    netstat,
    start,
    token,
    watch,
    who_holds,
    who_listens,
    who_talks_to,
)
from fleetnet_cli.errors import CliError, OutputFailed, UsageError
from fleetnet_cli.given_twice import Command
from fleetnet_cli.output import terminal
from fleetnet_cli.output.presentation import FORMATS
from fleetnet_cli.text import visible

_EXAMPLES = """\b
Examples:
  fleetnet who-listens 443
  fleetnet netstat web1 -tulpn

Every answer says how far it reaches, and the exit status says it too
("fleetnet help exit-codes"). Every option has a twin in the environment:
FLEETNET_SERVER for --server, FLEETNET_WHO_LISTENS_EXPOSED for --exposed.
What a state, column or port means: "fleetnet explain CLOSE_WAIT". How times,
formats and filters are written: "fleetnet help times", formats, filters.
"""

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


# rich would be loaded for each help and each error, and its tracebacks show variables, tokens among them.
_typer = functools.partial(
    typer.Typer,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    suggest_commands=False,  # click does, and twice is too often
)


def build() -> typer.Typer:
    """The program with all its commands, each named here."""
    app = _typer(context_settings=_SETTINGS, epilog=_EXAMPLES)
    app.callback()(_before_the_command)
    app.command("who-listens", cls=Command, epilog=who_listens.EXAMPLES)(who_listens.who_listens)
    app.command("who-holds", cls=Command, epilog=who_holds.EXAMPLES)(who_holds.who_holds)
    app.command("who-talks-to", cls=Command, epilog=who_talks_to.EXAMPLES)(who_talks_to.who_talks_to)
    app.command("host", cls=Command, epilog=host.EXAMPLES)(host.host)
    app.command("hosts", cls=Command, epilog=hosts.EXAMPLES)(hosts.hosts)
    app.command("diff", cls=Command, epilog=diff.EXAMPLES)(diff.diff)
    app.command("history", cls=Command, epilog=history.EXAMPLES)(history.history)
    app.command("netstat", cls=Command, epilog=netstat.EXAMPLES)(netstat.netstat)
    app.command("audit", cls=Command, epilog=audit.EXAMPLES)(audit.audit)
    watched = _typer(help=watch.HELP, epilog=watch.EXAMPLES)
    watched.callback()(watch.nothing)
    watched.command("who-listens", cls=Command, epilog=watch.EXAMPLES)(options.watched(who_listens.who_listens))
    watched.command("who-holds", cls=Command, epilog=watch.EXAMPLES)(options.watched(who_holds.who_holds))
    watched.command("who-talks-to", cls=Command, epilog=watch.EXAMPLES)(options.watched(who_talks_to.who_talks_to))
    app.add_typer(watched, name=options.WATCH)
    tokens = _typer(help="Let hosts join.", epilog=token.EXAMPLES)
    tokens.callback()(_nothing)
    tokens.command("create", cls=Command, epilog=token.EXAMPLES)(token.create)
    app.add_typer(tokens, name="token")
    app.command("doctor", cls=Command, epilog=doctor.EXAMPLES)(doctor.doctor)
    app.command("explain", cls=Command, epilog=explain.EXAMPLES)(explain.explain)
    configuration = _typer(help="Say where settings come from.", epilog=config.EXAMPLES)
    configuration.callback()(config.nothing)
    configuration.command("explain", cls=Command, epilog=config.EXAMPLES)(config.explain)
    app.add_typer(configuration, name="config")
    app.command("completion", cls=Command, epilog=completion.EXAMPLES)(completion.completion)
    app.command("help", cls=Command, epilog=help.EXAMPLES)(help.help_)
    return app


def _nothing() -> None:
    """Let hosts join."""


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # slow, and rarely asked for

        click.echo(f"fleetnet {version('fleetnet')}")
        raise typer.Exit


def _before_the_command(
    server: Annotated[str | None, options.SERVER] = None,
    context: Annotated[str | None, options.CONTEXT] = None,
    timeout: Annotated[str | None, options.TIMEOUT] = None,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_version, help="Show the version."),
    ] = False,
) -> None:
    """netstat for a whole fleet, with a memory."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    has_stdout = terminal.open_what_is_closed()
    terminal.make_tolerant()
    if "_FLEETNET_COMPLETE" in os.environ:
        from fleetnet_cli import completing  # a shell asks, and not a person

        return completing.answer(typer.main.get_command(build()))
    try:
        if not has_stdout:
            raise OutputFailed(
                "stdout is closed, so no answer can be written; write it to /dev/null if it is not wanted"
            )
        status = _run(arguments)
    except KeyboardInterrupt:
        status = exits.INTERRUPTED
    except terminal.ReaderGoneError:
        _write_no_more()
        status = exits.BROKEN_PIPE
    except CliError as error:
        status = _say(error)
    return status


def _run(arguments: Sequence[str] | None) -> int:
    command = typer.main.get_command(build())
    try:
        status = command.main(
            args=None if arguments is None else list(arguments), prog_name="fleetnet", standalone_mode=False
        )
        terminal.of(sys.stdout).flush()  # a full disk shows itself only now
    except click.exceptions.NoArgsIsHelpError as error:
        below = error.ctx is not None and error.ctx.parent is not None
        click.echo(error.format_message() if below else start.SCREEN.rstrip(), err=True)
        return exits.FAILED
    except click.ClickException as error:
        raise _usage_error(error, command, sys.argv[1:] if arguments is None else arguments) from error
    except click.Abort:
        return exits.INTERRUPTED
    except (CliError, terminal.ReaderGoneError):
        raise
    except OSError as error:
        raise OutputFailed(
            f"the answer could not be written ({error.strerror or error}); make room, or write elsewhere"
        ) from error
    except Exception as error:
        if os.environ.get("FLEETNET_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}"
        raise CliError(
            f"a mistake in fleetnet itself ({what}); set FLEETNET_DEBUG=1 to see where, and report it"
        ) from error
    return status if isinstance(status, int) else exits.FOUND


def _usage_error(error: click.ClickException, program: click.Command, arguments: Sequence[str]) -> UsageError:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else _typed_path(program, arguments)
    if path == "fleetnet netstat" and (sentence := _habit_of_netstat(error)) is not None:
        return UsageError(sentence)
    if (variable := _variable(error)) is not None:
        return _wrong_variable(error, variable)
    possible = getattr(error, "possibilities", None)
    sentence = error.format_message().strip()
    if possible is not None:
        # click lists every near word in sentences of its own; one is enough.
        sentence = sentence.partition(". ")[0]
    guess = f', did you mean "{possible[0]}"?' if possible else ";"
    return UsageError(f'{sentence[:1].lower()}{sentence[1:].rstrip(".")}{guess} see "{path} --help"')


def _typed_path(command: click.Command, arguments: Sequence[str]) -> str:
    """The command that was typed, where the error does not say which it was."""
    path = "fleetnet"
    for word in arguments:
        below = command.commands.get(word) if isinstance(command, click.Group) else None
        if below is not None:
            command, path = below, f"{path} {word}"
    return path


def _habit_of_netstat(error: click.ClickException) -> str | None:
    """What to say of options that mean something else to netstat(8)."""
    if isinstance(error, click.BadOptionUsage) and error.option_name == "-o":
        return options.O_OF_NETSTAT
    if isinstance(error, click.MissingParameter) and error.ctx is not None:
        # Of -tno web1 the host was taken for the format.
        taken = error.ctx.params.get("output")
        typed = error.ctx.get_parameter_source("output") is click.core.ParameterSource.COMMANDLINE
        return f"-o {taken}: {options.O_OF_NETSTAT}" if typed and taken not in FORMATS else None
    if isinstance(error, click.NoSuchOption) and error.option_name in ("-c", "--continuous"):
        return f"{error.option_name}: for what comes and goes use fleetnet watch"
    return None


def _variable(error: click.ClickException) -> str | None:
    """The variable of the environment that has the value which the error is about; None where it was typed."""
    if not isinstance(error, click.BadParameter) or not isinstance(error.param, click.Option) or error.ctx is None:
        return None
    source = error.ctx.get_parameter_source(error.param.name or "")
    return str(error.param.envvar) if source is click.core.ParameterSource.ENVIRONMENT else None


def _wrong_variable(error: click.ClickException, variable: str) -> UsageError:
    value = os.environ.get(variable, "")
    if (
        isinstance(error, click.BadParameter)
        and error.param is not None
        and isinstance(error.param.type, click.types.BoolParamType)
    ):
        # click lists all words for yes and no, an empty one among them.
        return UsageError(f'{variable}: "{value}" is neither yes nor no; write 1 or 0')
    said = error.message.rstrip(".")
    return UsageError(f"{variable}: {said}; correct it, or unset it")


def _say(error: CliError) -> int:
    # What was written before belongs before the sentence.
    try:
        sys.stdout.flush()
    except OSError:
        _write_no_more()
    out = terminal.of(sys.stderr)
    sentence = visible(" ".join(str(error).split()))
    out.write(f"{out.paint('fleetnet:', terminal.RED)} {sentence}\n")
    return error.exit_status


def _write_no_more() -> None:
    # What is still buffered must not be tried again, with a complaint, when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
