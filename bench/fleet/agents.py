"""Simulated agents in one process: real streams over TLS with certificates of their own, told what to do line by line.

    python -m bench.fleet.agents --identities FILE --report HOST:PORT [--seed N] [--beat-s S]

reads orders from stdin, one a line, and answers each with one line of JSON:

    connect RATE           every agent opens its stream, so many a second; a snapshot each
    idle SECONDS           nothing but beats
    churn N RATE SECONDS   the first N agents make RATE changes a second together
    listen PORT            the next agent has a new listener; answered once it is acknowledged
    live RATE LEAVES SECONDS  all agents make RATE changes a second together, each at moments of its own, and LEAVES of
                           them a second end their stream, in peace or without a word, and come back at once, as the
                           same agent or as one that was started anew; answered when all are there and acknowledged
    end
"""

import argparse
import asyncio
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from fleetnet_agent.records import Difference
from fleetnet_agent.uplink.channel import OPTIONS
from fleetnet_agent.wire.batches import difference_batches
from fleetnet_proto.v1 import report_pb2, report_pb2_grpc

from bench.fleet.population import Population, now_us

_LOOKS_A_SECOND: Final = 1
_COALESCED_S: Final = 5.0  # at most so much of a host's changes is told at a stroke
_IN_PEACE, _ANEW = 0.5, 0.5  # the shares of those that leave


@dataclass(slots=True)
class Totals:
    """What all agents of this process have sent and heard."""

    batches: int = 0
    bytes: int = 0
    acknowledged: int = 0
    sent_away: int = 0


@dataclass(slots=True)
class Lived:
    """What one agent did."""

    changes: int = 0
    leaves: int = 0


