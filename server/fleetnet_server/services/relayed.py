"""Live looks at hosts that report to another collector of the same database: asked for, and answered, through tables.

The database is all that collectors share, so a question waits there until the collector that has the host's stream
takes it, and each part of the answer until the asker takes it. Messages are bytes here.

What must stay true: an answer comes to its end, or to an error, or is given up within WITHIN_S; nothing of it stays.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from typing import Final

from fleetnet_server import microseconds
from fleetnet_server.errors import AgentAway, AskedTooSoon, RequestRefused, ServerError
from fleetnet_server.records import Host
from fleetnet_server.storage import live
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.live import Asked, Part

LOOK_S: Final = 0.5  # how often a collector looks for questions
TAKE_S: Final = 0.1  # how often an asker looks for parts
WITHIN_S: Final = 90.0  # for all of an answer; a collector gives its own agents a minute
FIRST_S: Final = 15.0  # until a question is taken and the host has had its turn
CLEAR_S: Final = 60.0

_REPORTED_S: Final = 150.0  # a host beats once a minute
_ERRORS: Final = {kind.__name__: kind for kind in (AgentAway, AskedTooSoon, RequestRefused)}


class Relayed:
    """Asks other collectors, and answers them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._cleared_s = 0.0

    @property
    def possible(self) -> bool:
        """Whether there may be other collectors."""
        return self._db.shared

    async def ask(self, host: Host, message: bytes) -> AsyncGenerator[bytes]:
        """The messages of the answer, for as long as they come; whoever takes the last one knows that it is. Leave it
        through contextlib.aclosing. Raises AgentAway, AskedTooSoon, RequestRefused, StorageError."""
        if not await self._db.read(live.reports, host.host_id, microseconds.now() - int(_REPORTED_S * 1e6)):
            raise AgentAway(f"the agent of {host.name} is not connected to any collector; ask for its last known state")
        question_id = secrets.randbits(62)
        this = (host.host_id, question_id)
        began_s = time.monotonic()
        await self._db.write(live.ask, *this, message, microseconds.now())
        try:
            until_s = began_s + FIRST_S
            while (left_s := until_s - time.monotonic()) > 0:
                parts = await self._db.read(live.parts, *this)
                for part in parts:
                    if part.refused:
                        raise _ERRORS.get(part.refused, AgentAway)(part.message.decode("utf-8", "replace"))
                    yield part.message
                if parts:
                    until_s = began_s + WITHIN_S
                    await self._db.write(live.drop, *this, [part.part for part in parts])
                else:
                    await asyncio.sleep(min(TAKE_S, left_s))
            raise AgentAway(f"the collector that {host.name} reports to does not answer; ask again")
        finally:
            # Even where this is cancelled: what is left would be cleared away only later.
            await asyncio.shield(self._forget(*this))

    async def waiting(self) -> list[Asked]:
        """What others have asked that nobody has taken. Raises StorageError."""
        now_s = time.monotonic()
        if now_s >= self._cleared_s + CLEAR_S:
            self._cleared_s = now_s
            await self._db.write(live.clear, microseconds.now() - int(2 * WITHIN_S * 1e6))
        return await self._db.read(live.waiting, microseconds.now() - int(FIRST_S * 1e6))

    async def answer(self, asked: Asked, answer: Callable[[bytes], AsyncGenerator[bytes]]) -> None:
        """Take a question, unless another has, and put down what `answer` makes of its message."""
        this = (asked.host_id, asked.question_id)
        message = await self._db.write(live.take, *this, microseconds.now())
        if message is None:
            return
        number = 0
        try:
            async with asyncio.timeout(WITHIN_S), contextlib.aclosing(answer(message)) as parts:
                async for part in parts:
                    number += 1
                    if not await self._put(asked, Part(number, "", part)):
                        return
        except (ServerError, TimeoutError) as error:
            kind = type(error).__name__ if type(error).__name__ in _ERRORS else AgentAway.__name__
            words = str(error) or "the answer took too long; ask again"
            await self._put(asked, Part(number + 1, kind, words.encode()))

    async def _put(self, asked: Asked, part: Part) -> bool:
        """False where nobody asks any more. Waits for room."""
        until_s = time.monotonic() + WITHIN_S
        while time.monotonic() < until_s:
            done = await self._db.write(live.put, asked.host_id, asked.question_id, part)
            if done is not False:
                return done is True
            await asyncio.sleep(TAKE_S)
        return False

    async def _forget(self, host_id: int, question_id: int) -> None:
        with contextlib.suppress(ServerError):
            await self._db.write(live.forget, host_id, question_id)
