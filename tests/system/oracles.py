"""What ss says, in the words of our JSON, so that the two can be compared."""

import re
from dataclasses import dataclass
from typing import Any

from demo.fabric import Host

_STATES = {
    "ESTAB": "ESTABLISHED",
    "UNCONN": "CLOSE",
    "FIN-WAIT-1": "FIN_WAIT1",
    "FIN-WAIT-2": "FIN_WAIT2",
}
_OWNER = re.compile(r'\("(.*?)",pid=(\d+),fd=\d+\)')


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """A socket as both tools know it."""

    protocol: str
    family: str
    state: str
    recv_queue: int
    send_queue: int
    local: tuple[str, int]
    remote: tuple[str, int]  # ("", 0) without a peer
    interface: str
    owners: tuple[tuple[int, str], ...]  # pid and name, ascending


def of_ss(host: Host) -> list[Row]:
    """`ss -tuanpH` on a host, sorted."""
    return of_ss_output(host.run("ss", "-tuanpH"))


def of_ss_output(text: str) -> list[Row]:
    """What it printed, sorted."""
    return sorted(_of_line(line) for line in text.splitlines())


def of_items(items: list[dict[str, Any]]) -> list[Row]:
    """Our own JSON, sorted."""
    return sorted(_of_item(item) for item in items)


def _of_line(line: str) -> Row:
    protocol, state, recv_queue, send_queue, local, remote, *owners = line.split(maxsplit=6)
    address, port, interface = _endpoint(local)
    peer, peer_port, _ = _endpoint(remote)
    found = {(int(pid), name) for name, pid in _OWNER.findall(owners[0] if owners else "")}
    return Row(
        protocol=protocol,
        # Only IPv6 sockets show brackets, or (where they take both families) a bare star.
        family="ipv6" if local.startswith(("[", "*")) else "ipv4",
        state=_STATES.get(state, state.replace("-", "_")),
        recv_queue=int(recv_queue),
        send_queue=int(send_queue),
        local=(address, port),
        remote=(peer, peer_port) if peer_port else ("", 0),
        interface=interface,
        owners=tuple(sorted(found)),
    )


def _endpoint(text: str) -> tuple[str, int, str]:
    """`ADDRESS%INTERFACE:PORT`, with `*` for every IPv6 address or for no port."""
    address, _, port = text.rpartition(":")
    address, _, interface = address.partition("%")
    address = address.strip("[]")
    return "::" if address == "*" else address, 0 if port == "*" else int(port), interface.rstrip("]")


def _of_item(item: dict[str, Any]) -> Row:
    return Row(
        protocol=item["protocol"],
        family=item["family"],
        state=item["state"],
        recv_queue=item["recv_queue"],
        send_queue=item["send_queue"],
        local=(item["local_address"], item["local_port"]),
        remote=(item["remote_address"] or "", item["remote_port"] or 0),
        interface=item["interface"] or "",
        owners=tuple(sorted((owner["pid"], owner["name"]) for owner in item["owners"])),
    )