class Agent:
    """One stream, opened again where the collector asks for that."""

    def __init__(self, identity: dict[str, str], seed: int, report: str, totals: Totals, beat_s: float) -> None:
        self.host = identity["host"]
        self._credentials = grpc.ssl_channel_credentials(
            identity["ca"].encode(), identity["key"].encode(), identity["certificate"].encode()
        )
        self._report_at = report
        self._totals = totals
        self._beat_s = beat_s
        self._draw = random.Random(seed)
        self._boot_id = self._draw.randbytes(16)
        self._epoch = self._draw.getrandbits(63) | 1
        self.population = Population(seed)
        self._sequence = 0
        self._acked = 0
        self._credit = 1
        self._heard = asyncio.Event()
        self._next_beat_s = 0.0
        self._channel: Any = None
        self._call: Any = None
        self._leaving = False
        self.renewal_wanted = asyncio.Event()  # by the collector

    async def connect(self) -> None:
        """Open the stream and tell everything; returns once that is acknowledged."""
        while True:
            try:
                answer = await self.greet()
            except grpc.aio.AioRpcError:  # as a real one, it comes again
                answer = None
            if answer is not None and answer.HasField("welcome"):
                break
            self._totals.sent_away += 1
            floor_ms = answer.reconnect.after_ms if answer is not None else 0
            await self._channel.close()
            await asyncio.sleep(floor_ms / 1_000 + self._draw.uniform(0, 1))
        self._sequence = self._acked = answer.welcome.committed_sequence
        self._credit = answer.welcome.credit
        self._reader = asyncio.create_task(self._read())
        for body, _ in self.population.snapshot():
            await self.send(body)
        await self.settled()
        # As a real one does: beats of a fleet that connected at one moment are spread over the minute.
        self._next_beat_s = time.monotonic() + self._draw.uniform(0, self._beat_s)
        self._beating = asyncio.create_task(self._beat())

    async def greet(self) -> report_pb2.CollectorMessage | None:
        """Say Hello over a connection of its own; what comes back, None if that is the end."""
        self._channel = grpc.aio.secure_channel(self._report_at, self._credentials, OPTIONS)
        self._call = report_pb2_grpc.ReportServiceStub(self._channel).Report()
        await self._call.write(report_pb2.AgentMessage(hello=self._hello()))
        answer = await self._call.read()
        return answer if isinstance(answer, report_pb2.CollectorMessage) else None

    def batch(self, body: bytes) -> report_pb2.AgentMessage:
        """The next of this agent."""
        self._sequence += 1
        message = report_pb2.AgentMessage()
        message.batch.MergeFromString(body)
        message.batch.boot_id, message.batch.epoch, message.batch.sequence = self._boot_id, self._epoch, self._sequence
        self._totals.batches += 1
        self._totals.bytes += message.ByteSize()
        return message

    async def send(self, body: bytes) -> None:
        """One batch, once there is credit for it."""
        while self._sequence - self._acked >= self._credit:
            self._heard.clear()
            await self._heard.wait()
        message = self.batch(body)
        self._next_beat_s = time.monotonic() + self._beat_s
        await self._call.write(message)

    async def settled(self) -> None:
        """Return when all that was sent is acknowledged."""
        while self._acked < self._sequence:
            self._heard.clear()
            await self._heard.wait()

    async def leave(self, *, in_peace: bool = False) -> None:
        """End the stream: in peace, or as an agent does that is killed; half of those are started anew."""
        await self.settled()
        self._leaving = True
        self._beating.cancel()
        if in_peace or self._draw.random() < _IN_PEACE:
            await self._call.done_writing()
        else:
            self._call.cancel()
        await asyncio.wait((self._beating, self._reader))
        await self._channel.close()
        self._leaving = False
        if not in_peace and self._draw.random() < _ANEW:
            self._epoch = self._draw.getrandbits(63) | 1

    async def live(self, until_s: float, change_every_s: float, leave_every_s: float) -> Lived:
        """Make changes and leave at random moments; returns once connected and acknowledged."""
        lived = Lived()
        often_hz, seldom_hz = 1 / change_every_s, 1 / leave_every_s
        while True:
            wait_s = self._draw.expovariate(often_hz + seldom_hz)
            if time.monotonic() + wait_s > until_s:
                break
            await asyncio.sleep(wait_s)
            if self._draw.random() < seldom_hz / (often_hz + seldom_hz):
                await self.leave()
                await self.connect()
                lived.leaves += 1
            else:
                for body in self.population.change(1):
                    await self.send(body)
                lived.changes += 2
        await self.settled()
        return lived

    async def _read(self) -> None:
        told = ""
        with suppress(grpc.aio.AioRpcError):  # its words are asked for below
            while (message := await self._call.read()) is not grpc.aio.EOF:
                if message.HasField("ack"):
                    self._totals.acknowledged += message.ack.sequence - self._acked
                    self._acked = message.ack.sequence
                    self._heard.set()
                elif message.HasField("reconnect"):
                    told = message.reconnect.reason
                elif message.HasField("renew_soon"):
                    self.renewal_wanted.set()
        if self._leaving:
            return
        code, words = await self._call.code(), await self._call.details()
        print(f"{self.host}: its stream ended: {code} {words} {told}", file=sys.stderr, flush=True)
        os._exit(1)  # what is measured after that would not be what is said

    async def _beat(self) -> None:
        while True:
            due_s = self._next_beat_s - time.monotonic()
            if due_s <= 0:
                at_us = now_us()
                for body in difference_batches(Difference(at_us, at_us - 1_000_000)):
                    await self.send(body)
            await asyncio.sleep(max(due_s, 0.1))

    def _hello(self) -> report_pb2.Hello:
        facts = report_pb2.HostFacts(os="Debian GNU/Linux 12", kernel="6.1.0", architecture="x86_64", cpu_count=4)
        return report_pb2.Hello(
            agent_version="0.1.0", boot_id=self._boot_id, epoch=self._epoch, wall_clock_us=now_us(),
            boottime_us=time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000, facts=facts, interval_s=1.0,
            netns_inode=4026531840, machine_id_hash=self.host.encode().ljust(32, b"\0"),
        )  # fmt: skip


async def connect_all(agents: list[Agent], rate: float) -> dict[str, float]:
    """Each opens its stream, so many a second; how long that took."""
    began_s = time.monotonic()
    opening = []
    for number, agent in enumerate(agents):
        await asyncio.sleep(max(0.0, began_s + number / rate - time.monotonic()))
        opening.append(asyncio.create_task(agent.connect()))
    await asyncio.gather(*opening)
    return {"seconds": time.monotonic() - began_s}


