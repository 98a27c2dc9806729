"""Who is asked to renew, where CAs make way for one another: hosts that are connected here and hold what is not of now.

What must stay true: a fleet does not renew at one moment; a host that was asked is asked again only after a while; a
stream whose certificate is of a CA that is not trusted any more is ended.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from fleetnet_server.errors import PeerRefused
from fleetnet_server.identity.peer import Peer
from fleetnet_server.records import HeldCertificate
from fleetnet_server.rpc.streams import Ending
from fleetnet_server.services.authorities import Authorities

ROUND_S: Final = 1.0
# A renewal and the stream after it cost a collector some 10 ms: less than half of a processor.
ASKED_A_ROUND: Final = 40
# One that did not come back renewed has its reasons, and tries again by itself too.
ASKED_AGAIN_S: Final = 600.0
# All hosts are gone through so often, and while some are behind every few seconds.
SEARCHED_S: Final = 60.0
SEARCHED_WHILE_BEHIND_S: Final = 3.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Connected:
    peer: Peer
    ask: Callable[[], None]
    end: Callable[[Ending], None]


class Renewals:
    """Of the hosts of one collector."""

    def __init__(self, authorities: Authorities, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._authorities = authorities
        self._clock_s = clock_s
        self._connected: dict[str, _Connected] = {}
        self._asked_s: dict[str, float] = {}
        self._due: list[str] = []
        self._search_s = 0.0

    def enter(self, peer: Peer, ask: Callable[[], None], end: Callable[[Ending], None]) -> object:
        """A host holds a stream, which is asked and ended so; what `leave` wants."""
        self._connected[peer.host] = here = _Connected(peer, ask, end)
        self._authorities.note("host", peer.host, peer)
        return here

    def leave(self, entered: object, host: str) -> None:
        """It does not any more, unless it holds a newer one."""
        if self._connected.get(host) is entered:
            del self._connected[host]

    def turned(self) -> None:
        """Others are trusted than before: all are to be looked at anew."""
        self._asked_s.clear()
        self._due.clear()
        self._search_s = 0.0
        for here in tuple(self._connected.values()):
            try:
                self._authorities.check(here.peer)
            except PeerRefused as error:
                here.end(Ending(str(error), error=error))

    async def round(self) -> None:
        """Ask those that are to be asked next. Raises StorageError."""
        await self._authorities.tell()
        now_s = self._clock_s()
        if now_s >= self._search_s:
            behind = [one.name for one in await self._authorities.behind() if self._is_to_renew(one)]
            self._due = [host for host in behind if self._may_be_asked(host, now_s)]
            # Who was asked and stays as he is has nobody look for others more often.
            self._search_s = now_s + (SEARCHED_WHILE_BEHIND_S if self._due else SEARCHED_S)
            if self._due:
                _log.info("hosts are asked to renew", hosts=len(self._due))
        some, self._due = self._due[:ASKED_A_ROUND], self._due[ASKED_A_ROUND:]
        for host in some:
            here = self._connected.get(host)
            if here is not None:
                self._asked_s[host] = now_s
                here.ask()

    def _is_to_renew(self, one: HeldCertificate) -> bool:
        """Also whoever was sent a new certificate, and is here with the one before: it may be lost."""
        here = self._connected.get(one.name)
        return here is not None and (self._authorities.is_old(one) or here.peer.serial != one.serial)

    def _may_be_asked(self, host: str, now_s: float) -> bool:
        asked_s = self._asked_s.get(host)
        return asked_s is None or now_s - asked_s >= ASKED_AGAIN_S
