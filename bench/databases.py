"""A PostgreSQL server for a bench, as an administrator would have it: what is committed is on the disk."""

import contextlib
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from server.postgresql import Server


def durable() -> "Server":
    """Started; to be removed by who asked for it."""
    from server.postgresql import Server  # the tests' own; they find it where PYTHONPATH says so

    server = Server()
    server.stop()
    server.start("fsync=on", "synchronous_commit=on", "autovacuum=on", "shared_buffers=256MB")
    return server


def cpu_s(server: "Server") -> float:
    """CPU seconds so far of the server's processes, those that have ended among them."""
    first = psutil.Process(server.pid)
    used_s = 0.0
    for process in first.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # then it is among those that have ended
            times = process.cpu_times()
            used_s += times.user + times.system
    ended = first.cpu_times()
    return float(used_s + ended.children_user + ended.children_system)
