"""Live looks on their way: asked over a host's stream, their parts handed to whoever asked.

What must stay true: the stream never waits for an asker, and no more than MOST_HELD_BYTES wait for one; parts that
nobody asked for are passed over.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from fleetnet_proto.v1 import live_pb2, report_pb2

from fleetnet_server.errors import AgentAway, ServerError

MOST_HELD_BYTES = 8 * 1024 * 1024
_PART_BYTES = 1024
"""What a part takes at least, however little is in it."""


class Asked:
    """One live look that was asked of a host: what its stream has handed over and the asker has not taken yet."""

    def __init__(self, number: int, wanted: live_pb2.LiveWanted) -> None:
        self.number = number
        self.wanted = wanted
        self._parts: deque[tuple[live_pb2.LivePart, int]] = deque()
        self._held_bytes = 0
        self._error: ServerError | None = None
        self._news = asyncio.Event()

    def hand_over(self, part: live_pb2.LivePart, size_bytes: int) -> None:
        """A part has come. Never waits."""
        if self._error is not None:
            return
        size_bytes += _PART_BYTES
        if self._parts and self._held_bytes + size_bytes > MOST_HELD_BYTES:
            self._parts.clear()
            self.fail(AgentAway("the answer was not read as fast as it came, and was dropped; ask again"))
            return
        self._parts.append((part, size_bytes))
        self._held_bytes += size_bytes
        self._news.set()

    def fail(self, error: ServerError) -> None:
        """No more comes; the first reason counts."""
        self._error = self._error or error
        self._news.set()

    async def take(self, within_s: float) -> live_pb2.LivePart:
        """The next part. Raises TimeoutError, also where one is there and no time is left, or what it failed with."""
        if within_s <= 0:  # asyncio.timeout ends only what waits
            raise TimeoutError
        async with asyncio.timeout(within_s):
            while not self._parts:
                if self._error is not None:
                    raise self._error
                self._news.clear()
                await self._news.wait()
        part, size_bytes = self._parts.popleft()
        self._held_bytes -= size_bytes
        return part


class Asking:
    """What is asked over one stream."""

    def __init__(self, boot_id: bytes, news: Callable[[], object]) -> None:
        """`boot_id` is the boot that the sockets of its parts belong to; `news` is called when there is something to
        write."""
        self.boot_id = boot_id
        self._news = news
        self._asked: dict[int, Asked] = {}
        self._unwritten: deque[Asked] = deque()
        self._ended = False

    def ask(self, asked: Asked) -> None:
        """Have it asked."""
        if self._ended:
            asked.fail(_ended())
            return
        self._asked[asked.number] = asked
        self._unwritten.append(asked)
        self._news()

    def forget(self, asked: Asked) -> None:
        """Nobody waits for it any more."""
        self._asked.pop(asked.number, None)

    def next_question(self) -> report_pb2.LookNow | None:
        """What is to be written to the agent next."""
        while self._unwritten:
            asked = self._unwritten.popleft()
            if asked.number in self._asked:
                return report_pb2.LookNow(request=asked.number, wanted=asked.wanted)
        return None

    def hand_over(self, part: live_pb2.LivePart, size_bytes: int) -> None:
        """The agent has sent a part."""
        asked = self._asked.get(part.request)
        if asked is not None:
            asked.hand_over(part, size_bytes)

    def end(self) -> None:
        """The stream has ended: so has all that was asked."""
        self._ended = True
        for asked in self._asked.values():
            asked.fail(_ended())


def _ended() -> AgentAway:
    return AgentAway("the agent's connection ended before it had answered the live look; ask again")
