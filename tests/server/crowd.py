"""Many hosts that connect at one moment, as their agents do: `python -m server.crowd ADDRESS DIRECTORY`.

DIRECTORY holds ca.pem, and NAME.key and NAME.pem of each host. Each says Hello until it is welcomed, obeying every
Reconnect, tells that nothing is open there, and keeps its stream. Prints how often each was sent away, in the order of
their welcomes; ends then.
"""

import asyncio
import sys
from pathlib import Path

import grpc
from fleetnet_proto.v1 import report_pb2, report_pb2_grpc
from grpc import aio

from server import messages


async def join(address: str, directory: Path, name: str, all_in: asyncio.Event, away: list[int]) -> None:
    """One host."""
    credentials = grpc.ssl_channel_credentials(
        (directory / "ca.pem").read_bytes(),
        (directory / f"{name}.key").read_bytes(),
        (directory / f"{name}.pem").read_bytes(),
    )
    sent_away = 0
    while True:
        async with aio.secure_channel(address, credentials, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = report_pb2_grpc.ReportServiceStub(channel).Report()
            await call.write(report_pb2.AgentMessage(hello=messages.hello()))
            answer = await call.read()
            assert isinstance(answer, report_pb2.CollectorMessage)
            if answer.HasField("welcome"):
                away.append(sent_away)
                snapshot = messages.batch(answer.welcome.committed_sequence + 1, snapshot=True)
                await call.write(report_pb2.AgentMessage(batch=snapshot))
                await all_in.wait()
                call.cancel()
                return
        sent_away += 1
        await asyncio.sleep(answer.reconnect.after_ms / 1_000)


async def main(address: str, directory: Path, names: list[str]) -> None:
    """All at once."""
    all_in, away = asyncio.Event(), list[int]()
    hosts = [asyncio.create_task(join(address, directory, name, all_in, away)) for name in names]
    while len(away) < len(names):
        for host in hosts:
            if host.done():
                host.result()
        await asyncio.sleep(0.05)
    print(*away)
    all_in.set()
    await asyncio.gather(*hosts)


if __name__ == "__main__":
    where = Path(sys.argv[2])
    asyncio.run(main(sys.argv[1], where, sorted(file.stem for file in where.glob("*.key"))))
