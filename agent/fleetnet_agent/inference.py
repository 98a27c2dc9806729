"""Who held a connection that was never seen open: whoever holds the listener it came in by. Pure."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from fleetnet_agent.records import Holder, OwnerStatus
from fleetnet_agent.sources.source import End, Sighting

NOBODY_NOW = Holder(uid=None, user="", unit="", container="", owner_status=OwnerStatus.GONE, owners=())


class Listeners:
    """The listeners of one look, and who holds them."""

    def __init__(self, listeners: Iterable[tuple[Sighting, Holder]], nobody: Holder = NOBODY_NOW) -> None:
        self._nobody = nobody  # holds what came in by no listener
        self._by_port: dict[int, dict[bytes, Holder]] = defaultdict(dict)
        inferred: dict[Holder, Holder] = {}
        for listener, holder in listeners:
            if holder not in inferred:
                inferred[holder] = _inferred(holder)
            self._by_port[listener.local_port].setdefault(listener.local_address, inferred[holder])
        self._found: dict[tuple[int, bytes], Holder] = {}

    def holder_of(self, connection: End) -> Holder:
        """The holder of its listener; where it came in by none, all that is known is that nobody holds it any more.

        A connection that its own end aborted has lost its local address: then any listener on its port will do.
        """
        port, address = connection.local_port, connection.local_address
        on_port = self._by_port.get(port)
        if on_port is None:
            return self._nobody
        holder = self._found.get((port, address))
        if holder is None:  # thousands come in by one listener
            holder = self._found[port, address] = _holder_at(address, on_port, self._nobody)
        return holder


def _holder_at(address: bytes, on_port: dict[bytes, Holder], nobody: Holder) -> Holder:
    candidates = [address, bytes(16), bytes(4)]
    if not any(address):
        candidates += on_port
    return next((on_port[each] for each in candidates if each in on_port), nobody)


def _inferred(holder: Holder) -> Holder:
    """The same, but said to be inferred; where the listener's owners are not known, why that is so stays."""
    if holder.owner_status is OwnerStatus.KNOWN:
        return replace(holder, owner_status=OwnerStatus.INFERRED)
    return holder
