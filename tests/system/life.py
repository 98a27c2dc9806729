"""One listener and one connection to it, led through their states a step a line: `python -m system.life`.

After each step the ledger says what is open. The steps: all open; the client has finished; both have finished;
everything closed.
"""

import os
import socket
import sys

from system.ledger import Entry, entry, write
from system.zoo import connect, listen, wait_for_state

_CLOSE_WAIT = 8  # include/net/tcp_states.h


def main() -> None:
    """Lead them."""
    mine = {"pids": (os.getpid(),)}
    listener = listen(socket.AF_INET, "127.0.0.1")
    client, accepted = connect(listener, "127.0.0.1")
    listening = entry("listener", listener, "LISTEN", **mine)
    finished = entry("client", client, "TIME_WAIT", owner_status="gone")

    def tell(*entries: Entry) -> None:
        write(entries)
        sys.stdin.readline()

    tell(listening, entry("client", client, "ESTABLISHED", **mine), entry("accepted", accepted, "ESTABLISHED", **mine))
    client.shutdown(socket.SHUT_WR)
    wait_for_state(accepted, _CLOSE_WAIT)
    tell(listening, entry("client", client, "FIN_WAIT2", **mine), entry("accepted", accepted, "CLOSE_WAIT", **mine))
    client.close()
    accepted.close()
    tell(listening, finished)
    listener.close()
    tell(finished)


if __name__ == "__main__":
    main()
