"""Simulated agents that lose their collector and come back, each when its own Backoff says so.

    python -m bench.fleet.returning --identities FILE --report HOST:PORT [--seed N] [--scale N] [--change-every-s S]

reads orders from stdin, one a line, and answers each with one line of JSON:

    live RATE      all begin, so many a second; answered when each has had something acknowledged
    back AT        answered when each has had something acknowledged since that moment of CLOCK_MONOTONIC
    settle         no more changes; answered with what each has done and heard, once all is acknowledged
    end

What must stay true: what a real agent does that matters to a collector is done as it does it. Batches keep their
sequence until they are acknowledged; each stream begins with what was not, then a snapshot; every attempt is a
connection of its own. The Backoff is the agent's, with base and cap divided by the scale.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import time
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from fleetnet_agent.uplink.backoff import BASE_S, CAP_S, Backoff
from fleetnet_agent.uplink.stream import WELCOME_TIMEOUT_S
from fleetnet_agent.uplink.window import DEFAULT_CREDIT
from fleetnet_proto.v1 import report_pb2

from bench.fleet.agents import Agent, Totals, options_of, orders

# Room is left for a snapshot, so a window is never full.
_WAITING_AT_MOST = DEFAULT_CREDIT - 8


@dataclass
class Attempt:
    """A connection: when it was begun, and how far it came."""

    at_s: float
    how: str = "broken"


class Returning(Agent):
    """One that lives through the loss of its stream."""

    def __init__(self, identity: dict[str, str], seed: int, options: argparse.Namespace) -> None:
        super().__init__(identity, seed, options.report, Totals(), beat_s=float("inf"))
        self._draw = random.Random(seed)
        self._backoff = Backoff(self._draw, BASE_S / options.scale, CAP_S / options.scale)
        self._change_every_s = options.change_every_s
        self._waiting: dict[int, report_pb2.AgentMessage] = {}
        self._news = asyncio.Event()
        self._changing = True
        self.closed = 0
        self.attempts: list[Attempt] = []
        self.acknowledged_s: list[float] = []  # the first of each stream
        self.wrong = ""

    async def report(self) -> None:
        """Report for ever."""
        changes = asyncio.create_task(self._change())
        try:
            while True:
                wait_s = await self._attempt()
                await asyncio.sleep(wait_s)
        finally:
            changes.cancel()

    def settle(self) -> None:
        """Change no more."""
        self._changing = False

    @property
    def settled_now(self) -> bool:
        """True if all that it has told is acknowledged."""
        return not self._waiting

    async def _change(self) -> None:
        await asyncio.sleep(self._draw.uniform(0, self._change_every_s))
        while True:
            if self._changing and self._sequence and len(self._waiting) < _WAITING_AT_MOST:
                for body in self.population.change(1):
                    self._put(body)
                self.closed += 1
            await asyncio.sleep(self._change_every_s)

    def _put(self, body: bytes) -> None:
        message = self.batch(body)
        self._waiting[self._sequence] = message
        self._news.set()

    async def _attempt(self) -> float:
        """One connection, from its beginning to its end; seconds to wait before the next."""
        self.attempts.append(attempt := Attempt(time.monotonic()))
        try:
            async with asyncio.timeout(WELCOME_TIMEOUT_S):
                answer = await self.greet()
            if answer is None:
                return self._backoff.after_failure()
            if answer.HasField("reconnect"):
                attempt.how = "sent away"
                return self._backoff.after_sent_away(answer.reconnect.after_ms / 1_000)
            attempt.how = "welcome"
            return await self._report_on(answer.welcome.committed_sequence)
        except grpc.aio.AioRpcError as error:
            if "Connection refused" in (error.details() or ""):
                attempt.how = "refused"
            return self._backoff.after_failure()
        except (TimeoutError, asyncio.InvalidStateError):
            return self._backoff.after_failure()
        finally:
            await self._channel.close()

    async def _report_on(self, committed: int) -> float:
        if not self._acked <= committed <= self._sequence:
            self.wrong = f"had {self._acked} acknowledged of {self._sequence}, and is welcomed with {committed}"
        self._forget(committed)
        for body, _ in self.population.snapshot():
            self._put(body)
        self._heard_on_this = False
        writes = asyncio.create_task(self._write(committed + 1))
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                if message.HasField("reconnect"):
                    return self._backoff.after_sent_away(message.reconnect.after_ms / 1_000)
                if message.HasField("ack"):
                    self._hear(message.ack.sequence)
            return self._backoff.after_failure()
        finally:
            writes.cancel()
            with contextlib.suppress(asyncio.CancelledError, grpc.aio.BaseError, asyncio.InvalidStateError):
                await writes

    async def _write(self, number: int) -> None:
        call = self._call
        while True:
            self._news.clear()
            while (message := self._waiting.get(number)) is not None:
                await call.write(message)
                number += 1
            await self._news.wait()

    def _hear(self, sequence: int) -> None:
        if not self._acked < sequence <= self._sequence:
            self.wrong = f"had {self._acked} acknowledged of {self._sequence}, and hears of {sequence}"
        self._forget(sequence)
        self._backoff.acknowledged()
        if not self._heard_on_this:
            self._heard_on_this = True
            self.acknowledged_s.append(time.monotonic())

    def _forget(self, sequence: int) -> None:
        self._acked = sequence
        for number in [number for number in self._waiting if number <= sequence]:
            del self._waiting[number]

    def told(self) -> dict[str, Any]:
        """For those who judge."""
        return {
            "host": self.host,
            "epoch": self._epoch,
            "sequence": self._sequence,
            "attempts": [(attempt.at_s, attempt.how) for attempt in self.attempts],
            "acknowledged_s": self.acknowledged_s,
            "open": len(self.population.sockets),
            "closed": self.closed,
            "wrong": self.wrong,
        }


async def _until_all(agents: list[Returning], word: str, since_s: float = 0.0) -> None:
    def true(agent: Returning) -> bool:
        if word == "settle":
            return agent.settled_now
        return bool(agent.acknowledged_s) and agent.acknowledged_s[-1] > since_s

    while not all(true(agent) for agent in agents):  # noqa: ASYNC110 - a thousand things are waited for
        await asyncio.sleep(0.05)


async def _run(options: argparse.Namespace) -> None:
    agents = [
        Returning(identity, options.seed * 1_000_003 + number, options)
        for number, identity in enumerate(options.identities)
    ]
    lives: list[asyncio.Task[None]] = []
    told = await orders(len(agents))
    while line := await told.readline():
        order, *words = line.decode().split()
        answer: dict[str, Any] = {"order": order}
        if order == "live":
            for agent in agents:
                lives.append(asyncio.create_task(agent.report()))
                await asyncio.sleep(1 / float(words[0]))
            await _until_all(agents, order)
        elif order == "back":
            await _until_all(agents, order, float(words[0]))
        elif order == "settle":
            for agent in agents:
                agent.settle()
            await _until_all(agents, order)
            answer["agents"] = [agent.told() for agent in agents]
        elif order == "end":
            break
        print(json.dumps(answer), flush=True)
    os._exit(0)  # a thousand streams are ended quickest by the kernel


def main() -> int:
    """Simulate."""
    parser = options_of("bench.fleet.returning", __doc__)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--change-every-s", type=float, default=6.0)
    asyncio.run(_run(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
