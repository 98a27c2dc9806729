"""Short connections, opened and closed within milliseconds: `python -m system.short COUNT ADDRESS [PACE]`.

Each is ended in one of three ways in turn: by FIN from the client, by a reset from the client, and refused. With PACE
it makes so many in a second, else as many as it can. The ledger names each once, from the end that keeps its
addresses; so a line of it is

    fin      the client, whose end goes through TIME_WAIT; and the accepted end
    reset    the accepted end: the client's lost its remote port when it was reset
    refused  the client, which lost its remote port likewise

and where an address was lost, the ledger has what the kernel has left of it.
"""

import json
import socket
import struct
import sys
import time

from system.zoo import listen

_RESET = struct.pack("ii", 1, 0)
_ABANDONED = "0.0.0.0"

Line = tuple[str, int, str, int]


def main() -> None:
    """Make them, and tell."""
    count, address = int(sys.argv[1]), sys.argv[2]
    pace = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    listener = listen(socket.AF_INET, address)
    served = listener.getsockname()[1]
    refusing = listen(socket.AF_INET, address)
    refused = refusing.getsockname()[1]
    refusing.close()
    lines: list[Line] = []
    began_s = time.monotonic()
    for number in range(count):
        if pace:
            time.sleep(max(0.0, began_s + number / pace - time.monotonic()))
        lines += (_fin, _reset, _refused)[number % 3](listener, address, served, refused)
    print("ledger " + json.dumps(lines), flush=True)
    sys.stdin.read()


def _fin(listener: socket.socket, address: str, served: int, _: int) -> list[Line]:
    client = socket.create_connection((address, served))
    accepted = listener.accept()[0]
    port = client.getsockname()[1]
    client.shutdown(socket.SHUT_WR)
    accepted.recv(1)
    accepted.close()
    client.recv(1)
    client.close()
    return [(address, port, address, served), (address, served, address, port)]


def _reset(listener: socket.socket, address: str, served: int, _: int) -> list[Line]:
    client = socket.create_connection((address, served))
    accepted = listener.accept()[0]
    port = client.getsockname()[1]
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    client.close()
    accepted.close()
    return [(_ABANDONED, port, address, 0), (address, served, address, port)]


def _refused(_: socket.socket, address: str, __: int, refused: int) -> list[Line]:
    client = socket.socket()
    try:
        client.connect((address, refused))
    except ConnectionRefusedError:
        port = client.getsockname()[1]
        client.close()
        return [(_ABANDONED, port, address, 0)]
    raise AssertionError("somebody listens where nobody should")


if __name__ == "__main__":
    main()
