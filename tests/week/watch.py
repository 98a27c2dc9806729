"""Looks at a drawn host, as the agent's own watch looks at a real one: by difference, short ones by their end."""

from collections.abc import Callable, Generator
from dataclasses import replace

from agent.scripted_watch import WHOLE
from fleetnet_agent.host import Host
from fleetnet_agent.records import Brief, Closed, Difference, LiveItem, LiveWanted, Snapshot, Socket, SocketKey, State
from week.world import World


class DrawnWatch:
    """Sees what is open in `world`, at whatever time the host's clock shows. `looked` is told each look's time."""

    def __init__(self, world: World, host: Host, looked: Callable[[int], object]) -> None:
        moments = [(at_us, life.socket, state) for life in world.lives() for at_us, state in life.changes]
        self._to_come = sorted(moments, key=lambda moment: moment[0], reverse=True)
        self._host = host
        self._looked = looked
        self._open: dict[SocketKey, Socket] = {}
        self._look_at_us = self._boottime_us = 0

    def look(self) -> Difference:
        """What changed since the look before."""
        previous_us, self._look_at_us = self._look_at_us, self._host.wall_clock_us()
        self._boottime_us = self._host.boottime_us()
        before: dict[SocketKey, Socket | None] = {}
        brief: list[Brief] = []
        while self._to_come and self._to_come[-1][0] <= self._look_at_us:
            at_us, socket, state = self._to_come.pop()
            here = self._open.get(socket.key)
            before.setdefault(socket.key, here)
            if state is None:
                self._open.pop(socket.key, None)
                if before[socket.key] is None and previous_us:
                    brief.append(Brief.of(socket, at_us))
            else:
                self._open[socket.key] = _in_state(socket, state)
        self._looked(self._look_at_us)
        moved = [(key, old, self._open.get(key)) for key, old in before.items()]
        changed = [now for _, old, now in moved if old and now]
        return Difference(
            look_at_us=self._look_at_us,
            previous_look_at_us=previous_us,
            opened=tuple(now for _, old, now in moved if now and not old),
            changed=tuple(changed),
            closed=tuple(Closed(key) for key, old, now in moved if old and not now),
            brief=tuple(brief),
            sources=() if previous_us else (WHOLE,),
            restated={socket.key for socket in changed},
            look_boottime_us=self._boottime_us,
        )

    def snapshot(self) -> Snapshot:
        """Everything that was open at the last look."""
        return Snapshot(self._look_at_us, tuple(self._open.values()), (WHOLE,), look_boottime_us=self._boottime_us)

    def live(self, wanted: LiveWanted) -> Generator[LiveItem, None, None]:
        """Nothing; nobody asks for it."""
        yield from ()

    def size(self) -> int:
        """How many sockets are open."""
        return len(self._open)


def _in_state(socket: Socket, state: State) -> Socket:
    return socket if socket.state is state else replace(socket, state=state)
