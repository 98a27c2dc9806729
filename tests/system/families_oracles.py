"""What ss and the kernel's own files say of UNIX, packet, raw and UDP-Lite sockets, in the words of our JSON."""

import re
from typing import Any

from demo.fabric import Host

_STATES = {"ESTAB": "ESTABLISHED", "UNCONN": "CLOSE", "LISTEN": "LISTEN"}
_TYPES = {"u_str": "stream", "u_dgr": "dgram", "u_seq": "seqpacket", "p_raw": "raw", "p_dgr": "dgram"}
_PID = re.compile(r"pid=(\d+),fd=")
_INODE = re.compile(r"\bino:(\d+)")
_ETH_P_ALL = 3

Row = tuple[object, ...]


def unix(host: Host) -> set[Row]:
    """type, state, queues, path, inode, inode of the peer, pids."""
    rows: set[Row] = set()
    for line in host.run("ss", "-xanpH").splitlines():
        kind, state, received, to_send, path, inode, _, peer, *users = line.split(maxsplit=8)
        rows.add(
            (
                _TYPES[kind],
                _STATES[state],
                int(received),
                int(to_send),
                None if path == "*" else path,
                int(inode),
                int(peer) or None,
                _pids(users),
            )
        )
    return rows


def our_unix(items: list[dict[str, Any]]) -> set[Row]:
    """The same of our own JSON."""
    fields = ("type", "state", "recv_queue", "send_queue", "path", "inode", "peer_inode")
    return _ours(items, "unix", fields)


def packet(host: Host) -> set[Row]:
    """type, state, Recv-Q, number of the Ethernet protocol, interface, inode, pids."""
    rows: set[Row] = set()
    for line in host.run("ss", "-0anepH").splitlines():
        if line.startswith(("p_raw", "p_dgr")):
            kind, state, received, _, local, *rest = line.split(maxsplit=5)
            protocol, _, interface = local.rpartition(":")
            found = _INODE.search(line)
            assert found
            number = _ETH_P_ALL if protocol == "*" else int(protocol.strip("[]"))
            device = None if interface == "*" else interface
            rows.add((_TYPES[kind], _STATES[state], int(received), number, device, int(found[1]), _pids(rest)))
    return rows


def our_packet(items: list[dict[str, Any]]) -> set[Row]:
    """The same of our own JSON."""
    return _ours(items, "packet", ("type", "state", "recv_queue", "local_port", "interface", "inode"))


def raw(host: Host) -> set[Row]:
    """state, queues, local address and number of the protocol, remote address, pids."""
    rows: set[Row] = set()
    for line in host.run("ss", "-wanpH").splitlines():
        state, received, to_send, local, remote, *users = line.split(maxsplit=5)
        address, _, number = local.rpartition(":")
        peer = remote.rpartition(":")[0].strip("[]")
        connected = None if peer in ("*", "0.0.0.0", "::") else peer
        protocol = 0 if number == "*" else int(number)
        rows.add((_STATES[state], int(received), int(to_send), address.strip("[]"), protocol, connected, _pids(users)))
    return rows


def our_raw(items: list[dict[str, Any]]) -> set[Row]:
    """The same of our own JSON."""
    fields = ("state", "recv_queue", "send_queue", "local_address", "local_port", "remote_address")
    return _ours(items, "raw", fields)


def udplite(host: Host) -> set[Row]:
    """state, local port, remote port, uid, inode: ss does not know them, so the kernel's files are asked."""
    rows: set[Row] = set()
    for name in ("udplite", "udplite6"):
        for line in host.run("cat", f"/proc/self/net/{name}").splitlines()[1:]:
            fields = line.split()
            ports = [int(fields[at].rpartition(":")[2], 16) for at in (1, 2)]
            state = {"07": "CLOSE", "01": "ESTABLISHED"}[fields[3]]
            rows.add((state, ports[0], ports[1] or None, int(fields[7]), int(fields[9])))
    return rows


def our_udplite(items: list[dict[str, Any]]) -> set[Row]:
    """The same of our own JSON."""
    fields = ("state", "local_port", "remote_port", "uid", "inode")
    return {tuple(item[field] for field in fields) for item in items if item["protocol"] == "udplite"}


def _ours(items: list[dict[str, Any]], protocol: str, fields: tuple[str, ...]) -> set[Row]:
    return {
        (*(item[field] for field in fields), tuple(owner["pid"] for owner in item["owners"]))
        for item in items
        if item["protocol"] == protocol
    }


def _pids(users: list[str]) -> tuple[int, ...]:
    return tuple(sorted({int(pid) for pid in _PID.findall(users[0] if users else "")}))
