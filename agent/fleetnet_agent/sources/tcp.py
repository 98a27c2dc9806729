"""TCP, both families."""

from collections.abc import Iterator
from functools import partial

from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.source import Part

_TIME_WAIT = 1 << State.TIME_WAIT
FEW = 1_000  # sockets, up to which one walk over the kernel's table costs more than to tell messages apart
FEW_LEFT = 8  # in TIME_WAIT, likewise among any number of sockets


class Tcp:
    """The kernel's TCP sockets."""

    protocol = Protocol.TCP
    codec = inet_diag.CODEC
    listening = 1 << State.LISTEN
    sharing = listening

    def __init__(self, diag: DiagSocket, extensions: int = 0) -> None:
        self._diag = diag
        self._extensions = extensions
        self._count = FEW + 1  # of sockets at the last reading of all
        self._left = FEW_LEFT + 1  # of these, the ones in TIME_WAIT, where they were told apart

    def read(self, states: int) -> Iterator[Part]:
        """See `Source`. TIME_WAIT in a dump of its own, and last, unless there are few sockets, or few of these.

        Its messages are shorter than the others; apart from each other, both dumps are made of equal messages, which
        are read at half the cost. A socket on its way into TIME_WAIT is so seen twice at most, the later truth second.
        But each dump walks over the whole table of the kernel, which is that of all namespaces together.
        """
        masks = [mask for mask in (states & ~_TIME_WAIT, states & _TIME_WAIT) if mask]
        together = self._count <= FEW or self._left <= FEW_LEFT
        count = left = 0
        for mask in [states] if together else masks:
            request = partial(inet_diag.tcp_dump_request, mask, extensions=self._extensions)
            for part in self._diag.dump(request):
                count += len(part.cookies)
                if not isinstance(part, inet_diag.EqualPart):
                    left += inet_diag.states_of(part.messages).count(State.TIME_WAIT)
                elif mask == _TIME_WAIT:
                    left += len(part.cookies)
                yield part
        if len(masks) > 1:
            self._count, self._left = count, left
