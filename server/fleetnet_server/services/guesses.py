"""How many tokens may be refused, by the address that shows them and of all together.

A secret of 256 bits is not guessed; what is bounded is what trying costs everybody else. Who has shown too many that
were refused is turned away before anything is written, and told when to come back. A whole site may share one address,
so whether the next token is a good one is looked up all the same (rpc/enroll.py), slowly and of few at a time.

What must stay true: the table of addresses is bounded, whoever connects; an address that nobody could tell from a new
one is forgotten first, and then the one that was heard longest ago. An IPv6 network of 64 bits is one address, for
that is what one machine may have.
"""

import ipaddress
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from fleetnet_server.errors import TooMuchAtOnce
from fleetnet_server.services.buckets import Bucket

# A rack that is installed with yesterday's token tries as often; a host at a time comes by once a second.
OF_ONE_AT_ONCE: Final = 60
_OF_ONE_PER_S: Final = 1.0
OF_ALL_AT_ONCE: Final = 1_000
_OF_ALL_PER_S: Final = 50.0
MOST_SOURCES: Final = 10_000


class Guesses:
    """What was refused lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = Bucket(_OF_ALL_PER_S, OF_ALL_AT_ONCE, clock())
        self._of: dict[str, Bucket] = {}  # the one heard longest ago first

    def check(self, peer: str) -> None:
        """Raises TooMuchAtOnce where this peer, as gRPC names it, may not show a token like anybody else."""
        now_s = self._clock()
        source = _source(peer)
        of_it = self._of.get(source)
        if (of_it is not None and of_it.level(now_s) < 1) or self._all.level(now_s) < 1:
            raise TooMuchAtOnce("too many tokens were refused lately; come back in a minute with a good one")

    def refused(self, peer: str) -> None:
        """A token that this peer has shown was refused."""
        now_s = self._clock()
        self._all.spend(1, now_s)
        source = _source(peer)
        of_it = self._of.pop(source, None) or Bucket(_OF_ONE_PER_S, OF_ONE_AT_ONCE, now_s)
        of_it.spend(1, now_s)
        if len(self._of) >= MOST_SOURCES:
            self._forget(now_s)
        self._of[source] = of_it

    def _forget(self, now_s: float) -> None:
        self._of = {source: bucket for source, bucket in self._of.items() if not bucket.full(now_s)}
        while len(self._of) >= MOST_SOURCES:
            del self._of[next(iter(self._of))]


def address_of(peer: str) -> str:
    """The address in what gRPC calls a peer: `ipv4:192.0.2.1:50000`, `ipv6:%5B2001:db8::1%5D:50000`; "elsewhere" where
    there is none."""
    text = unquote(peer.partition(":")[2]).rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "elsewhere"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _source(peer: str) -> str:
    """What one machine may have of addresses."""
    text = address_of(peer)
    return str(ipaddress.ip_network(f"{text}/64", strict=False)) if ":" in text else text
