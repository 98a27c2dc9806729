"""`fleetnet-server`: the command line of the collector.

Heavy libraries are imported by the command that needs them, so that `--help` and usage errors are quick. Exit status:
0 done, 2 anything that the user must know, in one sentence on stderr.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from fleetnet_server import ca_commands, config
from fleetnet_server.errors import ServerError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(config.load(options, os.environ), options)
    except ServerError as error:
        print(f"fleetnet-server: {error}", file=sys.stderr)
        return 2
    except PermissionError as error:  # wherever it is met: all files are the collector's own, or were named here
        print(
            f"fleetnet-server: {error.filename} cannot be used by this user: {error.strerror}; run this as the "
            "collector's user, or give another path",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return 130  # as a shell has it for SIGINT
    return status


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version  # slow, and rarely asked for

        print(f"{parser.prog} {version('fleetnet-server')}")
        parser.exit()


class _Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong, as every other error does, and not the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'{self.prog}: {message}; see "{self.prog} --help"\n')


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fleetnet-server",
        description="The collector of fleetnet: keeps the history of every socket of a fleet and answers questions.",
        epilog=f"Every option has a twin in the environment: --data is {config.ENVIRONMENT_PREFIX}DATA.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    run = _add(commands, "run", "serve until SIGTERM", _run)
    config.add_run_options(run)
    migrate = _add(commands, "migrate", "bring the database's tables up to date, and end", _migrate)
    migrate.add_argument("--plan", action="store_true", help="only say which steps are due")
    migrate.add_argument("--recount", action="store_true", help="and count anew what hosts hold open")
    backup = _add(commands, "backup", "write CA and embedded database to a new file, collector running or not", _backup)
    restore = _add(commands, "restore", "put a backup into a data directory that has nothing yet", _restore)
    for command in (backup, restore):
        command.add_argument("file", metavar="FILE", type=Path, help="holds the CA's key: keep it as safe")
    _add(commands, "quarantine", "list the reports of hosts that could not be stored", _quarantine)
    _add_ca(commands)
    doctor = _add(commands, "doctor", "say what is wrong with this collector, and what to do", _doctor)
    config.add_run_options(doctor)
    return parser


def _add(
    commands: "argparse._SubParsersAction[_Parser]",
    name: str,
    what: str,
    command: Callable[[config.Config, argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
    parser.set_defaults(command=command)
    config.add_options(parser)
    return parser


def _add_ca(commands: "argparse._SubParsersAction[_Parser]") -> None:
    about = "the fleet's own CA: make it, bring one, let another take its place, look at it"
    below = commands.add_parser("ca", help=about, description=about[0].upper() + about[1:] + ".").add_subparsers(
        metavar="COMMAND", required=True
    )
    for name, what, command, add_options in ca_commands.COMMANDS:
        add_options(_add(below, name, what, command))


def prepare_grpc() -> None:
    """Before gRPC is imported, which reads these then."""
    # Its own lines on stderr are about strangers' handshakes, without bound and in words of its source code. The one
    # cipher suite works with RSA certificates alone, and ours are not: so TLS 1.2 finds no suite and ends in the
    # handshake (TLS 1.3 has suites of its own, which this does not touch).
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES256-GCM-SHA384"


def _run(settings: config.Config, _: argparse.Namespace) -> int:
    prepare_grpc()
    from fleetnet_server import logs
    from fleetnet_server.run.collector import run

    logs.configure()
    run(settings)
    return 0


def _migrate(settings: config.Config, options: argparse.Namespace) -> int:
    from fleetnet_server.run.upkeep import migrate

    for line in migrate(settings, only_plan=options.plan, recount=options.recount):
        print(f"fleetnet-server: {line}", flush=True)
    return 0


def _backup(settings: config.Config, options: argparse.Namespace) -> int:
    from fleetnet_server.run.backup import backup

    print(f"fleetnet-server: {backup(settings, options.file)}")
    return 0


def _restore(settings: config.Config, options: argparse.Namespace) -> int:
    from fleetnet_server.run.backup import restore

    print(f"fleetnet-server: {restore(settings, options.file)}")
    return 0


def _quarantine(settings: config.Config, _: argparse.Namespace) -> int:
    from fleetnet_server.run.upkeep import quarantined

    for line in quarantined(settings):
        print(line)
    return 0


def _doctor(settings: config.Config, _: argparse.Namespace) -> int:
    from fleetnet_server.run.doctor import examine

    findings = examine(settings)
    for finding in findings:
        print(finding)
    return 0 if all(finding.ok for finding in findings) else 2
