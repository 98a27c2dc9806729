"""Which namespace a number meant when the kernel told of a socket's end there. Numbers are given again soon.

What must stay true: a number means a namespace only where, since the events were read last, nobody else can have had
it; else it means nothing, and what was told with it is counted as lost.
"""

from collections.abc import Collection
from typing import Protocol as Interface


class AmbiguousError(Exception):
    """A number that more than one namespace had."""


class News(Interface):
    """Hears of numbers; see `helper.numbers.NumberNews`."""

    def take(self) -> list[tuple[int, bool]] | None: ...
    def close(self) -> None: ...


class Numbering:
    """Numbers since the events were read last. Not thread-safe."""

    def __init__(self, news: News | None) -> None:
        """Without the kernel's news nothing is sure that is not the same in all lists."""
        self._latest: dict[int, int] = {}  # inode by number
        self._settled: dict[int, int] = {}  # the same, when events were read last
        self._meant: dict[int, set[int]] = {}  # inodes in any list since then
        self._holders: dict[int, int] = {}  # how many had the number since then
        self._held: set[int] = set()
        self._taken_back: set[int] = set()
        self._lost = False  # some of the news
        self._news = news

    def list(self, inode_of: dict[int, int]) -> None:
        """A new list of the numbers there are."""
        self._read()
        self._latest = inode_of
        for number, inode in inode_of.items():
            self._meant.setdefault(number, set()).add(inode)
            if number not in self._holders:
                self._give(number)

    def meaning(self, number: int) -> int | None:
        """The inode; None where no list has the number. Raises AmbiguousError."""
        self._read()
        meant = self._meant.get(number, set())
        unsure = self._lost and self._settled.get(number) != self._latest.get(number)
        if unsure or len(meant) > 1 or self._holders.get(number, 0) > 1:
            raise AmbiguousError
        return next(iter(meant), None)

    def was_taken_back(self, number: int) -> bool:
        """True if the kernel has told so since the events were read last."""
        self._read()
        return number in self._taken_back

    def is_nameless(self, number: int) -> bool:
        """True if no list can have the number any more: who had it was gone before the next list."""
        self._read()
        return number not in self._meant and number in self._taken_back and number not in self._held

    def settle(self, waiting: Collection[int]) -> None:
        """The events that came up to now have been read, all but some of these numbers."""
        kept = {number: (self._meant.get(number, set()), self._holders.get(number, 0)) for number in waiting}
        held, taken_back = self._held & kept.keys(), self._taken_back & kept.keys()
        self._settled = self._latest
        self._meant = {number: {inode} for number, inode in self._latest.items()}
        self._holders = dict.fromkeys(self._latest, 1)
        for number, (meant, holders) in kept.items():
            if meant:
                self._meant.setdefault(number, set()).update(meant)
            if holders:
                self._holders[number] = holders
        self._held = set(self._latest) | held
        self._taken_back = taken_back
        self._lost = False

    def close(self) -> None:
        """Hear no more."""
        if self._news:
            self._news.close()

    def _read(self) -> None:
        news = self._news.take() if self._news else None
        if news is None:
            self._lost = True
        for number, given in news or ():
            if not given:
                self._held.discard(number)
                self._taken_back.add(number)
            elif number not in self._held:
                self._give(number)

    def _give(self, number: int) -> None:
        self._holders[number] = self._holders.get(number, 0) + 1
        self._held.add(number)
