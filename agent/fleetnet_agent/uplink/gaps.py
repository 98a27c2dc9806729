"""Gaps that the next snapshot is to declare, until one that does is stored.

What must stay true: a gap that was not told with a stored snapshot is told with the next one; times that were lost for
one reason after the other are one gap, from the first of them on. Pure.
"""

from collections.abc import Iterable

from fleetnet_agent.records import Gap


class Gaps:
    """What is not known and not yet told."""

    def __init__(self) -> None:
        self._open: tuple[int, str] | None = None  # since when, and why; it ends with the look of the snapshot
        self._told_open: tuple[int, str] | None = None
        self._ended: list[Gap] = []
        self._told_ended = 0

    def since(self, from_us: int, reason: str) -> None:
        """From then on nothing is known, up to the next snapshot."""
        self._open = (min(from_us, self._open[0]) if self._open else from_us, reason)

    def add(self, gaps: Iterable[Gap]) -> None:
        """These have an end of their own."""
        self._ended += gaps

    def begin_anew(self, *, keep: bool) -> None:
        """A new epoch: the collector hears everything again, and unless told to `keep` it, that time is its own gap."""
        if not keep:
            self._open = None

    def tell(self, look_at_us: int) -> list[Gap]:
        """All of them, for a snapshot as of this look."""
        self._told_open, self._told_ended = self._open, len(self._ended)
        return [*([Gap(self._open[0], look_at_us, self._open[1])] if self._open else []), *self._ended]

    def stored(self) -> None:
        """The snapshot that told them is stored."""
        if self._open is self._told_open:
            self._open = None
        del self._ended[: self._told_ended]
        self._told_ended = 0
