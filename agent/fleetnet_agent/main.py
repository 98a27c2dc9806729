"""The command `fleetnet-agent`: enroll, run, once, doctor.

Imports little: `--help` must be quick, and `run --with-helper` starts the helper before gRPC is there. Every AgentError
becomes one line on stderr and its exit status here, and nowhere else.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from fleetnet_agent import config
from fleetnet_agent.config import Settings
from fleetnet_agent.errors import AgentError
from fleetnet_agent.helptext import Formatter
from fleetnet_agent.lean import without_openssl
from fleetnet_agent.log import PROGRAM, printable
from fleetnet_agent.version import VERSION

DESCRIPTION: Final = "Reads the sockets, interfaces and routes of this host and reports what changes to its collector."
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE, likewise


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status."""
    typed = _parser().parse_args(arguments)
    command: Callable[[Settings], int] = COMMANDS[typed.command][0]
    # gRPC's core writes its own lines for what is told in one sentence here.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        return command(config.settings(typed.command, typed, os.environ))
    except AgentError as error:
        print(f"{PROGRAM}: {printable(str(error))}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


class _Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong, as every other error does, and not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'{self.prog}: {message}; see "{self.prog} --help"\n')


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description=DESCRIPTION, formatter_class=Formatter)
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, summary) in COMMANDS.items():
        description = summary.capitalize() + "."
        command = commands.add_parser(name, help=summary, description=description, formatter_class=Formatter)
        config.add_options(command, name)
    return parser


def _enroll(settings: Settings) -> int:
    from fleetnet_agent.enroll import enroll, read_token

    if not settings.server:
        raise AgentError("the collector's address is needed; give --server HOST:PORT")
    token = read_token(settings.token_file, settings.token)
    joined = enroll(settings.server, token, settings.state, force=settings.force)
    identity = joined.identity
    host, report_to = printable(identity.host), printable(", ".join(identity.report_addresses))
    # A helper needs root to start it, and without root there is nothing else that could be told.
    helper = " --with-helper" if os.geteuid() == 0 else ""
    print(f"enrolled as {host}; reports to {report_to}; start with: {PROGRAM} run{helper} --state {settings.state}")
    if joined.pending:
        print(
            f"{host} waits to be approved, and reports nothing before; an operator runs: fleetnet host approve {host}; "
            "an agent that runs already tries again by itself",
            file=sys.stderr,
        )
    return 0


def _run(settings: Settings) -> int:
    with without_openssl():
        from fleetnet_agent.run import run

    return run(settings)


def _once(settings: Settings) -> int:
    from fleetnet_agent.once import once

    return once(settings)


def _doctor(settings: Settings) -> int:
    from fleetnet_agent.doctor import doctor

    return doctor(settings)


COMMANDS: Final[dict[str, tuple[Callable[[Settings], int], str]]] = {
    "enroll": (_enroll, "join the fleet with a one-time token"),
    "run": (_run, "report to the collector until told to stop"),
    "once": (_once, "print what would be sent, and talk to nobody"),
    "doctor": (_doctor, "check this agent, and say what to do about what is wrong"),
}
