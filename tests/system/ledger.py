"""What truly is open on a host, told by the programs that opened it: the truth that answers are held against.

Programs write their ledger as one JSON line (`ledger [...]`); tests read it back. Nothing in it was asked of ss,
netstat or /proc/net.
"""

import dataclasses
import json
import socket
from collections.abc import Iterable

_LINE = "ledger "


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One socket, in the words of the JSON answer. None in the last five means "not judged"."""

    kind: str  # what it is, for a message to people
    protocol: str
    family: str
    state: str
    local_address: str
    local_port: int
    remote_address: str | None = None
    remote_port: int | None = None
    pids: tuple[int, ...] = ()  # ascending
    owner_status: str | None = "known"
    uid: int | None = None
    unit: str | None = None
    interface: str | None = None
    v6only: bool | None = None

    @property
    def name(self) -> tuple[str, str, str, int, str | None, int | None]:
        """What makes it this socket and no other."""
        return (
            self.protocol,
            self.family,
            self.local_address,
            self.local_port,
            self.remote_address,
            self.remote_port,
        )


def entry(kind: str, opened: socket.socket, state: str, **more: object) -> Entry:
    """The entry of a socket that this process has open."""
    local = opened.getsockname()
    try:
        remote = opened.getpeername()
    except OSError:  # not connected, or (SYN_SENT) not yet: then the caller says where to
        remote = (None, None)
    told: dict[str, object] = {
        "kind": kind,
        "protocol": "tcp" if opened.type == socket.SOCK_STREAM else "udp",
        "family": "ipv4" if opened.family == socket.AF_INET else "ipv6",
        "state": state,
        "local_address": local[0],
        "local_port": local[1],
        "remote_address": remote[0],
        "remote_port": remote[1],
    }
    return Entry(**{**told, **more})  # type: ignore[arg-type]  # checked where it matters: by the comparison


def write(entries: Iterable[Entry]) -> None:
    """Tell the test."""
    print(_LINE + json.dumps([dataclasses.asdict(each) for each in entries]), flush=True)


def read(said: str) -> list[Entry]:
    """The last ledger in what a program has written."""
    line = [line for line in said.splitlines() if line.startswith(_LINE)][-1]
    return [Entry(**{**each, "pids": tuple(each["pids"])}) for each in json.loads(line.removeprefix(_LINE))]
