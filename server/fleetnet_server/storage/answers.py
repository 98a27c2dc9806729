"""What the writer thread has answered, on its way back to those who wait on the event loop.

A commit answers many at once. What must stay true: the loop is woken once for all that has come since it last looked,
not once for each; each hears in the order in which the writer answered.
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Answers:
    """Of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._come: deque[tuple[Future[Any], asyncio.Future[Any]]] = deque()
        self._loop_knows = False

    async def of(self, work: "Future[T]") -> T:
        """What a piece of work returns or raises. If nobody waits for it any more it is called off, if not begun."""
        waiter: asyncio.Future[T] = self.loop.create_future()
        work.add_done_callback(lambda done: self._has_come(done, waiter))
        try:
            return await waiter
        except asyncio.CancelledError:
            work.cancel()
            raise

    def _has_come(self, work: "Future[Any]", waiter: asyncio.Future[Any]) -> None:
        """Runs in the writer thread."""
        self._come.append((work, waiter))
        if not self._loop_knows and not self.loop.is_closed():
            self._loop_knows = True
            self.loop.call_soon_threadsafe(self._hand_out)

    def _hand_out(self) -> None:
        # First, so that what comes from now on wakes the loop again.
        self._loop_knows = False
        while self._come:
            work, waiter = self._come.popleft()
            if waiter.done():  # called off
                continue
            if (error := work.exception()) is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(work.result())
