"""Short connections as fast as one process makes them: `python -m system.flood COUNT`; prints how many it made.

Most end by a reset, which leaves nothing behind; some leave a TIME_WAIT. Beside every tenth a UNIX pair and a UDP
socket come and go.
"""

import socket
import struct
import sys

from system.zoo import listen

_RESET = struct.pack("ii", 1, 0)
_AT_ONCE = 32  # that are open before the first of them is closed


def main() -> None:
    """Make them."""
    count = int(sys.argv[1])
    listener = listen(socket.AF_INET, "127.0.0.1")
    waiting: list[socket.socket] = []
    for number in range(count):
        client = socket.create_connection(listener.getsockname())
        accepted = listener.accept()[0]
        if number % 20:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        waiting += [client, accepted]
        if number % 10 == 0:
            waiting += [*socket.socketpair(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)]
            waiting[-1].bind(("127.0.0.1", 0))
        if len(waiting) >= _AT_ONCE:
            for one in waiting:
                one.close()
            waiting.clear()
    print(count)


if __name__ == "__main__":
    main()