async def _churn(agents: list[Agent], rate: float, seconds: float) -> dict[str, float]:
    """Each agent tells a difference a second, as a real one does; the changes are shared out among them.

    A host does not wait for its collector: what changes while there is no credit is told with the next difference.
    """
    pairs_a_second = rate / len(agents) / 2
    made = 0

    async def one(agent: Agent, phase_s: float) -> None:
        nonlocal made
        await asyncio.sleep(phase_s)
        until_s = began_s + seconds
        looked_s = began_s + phase_s - 1 / _LOOKS_A_SECOND
        while (now_s := time.monotonic()) < until_s:
            pairs = max(1, round(pairs_a_second * min(now_s - looked_s, _COALESCED_S)))
            looked_s = now_s
            for body in agent.population.change(pairs):
                await agent.send(body)
            made += 2 * pairs
            await asyncio.sleep(max(0.0, looked_s + 1 / _LOOKS_A_SECOND - time.monotonic()))
        await agent.settled()

    began_s = time.monotonic()
    await asyncio.gather(*(one(agent, n / len(agents)) for n, agent in enumerate(agents)))
    return {"changes": made, "seconds": time.monotonic() - began_s}


async def _live(agents: list[Agent], rate: float, leaves: float, seconds: float) -> dict[str, float]:
    began_s, count = time.monotonic(), len(agents)
    each = (agent.live(began_s + seconds, 2 * count / rate, count / leaves) for agent in agents)
    lived = await asyncio.gather(*each)
    return {"changes": sum(one.changes for one in lived), "leaves": sum(one.leaves for one in lived)}


async def _obey(told: asyncio.StreamReader, agents: list[Agent], totals: Totals) -> None:
    in_turn: Iterator[Agent] = itertools.cycle(agents)
    while line := await told.readline():
        order, *words = line.decode().split()
        before = (totals.batches, totals.bytes)
        answer: dict[str, float] = {}
        if order == "connect":
            answer = await connect_all(agents, float(words[0]))
        elif order == "idle":
            await asyncio.sleep(float(words[0]))
        elif order == "churn":
            answer = await _churn(agents[: int(words[0])], float(words[1]), float(words[2]))
        elif order == "listen":
            agent, sent_us = next(in_turn), now_us()
            for body in agent.population.listen(int(words[0])):
                await agent.send(body)
            await agent.settled()
            answer = {"sent_us": sent_us, "acknowledged_us": now_us()}
        elif order == "live":
            answer = await _live(agents, *map(float, words))
        elif order == "end":
            return
        sent = {"batches": totals.batches - before[0], "bytes": totals.bytes - before[1]}
        print(json.dumps({"order": order, **sent, **answer, "sent_away": totals.sent_away}), flush=True)


async def orders(agents: int) -> asyncio.StreamReader:
    """What this process is told to do; says that it is ready for it."""
    read = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(read), sys.stdin)
    print(json.dumps({"order": "ready", "agents": agents}), flush=True)
    return read


def options_of(module: str, document: str | None) -> argparse.ArgumentParser:
    """What every process of simulated agents is started with."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description=document, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--identities", type=read_identities, required=True)
    parser.add_argument("--report", required=True)
    parser.add_argument("--seed", type=int, default=1)
    return parser


def read_identities(file: str) -> list[dict[str, str]]:
    """As bench.fleet.identities writes them."""
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


async def _run(options: argparse.Namespace) -> None:
    totals = Totals()
    agents = [
        Agent(identity, options.seed * 1_000_003 + number, options.report, totals, options.beat_s)
        for number, identity in enumerate(options.identities)
    ]
    await _obey(await orders(len(agents)), agents, totals)
    os._exit(0)  # ten thousand streams are ended quickest by the kernel


def main() -> int:
    """Simulate."""
    parser = options_of("bench.fleet.agents", __doc__)
    parser.add_argument("--beat-s", type=float, default=60.0)
    asyncio.run(_run(parser.parse_args()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
