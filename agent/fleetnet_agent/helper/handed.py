"""A socket that the service manager opened and handed over: sd_listen_fds(3), in a few lines of the standard library.

So the socket is there before the helper and while it is started anew, belongs to whom its unit says, and the helper
needs no right to make files. What must stay true: only what is meant for this process is taken, and only a unix socket
that already listens.
"""

import os
import socket
from collections.abc import Mapping

FIRST = 3  # SD_LISTEN_FDS_START, sd-daemon.h


class UnfitError(Exception):
    """What was handed over cannot be served; the text is one sentence."""


def handed_over(environment: Mapping[str, str], first: int = FIRST) -> socket.socket | None:
    """The socket, if there is one for this process. Raises UnfitError."""
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or count in ("", "0"):
        return None
    if count != "1":
        raise UnfitError(
            f"the service manager handed over {count} sockets: have one ListenStream= in the socket's unit"
        )
    os.set_inheritable(first, False)
    given = socket.socket(fileno=first)
    listens = given.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if (given.family, given.type, listens) != (socket.AF_UNIX, socket.SOCK_STREAM, 1):
        given.close()
        raise UnfitError(
            "the service manager handed over something else than a listening unix socket: have ListenStream=/PATH and "
            "no Accept= in the socket's unit"
        )
    return given
