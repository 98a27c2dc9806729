"""The one thread that looks at the host, so that looking never holds up the stream.

A daemon thread of its own instead of an executor: at the end of the program nobody waits for a look that hangs.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Runs blocking calls one after the other."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="looks", daemon=True).start()

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 - whatever the function takes
        """Call the function in the thread; its result, or its exception."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def call() -> None:
            try:
                result = function(*arguments)
            except BaseException as error:
                self._tell(loop, answer, None, error)
            else:
                self._tell(loop, answer, result, None)

        self._calls.put(call)
        return await answer

    def post(self, function: Callable[[], None]) -> None:
        """Call the function, which never raises, in the thread; nobody waits for it."""
        self._calls.put(function)

    def close(self) -> None:
        """End the thread after what it was given."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # and with it the result, which may be a whole table

    @staticmethod
    def _tell(
        loop: asyncio.AbstractEventLoop, answer: "asyncio.Future[T]", result: T | None, error: BaseException | None
    ) -> None:
        def settle() -> None:
            if answer.done():  # the asker was cancelled
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # T itself, for there was no error

        if not loop.is_closed():
            loop.call_soon_threadsafe(settle)
