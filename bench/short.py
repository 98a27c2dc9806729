"""Short connections over a switch: `python -m bench.short serve ADDRESS LEDGER` and `… call ADDRESS RATE SECONDS`.

The host that serves is the one whose agent is measured, and its end of each connection is one socket there. Of four
connections in turn, two are closed by the caller, one is reset by it, and one is closed by the host first, which
leaves a TIME_WAIT there. The ledger has the caller's address and port and the served port of each, 8 bytes in network
order, as accept(2) told them; it is written when the standard input ends.
"""

import resource
import select
import socket
import struct
import sys
import time
from collections import deque
from pathlib import Path

PORTS = range(9_100, 9_108)  # several, so that a caller has enough of its own ports
HOST_CLOSES = frozenset({9_103, 9_107})
RESET = frozenset({9_102, 9_106})
LINE = struct.Struct("!4sHH")

_ABORT = struct.pack("ii", 1, 0)
_BACKLOG = 4096
_HELD_S = 0.2  # by the caller, so that the host's FIN comes first
_BURST_S = 0.005


def serve(address: str, ledger: Path) -> None:
    """Accept and close until the standard input ends."""
    listeners = {port: socket.create_server((address, port), backlog=_BACKLOG) for port in PORTS}
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    by_number = {listener.fileno(): (listener, port) for port, listener in listeners.items()}
    for listener in listeners.values():
        listener.setblocking(False)
        poll.register(listener, select.POLLIN)
    print("ready", flush=True)
    lines: list[bytes] = []
    waiting: deque[socket.socket] = deque()  # for their caller to close
    while True:
        for number, _ in poll.poll(1 if waiting else None):
            if number == sys.stdin.fileno():
                ledger.write_bytes(b"".join(lines))
                print("done", flush=True)
                return
            listener, port = by_number[number]
            _accept_all(listener, port, lines, waiting)
        for _ in range(len(waiting)):
            accepted = waiting.popleft()
            try:
                if accepted.recv(1):
                    raise AssertionError("callers send nothing")
            except BlockingIOError:
                waiting.append(accepted)
                break
            except ConnectionResetError:
                pass
            accepted.close()


def _accept_all(listener: socket.socket, port: int, lines: list[bytes], waiting: deque[socket.socket]) -> None:
    while True:
        try:
            accepted, (caller, callers_port) = listener.accept()
        except BlockingIOError:
            return
        lines.append(LINE.pack(socket.inet_aton(caller), callers_port, port))
        if port in HOST_CLOSES:
            accepted.close()
        else:
            accepted.setblocking(False)
            waiting.append(accepted)


def call(address: str, rate: int, seconds: int) -> None:
    """Make connections at a steady rate."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held: deque[tuple[float, socket.socket]] = deque()
    began_s = time.monotonic()
    for number in range(rate * seconds):
        now_s = time.monotonic()
        due_s = began_s + number / rate
        if due_s > now_s:
            time.sleep(due_s - now_s + _BURST_S)
        port = PORTS[number % len(PORTS)]
        caller = socket.create_connection((address, port))
        if port in HOST_CLOSES:
            held.append((now_s, caller))
        else:
            if port in RESET:
                caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            caller.close()
        while held and held[0][0] < now_s - _HELD_S:
            held.popleft()[1].close()
    took_s = time.monotonic() - began_s
    time.sleep(_HELD_S)
    print(f"called in {took_s:.2f} s", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], Path(sys.argv[3]))
    else:
        call(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
