"""Many listeners, held until the standard input ends: `python -m system.many COUNT [ADDRESS]`."""

import os
import socket
import sys

from system.ledger import entry, write
from system.zoo import listen


def main() -> None:
    """Open, tell, hold."""
    address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    opened = [listen(socket.AF_INET, address) for _ in range(int(sys.argv[1]))]
    write(entry("listener", each, "LISTEN", pids=(os.getpid(),)) for each in opened)
    sys.stdin.read()


if __name__ == "__main__":
    main()
