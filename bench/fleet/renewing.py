"""Simulated agents that do as their collector wishes while its CA changes: see agents.py, and

change EVERY_S   from now on each agent makes a change every so often; answered when that has begun
stand            answered with how many renewals there were, and how many agents are connected now
stop             no more changes; answered once all is acknowledged, with what was told
end
"""

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from typing import Final

from bench.fleet.agents import Agent, Totals, connect_all, options_of, orders  # first: it tells gRPC to be quiet

# isort: split

import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import report_pb2, report_pb2_grpc

from bench.fleet.identities import request_for

_WITHIN_S: Final = 60.0


class RenewingAgent(Agent):
    """One that renews when it is asked to, and comes back with what it was handed."""

    renewals = 0
    changes = 0
    away_s = 0.0  # the longest that it was without a stream
    connected = False
    _over = False
    _changing: asyncio.Task[None] | None = None

    async def change(self, every_s: float) -> None:
        """Make changes, and renew between two of them, until it is over."""
        await asyncio.sleep(self._draw.uniform(0, every_s))
        while not self._over:
            for body in self.population.change(1):
                await self.send(body)
            self.changes += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self.renewal_wanted.wait()
            if self.renewal_wanted.is_set():
                self.renewal_wanted.clear()
                await self.renew()

    async def renew(self) -> None:
        """A new certificate over the present connection, and a new stream with it."""
        key = ec.generate_private_key(ec.SECP256R1())
        stub = report_pb2_grpc.ReportServiceStub(self._channel)
        answer = await stub.Renew(report_pb2.RenewRequest(csr=request_for(key)), timeout=_WITHIN_S)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self._credentials = grpc.ssl_channel_credentials(answer.ca_pem, pem, answer.certificate_pem)
        left_s = time.monotonic()
        self.connected = False
        await self.leave(in_peace=True)
        await self.connect()
        self.connected = True
        self.away_s = max(self.away_s, time.monotonic() - left_s)
        self.renewals += 1

    def begin(self, every_s: float) -> None:
        """Change from now on."""
        self.connected = True
        self._changing = asyncio.create_task(self.change(every_s))

    async def stop(self) -> None:
        """Change no more; returns when all is acknowledged."""
        self._over = True
        if self._changing is not None:
            await self._changing
        await self.settled()


async def _obey(told: asyncio.StreamReader, agents: list[RenewingAgent]) -> None:
    while line := await told.readline():
        order, *words = line.decode().split()
        answer: dict[str, float] = {}
        if order == "connect":
            answer = await connect_all(list[Agent](agents), float(words[0]))
        elif order == "change":
            for agent in agents:
                agent.begin(float(words[0]))
        elif order == "stop":
            await asyncio.gather(*(agent.stop() for agent in agents))
        elif order == "end":
            return
        standing = {
            "renewals": sum(agent.renewals for agent in agents),
            "least_renewals": min(agent.renewals for agent in agents),
            "connected": sum(agent.connected for agent in agents),
            "changes": sum(agent.changes for agent in agents),
            "open": sum(len(agent.population.sockets) for agent in agents),
            "away_s": max(agent.away_s for agent in agents),
        }
        print(json.dumps({"order": order, **answer, **standing}), flush=True)


async def _run(identities: list[dict[str, str]], report: str, seed: int) -> None:
    totals = Totals()
    agents = [
        RenewingAgent(identity, seed * 1_000_003 + number, report, totals, 60.0)
        for number, identity in enumerate(identities)
    ]
    await _obey(await orders(len(agents)), agents)
    os._exit(0)


def main() -> int:
    """Simulate."""
    options = options_of("bench.fleet.renewing", __doc__).parse_args()
    asyncio.run(_run(options.identities, options.report, options.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
