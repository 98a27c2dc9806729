"""Laps of the same work before the agent's own watch, in this process: `python -m agent.laps LAPS CYCLES`.

In each cycle sockets of all kinds are opened, looked at, also live, closed and looked at again; some live between two
looks. What this process holds after each lap is printed, a line of JSON each: blocks of Python's allocator, and
descriptors. The watch's clock goes two seconds further in each cycle, so that a lap is longer than anything is
remembered.
"""

import gc
import json
import os
import socket
import struct
import sys
import time
from dataclasses import replace

from fleetnet_agent.host import this_host
from fleetnet_agent.records import LiveWanted
from fleetnet_agent.watch import Watch, open_watch

_ABORT = struct.pack("ii", 1, 0)  # leaves no TIME_WAIT
_CYCLE_S = 2
_LIVE = LiveWanted(sockets=True, details=True, interfaces=True, statistics=True)


def cycle(watch: Watch) -> None:
    """Open, look, close, look."""
    listener = socket.create_server(("127.0.0.1", 0))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    pair = socket.socketpair()
    ends = _connect(listener)
    watch.look(everything=True)
    list(watch.live(_LIVE))
    for _ in range(3):
        _close(*_connect(listener))  # which no look sees
    _close(*ends)
    for each in (listener, datagrams, *pair):
        each.close()
    watch.look(everything=True)
    list(watch.snapshot().sockets)


def _connect(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = socket.create_connection(listener.getsockname())
    return client, listener.accept()[0]


def _close(client: socket.socket, accepted: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    client.close()
    accepted.close()


def main(laps: int, cycles: int) -> None:
    """Look, and count."""
    ahead_us = 0
    host = replace(this_host(), boottime_us=lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 + ahead_us)
    watch = open_watch(host, helper_socket=None, namespaces="own")
    kept = socket.create_server(("127.0.0.1", 0))  # so that this process always holds something
    for _ in range(laps):
        for _ in range(cycles):
            ahead_us += _CYCLE_S * 1_000_000
            cycle(watch)
        gc.collect()
        held = {"blocks": sys.getallocatedblocks(), "descriptors": len(os.listdir("/proc/self/fd"))}
        print(json.dumps(held), flush=True)
    kept.close()
    watch.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
