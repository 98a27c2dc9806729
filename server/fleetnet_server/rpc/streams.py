"""The report streams that are open now, one per host: how one is ended by another task.

A stream is never cancelled from outside (its peer would be left hanging): it is told how to end, and ends itself.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from fleetnet_server.errors import KEPT_OUT, Fenced, PeerRefused, ServerError
from fleetnet_server.records import GoodCertificates
from fleetnet_server.rpc.asked import Asking


@dataclass(frozen=True, slots=True)
class Ending:
    """How a stream ends: with `error`, or with a Reconnect if `reconnect_after_ms` is set, or plainly."""

    reason: str
    error: ServerError | None = None
    reconnect_after_ms: int | None = None


@dataclass(slots=True)
class Spool:
    """What waits on a host, as its agent said last."""

    size_bytes: int = 0
    oldest_age_us: int = 0


@dataclass(frozen=True, slots=True)
class _Open:
    generation: int
    serial: str
    end: Callable[[Ending], None]
    live: Asking | None
    spool: Spool


class Streams:
    """Who is connected to this collector."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self._closing: Callable[[], Ending] | None = None

    def enter(
        self,
        host: str,
        generation: int,
        end: Callable[[Ending], None],
        live: Asking | None = None,
        spool: Spool | None = None,
        serial: str = "",
    ) -> None:
        """Note a stream, opened with the certificate of this serial; the one of the two with the lower generation is
        told to end."""
        if self._closing is not None:
            end(self._closing())
        older = self._open.get(host)
        if older is not None and older.generation > generation:
            end(_fenced())
            return
        self._open[host] = _Open(generation, serial, end, live, spool or Spool())
        self._empty.clear()
        if older is not None:
            older.end(_fenced())

    def leave(self, host: str, generation: int) -> None:
        """Forget a stream, unless a newer one of the same host has taken its place."""
        here = self._open.get(host)
        if here is not None and here.generation == generation:
            del self._open[host]
            if not self._open:
                self._empty.set()

    def connected(self, host: str) -> bool:
        """True while the host holds a stream."""
        return host in self._open

    def live(self, host: str) -> Asking | None:
        """Over what the host can be asked for a live look."""
        here = self._open.get(host)
        return here.live if here else None

    def count(self) -> int:
        """How many hosts hold a stream."""
        return len(self._open)

    def spools(self) -> list[Spool]:
        """What waits on the hosts that are connected; of those on which something does."""
        return [stream.spool for stream in self._open.values() if stream.spool.size_bytes]

    def end_kept_out(self, hosts: Collection[str]) -> None:
        """Tell the streams of these hosts to end, where they have any, for they may not report any more."""
        for host in hosts:
            if (stream := self._open.get(host)) is not None:
                stream.end(Ending(KEPT_OUT, error=PeerRefused(KEPT_OUT)))

    def end_others(self, good: Collection[GoodCertificates]) -> None:
        """Tell the streams of these hosts to end that were opened with none of the certificates. One that is newer than
        what is known here was judged when it was opened."""
        for host, generation, serials in good:
            stream = self._open.get(host)
            if stream is not None and stream.generation <= generation and stream.serial not in serials:
                stream.end(Ending(KEPT_OUT, error=PeerRefused(KEPT_OUT)))

    async def end_all(self, ending: Callable[[], Ending], within_s: float) -> None:
        """Tell every stream, and every one yet to come, to end, each in its own way; return when they have or the time
        is up."""
        self._closing = ending
        for stream in tuple(self._open.values()):
            stream.end(ending())
        try:
            async with asyncio.timeout(within_s):
                await self._empty.wait()
        except TimeoutError:
            return


def _fenced() -> Ending:
    sentence = "a newer stream of the same host has taken over"
    return Ending(sentence, error=Fenced(sentence))
