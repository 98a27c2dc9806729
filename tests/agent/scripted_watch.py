"""A host whose sockets a test opens and closes: looked at like the real one, by difference."""

import itertools
import threading
import time
from collections.abc import Generator

from fleetnet_agent.records import (
    Brief,
    Closed,
    Difference,
    Family,
    Holder,
    LiveItem,
    LiveSocket,
    LiveWanted,
    OwnerStatus,
    Process,
    Protocol,
    Snapshot,
    Socket,
    SocketKey,
    Source,
    SourceStatus,
    State,
    TcpInfo,
    Timer,
)

WHOLE = SourceStatus("tcp", True, "")
BLIND = SourceStatus("tcp", False, "not read: no room", blind=True)


def process(pid: int = 812, name: str = "nginx") -> Process:
    return Process(pid, 1_700_000_000_000_000, name, f"/usr/sbin/{name}", name)


def holder(*owners: Process) -> Holder:
    return Holder(0, "root", "nginx.service", "", OwnerStatus.KNOWN, owners or (process(),))


def tcp(number: int, state: State = State.ESTABLISHED, held_by: Holder | None = None) -> Socket:
    """A socket named by `number`."""
    return Socket(
        key=SocketKey(0, Protocol.TCP, 1_000_000 + number),
        family=Family.IPV4,
        state=state,
        local_address=bytes([198, 18, 0, 1]),
        local_port=443,
        remote_address=bytes([198, 18, number >> 8 & 255, number & 255]),
        remote_port=(1024 + (number >> 16)) & 0xFFFF,
        interface="",
        v6only=None,
        recv_queue=0,
        send_queue=0,
        inode=50_000 + number,
        source=Source.DIAG,
        holder=held_by or holder(),
    )


def boottime_us(look_at_us: int) -> int:
    """What the scripted host's other clock shows at a look."""
    return look_at_us - 1_600_000_000_000_000


def _stand(socket: Socket) -> tuple[object, ...]:
    return socket.state, socket.local_address, socket.local_port, socket.remote_address, socket.remote_port


class ScriptedWatch:
    """Looks at `now`, which a test changes with open, close and change."""

    def __init__(self, *sockets: Socket) -> None:
        self.now: dict[SocketKey, Socket] = {socket.key: socket for socket in sockets}
        self.looks = 0
        self.live_looks = 0
        self.live_looks_closed = 0
        self.live_shown = 0
        self.live_has_no_end = False
        self.threads: set[int] = set()
        self._lock = threading.Lock()
        self._seen: dict[SocketKey, Socket] = {}
        self._brief: list[Socket] = []
        self._look_at_us = 0
        self.status = WHOLE
        self._told: SourceStatus | None = None
        self._clock = itertools.count(time.time_ns() // 1000, 1000)

    def open(self, *sockets: Socket) -> None:
        with self._lock:
            self.now.update({socket.key: socket for socket in sockets})

    def close(self, *sockets: Socket) -> None:
        with self._lock:
            for socket in sockets:
                del self.now[socket.key]

    def pass_by(self, *sockets: Socket) -> None:
        """These open and close before the next look."""
        with self._lock:
            self._brief += sockets

    def look(self) -> Difference:
        self.threads.add(threading.get_ident())
        self.looks += 1
        with self._lock:
            before, status = self._seen, self.status
            now = before if status.blind else dict(self.now)
            passed, self._brief = self._brief, []
        previous_us, self._look_at_us, self._seen = self._look_at_us, next(self._clock), now
        brief = tuple(Brief.of(socket, self._look_at_us - 1) for socket in passed)
        return Difference(
            look_at_us=self._look_at_us,
            previous_look_at_us=previous_us,
            opened=tuple(socket for key, socket in now.items() if key not in before),
            changed=tuple(socket for key, socket in now.items() if key in before and before[key] != socket),
            closed=tuple(Closed(key) for key in before if key not in now),
            brief=brief,
            sources=self._news(status),
            restated={key for key in now.keys() & before.keys() if _stand(before[key]) != _stand(now[key])},
            look_boottime_us=boottime_us(self._look_at_us),
        )

    def _news(self, status: SourceStatus) -> tuple[SourceStatus, ...]:
        told, self._told = self._told, status
        return () if status == told else (status,)

    def snapshot(self) -> Snapshot:
        sockets = tuple(self._seen.values())
        return Snapshot(self._look_at_us, sockets, (self.status,), look_boottime_us=boottime_us(self._look_at_us))

    def live(self, wanted: LiveWanted) -> Generator[LiveItem, None, None]:
        self.threads.add(threading.get_ident())
        self.live_looks += 1
        try:
            everything = tuple(self.now.values()) if wanted.sockets else ()
            for socket in itertools.cycle(everything) if self.live_has_no_end else everything:
                self.live_shown += 1
                yield LiveSocket(socket, Timer(1, 200, 0), TcpInfo(rtt_us=50) if wanted.details else None)
        finally:
            self.live_looks_closed += 1

    def interval_s(self) -> float:
        return 1.0
