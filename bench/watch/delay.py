"""How long it takes from listen(2) on a host to the line that `fleetnet watch` prints: a real agent on a real host."""

import contextlib
import math
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.measures import Bar
from demo.fabric import Fabric
from demo.fleet import Fleet, console_script, environment
from demo.programs import Program, Programs

_WITHIN_S = 30.0
# The agent looks once a second: a listener begins at any moment between two looks.
_BETWEEN_S = (0.3, 1.5)

# Listens on the port of each line it reads, and says when it did. CLOCK_MONOTONIC is that of the whole machine.
_LISTENS = """
import socket, sys, time
held = []
for line in sys.stdin:
    one = socket.socket()
    one.bind(("0.0.0.0", int(line)))
    one.listen()
    held.append(one)
    print("listens", line.strip(), time.monotonic(), flush=True)
"""
# Passes on what it reads, each line with the moment at which it was there.
_STAMPS = """
import sys, time
for line in sys.stdin:
    print(time.monotonic(), line, end="", flush=True)
"""


def delays_s(listeners: int, seed: int) -> list[float]:
    """Of so many listeners, one after another, at moments drawn from the seed. Needs root, for the host."""
    draw = random.Random(seed)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fn-bench-")))
        fabric = stack.enter_context(Fabric())
        programs = stack.enter_context(Programs(directory, environment(directory)))
        fleet = Fleet(directory, programs, fabric.add_host("collector"))
        fleet.start_collector()
        host = fabric.add_host("web1")
        fleet.enroll("web1", fleet.place)
        service = programs.start("service", host.command(sys.executable, "-c", _LISTENS))
        _listen(service, 1023)
        fleet.start_agent("web1", host)
        fleet.wait_until_fresh("web1")
        asks = '"$0" watch who-listens 1-1023 -q | "$1" -c "$2"'
        watch = programs.start(
            "watch",
            ["sh", "-c", asks, console_script("fleetnet"), sys.executable, _STAMPS],
            {"FLEETNET_SERVER": f"unix://{fleet.admin_socket}"},
        )
        watch.wait_for(r":1023 ", within_s=_WITHIN_S)
        found = []
        for port in range(1, listeners + 1):
            time.sleep(draw.uniform(*_BETWEEN_S))
            began_s = _listen(service, port)
            told = watch.wait_for(rf"^([\d.]+) \+ .*:{port} ", within_s=_WITHIN_S)
            found.append(float(told[1]) - began_s)
        return found


def _listen(service: Program, port: int) -> float:
    service.tell(str(port))
    return float(service.wait_for(rf"^listens {port} ([\d.]+)$")[1])


def bars(listeners: int, seed: int) -> list[Bar]:
    """Prints the median; the bar is that of the last but one in a hundred."""
    if os.geteuid() != 0:
        print("  from listen(2) to the line printed: needs root, for a host of its own; left out")
        return []
    found = sorted(delays_s(listeners, seed))
    p99_s = found[math.ceil(len(found) * 0.99) - 1]
    print(
        f"  from listen(2) on a host to the line printed, {len(found)} times: median {statistics.median(found):.2f} s, "
        f"p99 {p99_s:.2f} s, at most {found[-1]:.2f} s",
        flush=True,
    )
    return [Bar("listen(2) to the line that watch prints, p99", 2, p99_s, "s")]
