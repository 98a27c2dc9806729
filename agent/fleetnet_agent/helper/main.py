"""`fleetnet-helper --socket PATH [--allow-uid USER]`: the agent's privileged helper.

Tells which processes hold which sockets (it needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH for that), lists the network
namespaces and opens a closed set of things inside them (CAP_SYS_ADMIN; CAP_NET_ADMIN and CAP_NET_BROADCAST for events),
and does nothing else. It uses no network, writes no file but its socket (none where the service manager made that), and
uses the standard library only.
docs/helper-threats.md says what that means.
"""

import argparse
import contextlib
import os
import pwd
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from fleetnet_agent import memory
from fleetnet_agent.helper.handed import UnfitError, handed_over
from fleetnet_agent.helper.server import Server, SocketInUseError
from fleetnet_agent.helptext import Formatter
from fleetnet_agent.notify import Notifier

_AGAIN_S = 0.2


class _ToldToEnd(BaseException):
    """A signal that asks to end came. Not an Exception: nothing on the way may take it for an error of its own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    notifier = Notifier(os.environ)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end)
        handed = handed_over(os.environ)
        if handed:
            options.socket = Path(os.fsdecode(handed.getsockname()))
        elif not options.socket:
            parser.error("--socket is needed where the service manager hands no socket over")
        server = Server(options.socket, options.allow_uid, handed=handed)
        if options.exit_with_stdin:
            threading.Thread(target=_end_with_stdin, daemon=True).start()
        try:
            print(f"fleetnet-helper: ready on {options.socket}", file=sys.stderr, flush=True)
            notifier.ready()
            memory.put_code_down()  # that of starting
            server.serve(lambda: notifier.alive(""), notifier.every_s if notifier.has_watchdog else None)
        finally:
            _end_once()
            server.close()
            if options.remove_directory:
                with contextlib.suppress(OSError):
                    options.socket.parent.rmdir()
    except (SocketInUseError, UnfitError) as error:
        print(f"fleetnet-helper: {error}", file=sys.stderr)
        return 2
    except _ToldToEnd:
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fleetnet-helper",
        description="Tells fleetnet-agent which processes hold which sockets and which network namespaces there are, "
        "opens sockets of the kernel's diagnostics inside them, and nothing else.",
        formatter_class=Formatter,
    )
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        default=os.environ.get("FLEETNET_AGENT_HELPER_SOCKET"),
        help="unix socket to listen on, unless the service manager hands one over (FLEETNET_AGENT_HELPER_SOCKET)",
    )
    parser.add_argument(
        "--allow-uid",
        type=_user,
        metavar="USER",
        default=os.environ.get("FLEETNET_AGENT_HELPER_ALLOW_UID", os.getuid()),
        help="user who may ask, by number or name, beside root; default the one it runs as "
        "(FLEETNET_AGENT_HELPER_ALLOW_UID)",
    )
    parser.add_argument(
        "--exit-with-stdin",
        action="store_true",
        help="end when standard input does: for an agent that must not be outlived by the helper it started",
    )
    parser.add_argument(
        "--remove-directory",
        action="store_true",
        help="at the end remove the directory of the socket too, if it is empty: for an agent that made one for it",
    )
    return parser


def _user(text: str) -> int:
    """A user's number, from that or from its name."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(f"there is no user {text!r} on this host; make it, or give a number") from None


def _end_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _end(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    # Where the signal comes while Python puts an object away, what is raised here is lost: so it is raised again.
    signal.signal(signal.SIGALRM, _end_all_the_same)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)
    raise _ToldToEnd


def _end_all_the_same(number: int, frame: object) -> None:
    raise _ToldToEnd


def _end_once() -> None:
    """It has been heard: the socket is to be removed in peace."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
