"""What is told of a question that stays open, and what waits for somebody who is told it.

Sockets are told of in pages which all who are told them share, so that whatever is made of a page may be made once:
each is equal to itself alone.

What must stay true: nobody who tells ever waits for one who is told; who does not read is left behind, and told so.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from fleetnet_server.errors import AnswerGivenUp, ServerError
from fleetnet_server.records import Coverage, SocketAnswer
from fleetnet_server.storage import search

MOST_SOCKETS: Final = 50_000  # of a question
# Sockets that wait for somebody, so that all may go and others come at once; behind that he is left behind.
MOST_WAITING: Final = 2 * MOST_SOCKETS
MARK_S: Final = 25.0  # who hears nothing for three of them takes us for dead

LEFT_BEHIND: Final = "what came was not read on for too long, and you were left behind; watch again"


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class There:
    """Sockets that are there in the beginning."""

    sockets: tuple[SocketAnswer, ...]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Came:
    """Sockets that an answer has from now on."""

    sockets: tuple[SocketAnswer, ...]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Went:
    """Sockets that an answer has no longer; as they were last."""

    sockets: tuple[SocketAnswer, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """All that was known by now has been told."""


_MARK: Final = Mark()

News: TypeAlias = Coverage | There | Came | Went | Mark


class Watcher:
    """What somebody has not been told yet."""

    def __init__(self) -> None:
        self._waiting: deque[News] = deque()
        self._sockets = 0  # that wait
        self._error: ServerError | None = None
        self._woken = asyncio.Event()

    def tell(self, news: News) -> None:
        """Never waits."""
        if self._sockets + _weight(news) > MOST_WAITING:
            self._waiting.clear()
            self.fail(AnswerGivenUp(LEFT_BEHIND))
        if self._error is None:
            self._waiting.append(news)
            self._sockets += _weight(news)
            self._woken.set()

    def fail(self, error: ServerError) -> None:
        """There is no more than what waits."""
        self._error = self._error or error
        self._woken.set()

    def mark(self) -> None:
        """Let him know that there is nothing to tell, where nothing waits. Never waits itself."""
        if not self._waiting:
            self.tell(_MARK)

    async def next(self) -> News:
        """What comes next. Raises what it failed with."""
        while not self._waiting:
            if self._error is not None:
                raise self._error
            self._woken.clear()
            await self._woken.wait()
        news = self._waiting.popleft()
        self._sockets -= _weight(news)
        return news


def pages(answers: list[SocketAnswer]) -> Iterator[tuple[SocketAnswer, ...]]:
    """These in their order, some at a time."""
    return (tuple(answers[start : start + search.PAGE]) for start in range(0, len(answers), search.PAGE))


def _weight(news: News) -> int:
    """How many sockets it tells of; a host that is silent counts as one of them."""
    match news:
        case There() | Came() | Went():
            return len(news.sockets)
        case Coverage():
            return len(news.hosts_stale)
    return 0
