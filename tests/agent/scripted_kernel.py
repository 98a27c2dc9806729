"""A table of sockets in memory that answers as inet_diag does, for what a real kernel does not do on demand: sockets
missed or doubled by a dump, dumps that break off."""

from collections.abc import Callable, Iterator, Mapping

from agent.diag_messages import encode
from fleetnet_agent.records import Protocol, State
from fleetnet_agent.sources import inet_diag
from fleetnet_agent.sources.source import Codec, Part, Sighting, SourceError


class ScriptedKernel:
    """Sockets by cookie; both a `Source` and what finds sockets exactly."""

    def __init__(
        self,
        protocol: Protocol = Protocol.TCP,
        codec: Codec = inet_diag.CODEC,
        encoded: Callable[[Sighting], bytes] | None = None,
    ) -> None:
        self.protocol = protocol
        self.codec = codec
        self.listening = 1 << State.LISTEN
        self.sharing = inet_diag.ALL_STATES if codec.get_request is None else self.listening
        self._encoded = encoded or (lambda one: encode(one, expires=self.expires))
        self.sockets: dict[int, Sighting] = {}
        self.missed: set[int] = set()  # not in a dump, though they are there
        self.misses_until_dump = 1_000_000
        self.doubled: set[int] = set()
        self.stale: dict[int, Sighting] = {}  # what a dump shows a first time of a socket that it shows twice
        self.denied: set[int] = set()  # an exact question does not find them, though they are there
        self.breaks_off: SourceError | None = None
        self.expires = 0  # a timer in every message
        self.dumps = 0
        self.asked: list[int] = []

    def put(self, *sightings: Sighting) -> None:
        """These are there now, as they are."""
        for one in sightings:
            assert isinstance(one.name, int)
            self.sockets[one.name] = one

    def read(self, states: int) -> Iterator[Part]:
        """See `Source`."""
        self.dumps += 1
        missed = self.missed if self.dumps <= self.misses_until_dump else set()
        shown = [one for one in self.sockets.values() if one.name not in missed and 1 << one.state & states]
        shown = [*self.stale.values(), *shown, *(one for one in shown if one.name in self.doubled)]
        middle = len(shown) // 2
        yield self._part(shown[:middle])
        if self.breaks_off:
            raise self.breaks_off
        yield self._part(shown[middle:])

    def find(self, messages: Mapping[int, bytes]) -> Mapping[int, bytes]:
        """See `changes.Find`."""
        self.asked += messages
        if self.codec.get_request is None:
            return {}
        there = self.sockets.keys() & messages.keys() - self.denied
        return {cookie: self._encoded(self.sockets[cookie]) for cookie in there}

    def _part(self, shown: list[Sighting]) -> Part:
        messages = [self._encoded(one) for one in shown]
        return Part([self.codec.cookie_of(message) for message in messages], messages, last=False)
