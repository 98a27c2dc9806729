"""Names of addresses and ports, as netstat(8) looks them up on the admin's machine, or none at all (-n).

netstat asks two different ways: gethostbyaddr(3) for IPv4, getnameinfo(3) for IPv6, each once an address here. Ours are
asked for many at a time, for a name server that does not answer costs seconds an address.
"""

import functools
import queue
import socket
import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

from fleetnet_cli import protocols
from fleetnet_cli.services import Services, load

NETWORKS = Path("/etc/networks")

_ASKED_AT_ONCE = 32
_LONGEST_HOST = 127  # bytes that netstat keeps of a name
_LONGEST_SERVICE = 63


class Names(Protocol):
    """How addresses and ports are written."""

    def prepare(self, addresses: Iterable[str]) -> None:
        """These will be asked for."""

    def host(self, address: str) -> str:
        """The address, or its name."""

    def network(self, address: str) -> str:
        """The address of a network, or its name."""

    def service(self, port: int, protocol: str) -> str:
        """The port, or its name."""

    def user(self, uid: int, name: str) -> str:
        """The uid, or `name`, which is that of its host."""


class Numeric:
    """No names."""

    def prepare(self, addresses: Iterable[str]) -> None:
        """Nothing to look up."""

    def host(self, address: str) -> str:
        """The address itself."""
        return address

    def network(self, address: str) -> str:
        """The address itself."""
        return address

    def service(self, port: int, protocol: str) -> str:
        """The number itself."""
        return str(port)

    def user(self, uid: int, name: str) -> str:
        """The number itself."""
        return str(uid)


class Symbolic:
    """Names of this machine: its hosts file, its name servers, its services."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._hosts: dict[str, str] = {}

    def prepare(self, addresses: Iterable[str]) -> None:
        """Looks up every address not known yet, many at a time."""
        wanted = set(addresses) - self._hosts.keys()
        todo: queue.SimpleQueue[str] = queue.SimpleQueue()
        for address in wanted:
            todo.put(address)
        workers = [
            # Daemons: a look-up cannot be interrupted, and must not keep an interrupted program alive.
            threading.Thread(target=self._look_up_all, args=(todo,), daemon=True)
            for _ in range(min(_ASKED_AT_ONCE, len(wanted)))
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _look_up_all(self, todo: "queue.SimpleQueue[str]") -> None:
        while True:
            try:
                address = todo.get_nowait()
            except queue.Empty:
                return
            self._hosts[address] = host_name(address)

    def host(self, address: str) -> str:
        """The name of an address, or the address where it has none."""
        if address not in self._hosts:
            self._hosts[address] = host_name(address)
        return self._hosts[address]

    def network(self, address: str) -> str:
        """The name of networks(5), or the address where it has none."""
        return "default" if address == "0.0.0.0" else networks().get(address, address)  # noqa: S104  # not bound to

    def service(self, port: int, protocol: str) -> str:
        """The name of a port, or its number where it has none. Of two names netstat takes the later line's."""
        if protocol == "raw":
            return protocols.load().last_names.get(port, str(port))[:_LONGEST_SERVICE]
        return self._services.last_names.get((port, protocol), str(port))[:_LONGEST_SERVICE]

    def user(self, uid: int, name: str) -> str:
        """The name, where the host has one."""
        return name or str(uid)


class _Mixed:
    """Each from one of the two."""

    def __init__(self, *, hosts: Names, ports: Names, users: Names) -> None:
        self.prepare, self.host, self.network = hosts.prepare, hosts.host, hosts.network
        self.service, self.user = ports.service, users.user


def but_for(numbers: Collection[str]) -> Names:
    """Names of this machine for all but these, of `hosts`, `ports` and `users`, which are numbers."""
    symbolic, numeric = Symbolic(load()), Numeric()
    of = {what: numeric if what in numbers else symbolic for what in ("hosts", "ports", "users")}
    return _Mixed(hosts=of["hosts"], ports=of["ports"], users=of["users"])


def host_name(address: str) -> str:
    """What netstat(8) calls an address when it may use names."""
    if address == "::":
        return "[::]"
    # 0.x.y.z is a network and no host to netstat.
    if address.startswith("0."):
        return address
    try:
        name = socket.getnameinfo((address, 0), 0)[0] if ":" in address else socket.gethostbyaddr(address)[0]
    except (OSError, UnicodeError):
        return address
    return name[:_LONGEST_HOST]


@functools.cache
def networks() -> dict[str, str]:
    """The first name of each network that networks(5) of this machine names by four numbers."""
    try:
        lines = NETWORKS.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    named = [words for line in lines if len(words := line.partition("#")[0].split()) > 1]
    return {address: name[:_LONGEST_HOST] for name, address, *_ in reversed(named)}
