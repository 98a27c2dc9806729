"""A PostgreSQL server and a standby of it, which takes its place when it dies."""

import contextlib
import socket

from server.postgresql import Server
from server.running import wait_for

# Nothing is acknowledged that the standby has not got, and does not show.
_SYNCHRONOUS = ("synchronous_standby_names = '*'", "synchronous_commit = 'remote_apply'")


class Pair:
    """Two servers at two addresses, which stay; the standby is synchronous."""

    def __init__(self) -> None:
        self._ports = (_free_port(), _free_port())
        with contextlib.ExitStack() as held:
            self.primary = Server(port=self._ports[0])
            held.callback(lambda: self.primary.remove())
            self.standby = Server(standby_of=self.primary, port=self._ports[1])
            held.callback(lambda: self.standby.remove())
            self._await_standby()
            self._directories = (self.primary.directory, self.standby.directory)
            self._held = held.pop_all()

    def _await_standby(self) -> None:
        wait_for(lambda: self.primary.asked("SELECT 1 FROM pg_stat_replication") or None, "a standby that follows")
        # From now on, when there is one that can answer for it.
        self.primary.execute(*(f"ALTER SYSTEM SET {setting}" for setting in _SYNCHRONOUS), "SELECT pg_reload_conf()")

    def url(self, *servers: Server, more: str = "&target_session_attrs=read-write") -> str:
        """As docs/operations.md has it: both of them, or those given."""
        told = [server.address for server in servers] or [f"127.0.0.1:{port}" for port in self._ports]
        return f"postgresql+psycopg://postgres@/postgres?{'&'.join(f'host={address}' for address in told)}{more}"

    def local_url(self) -> str:
        """Both of them by their sockets, for who is in another network namespace."""
        hosts, ports = (",".join(map(str, told)) for told in (self._directories, self._ports))
        return f"postgresql+psycopg://postgres@/postgres?host={hosts}&port={ports}&target_session_attrs=read-write"

    def fail_over(self) -> None:
        """The primary has died: the standby takes its place, and a new one that of the standby."""
        self.standby.promote()
        dead, self.primary = self.primary, self.standby
        dead.remove()
        self.standby = Server(standby_of=self.primary, port=dead.port, directory=dead.directory)
        self._await_standby()

    def remove(self) -> None:
        """Leave nothing behind."""
        self._held.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
