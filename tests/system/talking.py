"""Connections to another host, held until a line comes: `python -m system.talking ADDRESS PORT COUNT`.

They are ended by a reset, so that nothing of them is left on either side.
"""

import socket
import struct
import sys

_RESET = struct.pack("ii", 1, 0)  # struct linger of socket(7): on, for no time


def main() -> None:
    """Make them, hold them, end them."""
    address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    held = [socket.create_connection((address, port)) for _ in range(count)]
    print("connected", flush=True)
    sys.stdin.readline()
    for each in held:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        each.close()
    print("ended", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
