"""A PostgreSQL server for a bench, as an administrator would have it: what is committed is on the disk."""

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
    """CPU seconds so far of the server's processes that live."""
    times = [process.cpu_times() for process in psutil.Process(server.pid).children(recursive=True)]
    return float(sum(one.user + one.system for one in times))
