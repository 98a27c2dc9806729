"""A real Citus cluster for tests: a coordinator that keeps no rows, and machines that do, each a server of its own."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from server.postgresql import Server

_ADDRESS = "127.0.0.1"
# What Citus makes of an error it makes as the server writes it into its log: that one was in another's way is such.
_SETTINGS = ("shared_preload_libraries=citus", "citus.shard_count=2", "max_connections=100", "log_min_messages=error")
DATABASE = "fleet"


def why_not(server: Server) -> str:
    """Why there can be no cluster of servers like this one; empty if there can."""
    found = server.asked("SELECT name FROM pg_available_extensions WHERE name = 'citus'")
    return "" if found else "Citus is not here (docs/operations.md says how to build it)"


class Cluster:
    """The coordinator, and its workers."""

    def __init__(self, coordinator: Server, workers: list[Server]) -> None:
        self.coordinator, self.workers = coordinator, workers

    @property
    def url(self) -> str:
        """As `--database` takes it."""
        return self.coordinator.url(DATABASE)

    def asked(self, question: str) -> list[object]:
        """The first column of what the coordinator answers."""
        return self.coordinator.asked(question, database=DATABASE)

    def bound_waits(self, ms: int) -> None:
        """How long a worker waits for a row: what a collector tells its session of that the coordinator does not pass
        on to the workers."""
        told = f"ALTER DATABASE {DATABASE} SET lock_timeout TO {ms}"
        self.coordinator.execute(f"SELECT run_command_on_workers('{told}')", database=DATABASE)


@contextmanager
def cluster(workers: int) -> Iterator[Cluster]:
    """One with so many workers, for as long as it is needed."""
    with ExitStack() as stack:
        servers = []
        for _ in range(1 + workers):
            servers.append(Server(*_SETTINGS, port=_free_port()))
            stack.callback(servers[-1].remove)
            servers[-1].execute(f"CREATE DATABASE {DATABASE}")
            servers[-1].execute("CREATE EXTENSION citus", database=DATABASE)
        coordinator, *others = servers
        coordinator.execute(
            f"SELECT citus_set_coordinator_host('{_ADDRESS}', {coordinator.port})",
            *(f"SELECT citus_add_node('{_ADDRESS}', {worker.port})" for worker in others),
            database=DATABASE,
        )
        made = Cluster(coordinator, others)
        made.bound_waits(ms=5000)
        yield made


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((_ADDRESS, 0))
        port: int = listener.getsockname()[1]
        return port
