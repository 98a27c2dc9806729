"""One network namespace beside its sockets: read when that is due, and what is known of it.

It is due when a change was announced, and some time after the last reading in any case. Either way it rests first, in
proportion to what the last reading took and what it will take to tell of it: a storm of changes costs a share of the
time and no more.

What must stay true: what could not be read stays as it was, and the namespace says so.
"""

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from fleetnet_agent.network.facts import Memory, Reading, read
from fleetnet_agent.records import Namespace
from fleetnet_agent.sources.source import RefusedError, SourceError

SHARE: Final = 0.01  # of the time, for reading one namespace again and again
TELLING_US: Final = 10  # for each interface and route of a namespace that changed, to encode and to send
LEAST_REST_S: Final = 0.5  # looks are a second apart, but not to the microsecond
MOST_REST_US: Final = 60_000_000  # on a machine so busy that every reading takes long, too
ASK_DRIVERS_AGAIN_S: Final = 60.0


class Place:
    """A namespace, and when to read it."""

    def __init__(
        self, identity: Namespace, clock_us: Callable[[], int], *, again_s: float, patience_s: float = 0.0
    ) -> None:
        """`identity` is what is known without reading: number, name, container, runtime and unit. That nothing leads in
        is told when it was so for longer than `patience_s`, for a namespace may be about to end; that nothing ever does
        (RefusedError), at once."""
        self.known = identity
        self.interfaces_trouble = ""  # why they could not be read, or not whole
        self.routes_trouble = ""
        self._clock_us = clock_us
        self._again_us = int(again_s * 1_000_000)
        self._memory = Memory()
        self._asked_drivers_us = 0
        self._read_at_us: int | None = None
        self._rest_us = 0
        self._announced = False
        self._patience_us = patience_s * 1_000_000
        self._shut_since_us: int | None = None

    @property
    def is_new(self) -> bool:
        """True until it was read, or tried, once."""
        return self._read_at_us is None

    def announce(self) -> None:
        """Something changed there."""
        self._announced = True

    def identify(self, identity: Namespace) -> None:
        """Name, container, runtime or unit are these now."""
        known = self.known
        self.known = replace(
            identity,
            interfaces=known.interfaces,
            routes=known.routes,
            unread=known.unread,
            routes_left_out=known.routes_left_out,
        )

    def due_at_us(self) -> int:
        """From when on it is to be read."""
        if self._read_at_us is None:
            return 0
        return self._read_at_us + (self._rest_us if self._announced else max(self._rest_us, self._again_us))

    def read(self, route: socket.socket | SourceError) -> None:
        """Read it through a NETLINK_ROUTE socket that was opened there, or take note of why there is none. Never raises
        SourceError: that is told by the two troubles then."""
        if not isinstance(route, SourceError):
            self._shut_since_us = None
        elif not isinstance(route, RefusedError) and self._is_patient():
            self._announced = True  # tried again soon
            return
        began_us, before = self._clock_us(), self.known
        if began_us - self._asked_drivers_us >= ASK_DRIVERS_AGAIN_S * 1_000_000:
            self._asked_drivers_us = began_us
            self._memory.forget_drivers()
        self._take(Reading(route, route) if isinstance(route, SourceError) else read(route, self._memory))
        self._read_at_us = self._clock_us()
        cost_us = self._read_at_us - began_us
        if self.known is not before:
            cost_us += TELLING_US * (len(self.known.interfaces) + len(self.known.routes))
        self._rest_us = min(int(max(LEAST_REST_S * 1_000_000, cost_us / SHARE)), MOST_REST_US)

    def _is_patient(self) -> bool:
        now_us = self._clock_us()
        if self._shut_since_us is None:
            self._shut_since_us = now_us
        return now_us - self._shut_since_us < self._patience_us

    def _take(self, reading: Reading) -> None:
        interfaces, routes = reading.interfaces, reading.routes
        known = self.known
        if isinstance(interfaces, SourceError):
            self.interfaces_trouble = f"not read: {interfaces}"
        else:
            self.interfaces_trouble = (
                f"{interfaces.left_out} interfaces and addresses are left out" if interfaces.left_out else ""
            )
            known = replace(known, interfaces=interfaces.all)
        if isinstance(routes, SourceError):
            self.routes_trouble = f"not read: {routes}"
        else:
            self.routes_trouble = ""
            known = replace(known, routes=routes.all, routes_left_out=routes.left_out)
        unread = isinstance(interfaces, SourceError) or isinstance(routes, SourceError)
        self._announced = unread  # tried again soon
        # An equal namespace stays the same object, so that what was told does not fill the memory twice.
        known = replace(known, unread=unread)
        self.known = self.known if known == self.known else known
