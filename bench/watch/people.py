"""People who watch, many in one process, each over a connection of their own: told what to do line by line.

    python -m bench.watch.people --server ADDRESS [--identities FILE]

over the network where identities are given, one after another shown; else over a socket. It
reads orders from stdin, one a line, and answers each with one line of JSON:

    watch N RATE so many more ask for listeners on ports 1 to 1023, RATE a second; answered when all know what is there
    heard        how many sockets all of them were told of since they were last asked so, the beginning left out
    end
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
from dataclasses import dataclass

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from fleetnet_proto.v1 import query_pb2, query_pb2_grpc

from bench.fleet.agents import orders, read_identities

# Else gRPC has all channels of a process share one connection.
_APART = [("grpc.use_local_subchannel_pool", 1)]
# What `fleetnet watch who-listens 1-1023` sends.
_QUESTION = query_pb2.WatchSocketsRequest(
    sockets=query_pb2.SeekSocketsRequest(
        sockets=query_pb2.ListSocketsRequest(
            protocols=["PROTOCOL_TCP", "PROTOCOL_UDP", "PROTOCOL_UDPLITE", "PROTOCOL_SCTP"],
            local_ports=[query_pb2.PortRange(first=1, last=1_023)],
            listeners_only=True,
        )
    )
)


@dataclass(slots=True)
class Heard:
    """By all of them."""

    sockets: int = 0


class Person:
    """One who watches."""

    def __init__(self, server: str, identity: dict[str, str] | None, heard: Heard) -> None:
        if identity is None:
            self._channel = grpc.aio.insecure_channel(server, options=_APART)
        else:
            shown = [identity[name].encode() for name in ("ca", "key", "certificate")]
            self._channel = grpc.aio.secure_channel(server, grpc.ssl_channel_credentials(*shown), options=_APART)
        self._heard = heard
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def watch(self) -> None:
        """For ever; whoever is hung up on ends the process, for what is measured then is not what is said."""
        try:
            async for message in query_pb2_grpc.QueryServiceStub(self._channel).WatchSockets(_QUESTION):
                kind = message.WhichOneof("part")
                if kind in ("came", "went"):
                    self._heard.sockets += len(getattr(message, kind).items)
                elif kind == "mark" and not self.begun.done():
                    self.begun.set_result(None)
        except grpc.aio.AioRpcError as error:
            print(f"a watch ended: {error.code()} {error.details()}", file=sys.stderr, flush=True)
        os._exit(1)


async def _run(server: str, identities: list[dict[str, str]]) -> None:
    heard = Heard()
    in_turn = itertools.cycle(identities or [None])
    watches: list[asyncio.Task[None]] = []
    told = await orders(0)
    while line := await told.readline():
        order, *words = line.decode().split()
        if order == "watch":
            more = [Person(server, next(in_turn), heard) for _ in range(int(words[0]))]
            for person in more:
                watches.append(asyncio.create_task(person.watch()))
                await asyncio.sleep(1 / float(words[1]))
            await asyncio.gather(*(person.begun for person in more))
        elif order == "end":
            break
        print(json.dumps({"order": order, "sockets": heard.sockets}), flush=True)
        heard.sockets = 0
    os._exit(0)  # hundreds of streams are ended quickest by the kernel


def main() -> int:
    """Watch."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.watch.people", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", required=True)
    parser.add_argument("--identities", type=read_identities, default=[])
    options = parser.parse_args()
    asyncio.run(_run(options.server, options.identities))
    return 0


if __name__ == "__main__":
    sys.exit(main())
