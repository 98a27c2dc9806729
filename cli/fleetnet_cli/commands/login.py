"""`fleetnet login`: from a one-time token to a context that asks over the network; and anew, before that ends."""

import sys
from pathlib import Path
from typing import Annotated

import click

from fleetnet_cli import exits, identities, options, settings, times
from fleetnet_cli.errors import UsageError
from fleetnet_cli.options import option
from fleetnet_cli.output import terminal

EXAMPLES = """\b
Examples:
  fleetnet login --server collector.example.com:7444 --token-file alice.token
  fleetnet login --server collector.example.com:7444 --token-file - < alice.token
  fleetnet login                                          renews what there is

An operator makes the token: fleetnet token create --person alice. It works
once. The key is made here and goes nowhere; key and certificate are kept in
~/.config/fleetnet/contexts, in a file that only you can read. A certificate
lives for 30 days. While it does, "fleetnet login" alone gets a new one.
"""

_TOKEN_CHARACTERS = 65_536  # a token has about 700


def login(
    server: Annotated[
        str | None,
        option("--server", command="login", metavar="HOST[:7444]", help="The collector's enrollment port."),
    ] = None,
    token_file: Annotated[
        str | None,
        option("--token-file", command="login", metavar="FILE", help="The token, in a file or (-) on standard input."),
    ] = None,
    token: Annotated[
        str | None,
        option("--token", command="login", metavar="TOKEN", help="The token itself; others here can see it."),
    ] = None,
    context: Annotated[
        str | None,
        option("--context", metavar="NAME", help="What the login is called (default: the collector's host)."),
    ] = None,
    timeout: Annotated[str | None, options.TIMEOUT] = None,
    quiet: Annotated[bool, options.QUIET] = False,
) -> int:
    """Log in to a collector, to ask it from this machine."""
    here = click.get_current_context()
    machine = settings.this_machine()
    timeout_s = times.parse_duration(options.nearest(here, "timeout") or options.DEFAULTS["timeout"]) / times.SECOND_US
    name = options.nearest(here, "context")
    if token is None and token_file is None:
        if server is not None:
            raise UsageError("a token is needed; give --token-file FILE, or --token-file - and it on standard input")
        return _renew(_file_of(name, machine), timeout_s, quiet=quiet)
    if server is None:
        raise UsageError("--server HOST:7444 is needed: the enrollment port of the collector that made the token")
    text = _read(token_file, token)
    from fleetnet_cli import enrollment, reach  # gRPC, TLS and cryptography: a login alone needs all of them

    name = name or reach.split_address(server, enrollment.ENROLL_PORT)[0].replace(":", "-")
    path = identities.path_of(machine.logins, name)
    if name in settings.written_contexts(machine):
        raise UsageError(
            f'a context "{name}" stands in {machine.config_files[0]} already; call the login otherwise, with --context'
        )
    done = enrollment.log_in(server, text, path, timeout_s)
    if not quiet:
        _say(f"you are {done.identity.person} ({done.role}) at {done.identity.server}, until {_day(done.identity)}")
        _say(_way_to_ask(name, machine))
    return exits.FOUND


def _renew(path: Path, timeout_s: float, *, quiet: bool) -> int:
    from fleetnet_cli import enrollment  # as above

    done = enrollment.renew(path, timeout_s)
    if not quiet:
        _say(f"renewed: you are {done.identity.person} at {done.identity.server}, until {_day(done.identity)}")
    return exits.FOUND


def _file_of(name: str | None, machine: settings.Machine) -> Path:
    """The login to renew: that of the context, or the only one."""
    logins = identities.contexts(machine.logins)
    if name is None and len(logins) == 1:
        name = logins[0]
    elif name is None and (chosen := settings.chosen_context(machine)) is not None:
        name = chosen.value
    if name not in logins:
        which = f'"{name}" is no login' if name else "there is no login"
        raise UsageError(
            f"{which} that could be renewed; give --server HOST:7444 and --token-file FILE, with a token of fleetnet "
            "token create --person NAME"
        )
    return identities.path_of(machine.logins, name)


def _read(token_file: str | None, token: str | None) -> str:
    if token is not None:
        _say("others on this machine can read a token given as an option; --token-file keeps it from them")
        return token
    try:
        if token_file == "-":  # noqa: S105 - a file name
            return sys.stdin.read(_TOKEN_CHARACTERS)
        with Path(token_file or "").open(encoding="ascii") as file:
            return file.read(_TOKEN_CHARACTERS)
    except OSError as error:
        raise UsageError(f"{token_file} cannot be read ({error.strerror}); check its name and permissions") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{token_file} holds no token; write to it what fleetnet token create printed") from error


def _way_to_ask(name: str, machine: settings.Machine) -> str:
    """How to ask there, which may take the context's name."""
    try:
        chosen = settings.chosen_context(machine)
        used = chosen is not None and chosen.value == name
    except UsageError:  # there are several, and nobody has chosen
        used = False
    return 'ask with "fleetnet hosts"' if used else f'ask with "fleetnet --context {name} hosts"'


def _day(identity: identities.Identity) -> str:
    return f"{times.local(int(identity.valid_until.timestamp()) * times.SECOND_US)} {times.zone_name()}"


def _say(sentence: str) -> None:
    err = terminal.of(sys.stderr)
    err.write(f"{sentence}\n")
    err.flush()
