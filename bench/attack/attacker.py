"""Somebody who wishes a collector ill: a stranger, and a host of the fleet; told what to do line by line.

    python -m bench.attack.attacker --identities FILE --report HOST:PORT --enroll HOST:PORT

reads orders from stdin, one a line, and answers each with one line of JSON:

    begin KIND COUNT     answered when the attack is on; it goes on until it is ended
    stop                 answered with how much was done, when all of it is closed
    end

Attacks of a stranger: `idle` connections, `handshakes` that are begun and not gone on with, `enroll` with tokens that
are invented. Of the host: messages that are too large (`oversize`), a small message that becomes a large one (`gzip`;
both at the strangers' port as well), reports of next to nothing (`tiny`), sockets that are not there (`listeners`),
times that are not (`times`), calls of each kind that are refused (`calls`). COUNT is how many make the attack be on:
connections, messages, or rows.

It takes what is left of the processor, for a real one has a machine of its own.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, TypeAlias

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import (
    enroll_pb2,
    enroll_pb2_grpc,
    query_pb2,
    query_pb2_grpc,
    report_pb2,
    report_pb2_grpc,
    sockets_pb2,
)

from bench.fleet import identities
from bench.fleet.agents import orders, read_identities
from bench.fleet.population import now_us

# The head of a TLS record of 512 bytes, and of a ClientHello in it, of which the rest never comes: RFC 8446, 5.1 and 4.
_HELLO_BEGUN: Final = bytes.fromhex("16 0301 0200  01 0001fc 0303") + bytes(32)
_OVERSIZE_BYTES: Final = 2 * 2**20  # twice what a message may have
_BOMB_BYTES: Final = 16 * 2**20  # 16 kB when it is sent
_ROWS_OF_A_BATCH: Final = 13_000  # which is most of a MiB
_SENT_AHEAD: Final = 200  # reports of which the acknowledgement is not waited for
_CALLERS: Final = 50
_PAUSE_S: Final = 0.05  # of somebody who was turned away
_LOOK_AGAIN_S: Final = 0.002
_LARGE: Final = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
_TIMES_US: Final = (1, 2**63 - 1, 4_102_444_800_000_000, 0, -1)  # 1970, as late as can be, 2100, none, before

_Call: TypeAlias = "grpc.aio.StreamStreamCall[report_pb2.AgentMessage, report_pb2.CollectorMessage]"
ATTACKS: Final = ("idle", "handshakes", "enroll", "oversize", "gzip", "tiny", "listeners", "times", "calls")
Attack: TypeAlias = Callable[[int], Coroutine[Any, Any, None]]


class Attacker:
    """What it can do. Each attack counts what it has done, and says when it is on."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._report, self._enroll = options.report, options.enroll
        [identity] = options.identities
        self._ca = identity["ca"].encode()
        self._key, self._certificate = identity["key"].encode(), identity["certificate"].encode()
        self._epochs = itertools.count(secrets.randbits(62))
        self._acknowledged = 0  # up to where the stream that is open is
        self.done = 0
        self.on = asyncio.Event()
        self.attacks: dict[str, Attack] = {
            "idle": self._idle,
            "handshakes": self._handshakes,
            "enroll": self._invent_tokens,
            "oversize": self._oversize,
            "gzip": self._gzip,
            "tiny": self._tiny,
            "listeners": self._listeners,
            "times": self._times,
            "calls": self._call,
        }

    def _one_more(self, of: int) -> None:
        self.done += 1
        if self.done >= of:
            self.on.set()

    async def _idle(self, count: int) -> None:
        await self._at_once(count, lambda: self._hold(b"", count))

    async def _handshakes(self, count: int) -> None:
        await self._at_once(count, lambda: self._hold(_HELLO_BEGUN, count))

    async def _at_once(self, count: int, one: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())

    async def _hold(self, said: bytes, count: int) -> None:
        """A connection, to one port and then the other, and another one when it is closed."""
        for address in itertools.cycle((self._report, self._enroll)):
            host, _, port = address.rpartition(":")
            try:
                reader, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                await asyncio.sleep(_PAUSE_S)
                continue
            try:
                writer.write(said)
                self._one_more(count)
                with contextlib.suppress(OSError):
                    while await reader.read(4_096):
                        pass
            finally:
                writer.close()

    async def _invent_tokens(self, count: int) -> None:
        request = identities.request_for(ec.generate_private_key(ec.SECP256R1()))
        credentials = grpc.ssl_channel_credentials(self._ca)

        async def one() -> None:
            async with grpc.aio.secure_channel(self._enroll, credentials, _LARGE) as channel:
                stub = enroll_pb2_grpc.EnrollServiceStub(channel)
                while True:
                    with contextlib.suppress(grpc.RpcError):
                        await stub.Enroll(enroll_pb2.EnrollRequest(secret=secrets.token_bytes(32), csr=request))
                    self._one_more(count)

        await self._at_once(min(count, 50), one)

    async def _oversize(self, count: int) -> None:
        await self._again_and_again(count, bytes(_OVERSIZE_BYTES), grpc.Compression.NoCompression)

    async def _gzip(self, count: int) -> None:
        await self._again_and_again(count, bytes(_BOMB_BYTES), grpc.Compression.Gzip)

    async def _again_and_again(self, count: int, body: bytes, compression: grpc.Compression) -> None:
        """A message with this in it, to both ports."""
        told = report_pb2.AgentMessage(batch=report_pb2.Batch(boot_id=body))
        request = enroll_pb2.EnrollRequest(secret=bytes(32), csr=body)
        strangers = grpc.ssl_channel_credentials(self._ca)

        async def enroll() -> None:
            async with grpc.aio.secure_channel(self._enroll, strangers, _LARGE, compression) as channel:
                stub = enroll_pb2_grpc.EnrollServiceStub(channel)
                while True:
                    with contextlib.suppress(grpc.RpcError):
                        await stub.Enroll(request)
                    self._one_more(count)

        async def report() -> None:
            while True:
                async with self._stream(compression) as (call, _):
                    with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                        await call.write(told)
                        while await call.read() is not grpc.aio.EOF:
                            pass
                self._one_more(count)

        async with asyncio.TaskGroup() as group:
            group.create_task(enroll())
            group.create_task(report())

    async def _tiny(self, count: int) -> None:
        def tiny(sequence: int) -> Iterator[report_pb2.Batch]:
            """One listener in place of another: those go first, where reports with nothing in them wait."""
            batch = _batch(sequence)
            batch.opened.append(_listener(sequence))
            batch.closed.add(key=sockets_pb2.SocketKey(protocol=_TCP, cookie=max(1, sequence - 1)))
            yield batch

        await self._tell(count, tiny)

    async def _listeners(self, count: int) -> None:
        cookies = itertools.count(1)

        def invented(sequence: int) -> Iterator[report_pb2.Batch]:
            """As many as were asked for are there; from then on others take their place."""
            batch = _batch(sequence)
            for _ in range(_ROWS_OF_A_BATCH):
                cookie = next(cookies)
                batch.opened.append(_listener(cookie))
                if cookie > count:
                    batch.closed.add(key=sockets_pb2.SocketKey(protocol=_TCP, cookie=cookie - count))
            yield batch

        await self._tell(max(1, count // _ROWS_OF_A_BATCH), invented)

    async def _times(self, count: int) -> None:
        def untimely(sequence: int) -> Iterator[report_pb2.Batch]:
            batch = _batch(sequence)
            batch.look_at_us = _TIMES_US[sequence % 3]
            batch.previous_look_at_us, batch.look_boottime_us = _TIMES_US[sequence % 5], _TIMES_US[sequence % 4]
            batch.gaps.add(from_us=1, to_us=_TIMES_US[1], reason="all of time")
            batch.opened.append(_listener(sequence))
            batch.opened[0].opened_at_us = _TIMES_US[sequence % 3]
            batch.opened[0].opened_at_is = sockets_pb2.OPENED_AT_IS_EXACT
            yield batch

        await self._tell(count, untimely)

    async def _call(self, count: int) -> None:
        """What is refused: renewals beyond the few that there may be, questions, streams that begin with nothing."""
        credentials = grpc.ssl_channel_credentials(self._ca, self._key, self._certificate)
        renewal = report_pb2.RenewRequest(csr=identities.request_for(ec.generate_private_key(ec.SECP256R1())))

        async def one(number: int) -> None:
            async with grpc.aio.secure_channel(self._report, credentials, _LARGE) as channel:
                reports, queries = report_pb2_grpc.ReportServiceStub(channel), query_pb2_grpc.QueryServiceStub(channel)
                for kind in itertools.count(number):
                    with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                        if kind % 3 == 0:
                            await reports.Renew(renewal)
                        elif kind % 3 == 1:
                            await queries.ListHosts(query_pb2.ListHostsRequest()).read()
                        else:
                            call = reports.Report()
                            await call.write(report_pb2.AgentMessage(batch=_batch(1)))
                            await call.read()
                    self._one_more(count)

        numbers = itertools.count()
        await self._at_once(min(count, _CALLERS), lambda: one(next(numbers)))

    async def _tell(self, count: int, tell: Callable[[int], Iterator[report_pb2.Batch]]) -> None:
        """Reports of the host, as fast as they are read, over one stream after another."""
        while True:
            async with self._stream() as (call, sequence):
                told = sequence
                reading = asyncio.create_task(self._read(call, sequence, count))
                with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                    while not reading.done():
                        if told - self._acknowledged >= _SENT_AHEAD:
                            await asyncio.sleep(_LOOK_AGAIN_S)
                            continue
                        told += 1
                        for batch in tell(told):
                            batch.epoch = self._epoch
                            await call.write(report_pb2.AgentMessage(batch=batch))
                reading.cancel()
            await asyncio.sleep(_PAUSE_S)

    async def _read(self, call: _Call, sequence: int, count: int) -> None:
        self._acknowledged = sequence
        with contextlib.suppress(grpc.RpcError):
            while isinstance(message := await call.read(), report_pb2.CollectorMessage):
                for _ in range(message.ack.sequence - self._acknowledged):
                    self._one_more(count)
                self._acknowledged = max(self._acknowledged, message.ack.sequence)

    @contextlib.asynccontextmanager
    async def _stream(self, compression: grpc.Compression | None = None) -> AsyncIterator[tuple[_Call, int]]:
        """A stream of the host, once it is welcomed; and up to where it is acknowledged."""
        credentials = grpc.ssl_channel_credentials(self._ca, self._key, self._certificate)
        while True:
            async with grpc.aio.secure_channel(self._report, credentials, _LARGE, compression) as channel:
                call = report_pb2_grpc.ReportServiceStub(channel).Report()
                self._epoch = next(self._epochs)
                hello = report_pb2.Hello(
                    agent_version="0.1.0", boot_id=_BOOT_ID, epoch=self._epoch, wall_clock_us=now_us()
                )
                with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                    await call.write(report_pb2.AgentMessage(hello=hello))
                    answer = await call.read()
                    if isinstance(answer, report_pb2.CollectorMessage) and answer.HasField("welcome"):
                        yield call, answer.welcome.committed_sequence
                        call.cancel()
                        return
            await asyncio.sleep(_PAUSE_S)


_TCP: Final = sockets_pb2.PROTOCOL_TCP
_BOOT_ID: Final = bytes(range(16))


def _batch(sequence: int) -> report_pb2.Batch:
    at_us = now_us()
    told = report_pb2.Batch(
        boot_id=_BOOT_ID, sequence=sequence, look_at_us=at_us, previous_look_at_us=at_us - 1_000_000
    )
    told.holders.add(owner_status=sockets_pb2.OWNER_STATUS_NO_HELPER)
    return told


def _listener(cookie: int) -> sockets_pb2.Socket:
    return sockets_pb2.Socket(
        key=sockets_pb2.SocketKey(protocol=_TCP, cookie=cookie),
        family=sockets_pb2.FAMILY_IPV4,
        state=sockets_pb2.STATE_LISTEN,
        local_address=bytes(4),
        local_port=cookie % 65_536,
        holder=0,
        source=sockets_pb2.SOURCE_DIAG,
    )


async def _obey(told: asyncio.StreamReader, attacker: Attacker) -> None:
    attack: asyncio.Task[None] | None = None
    while line := await told.readline():
        order, *words = line.decode().split()
        answer: dict[str, float] = {}
        if order == "begin":
            began_s, attacker.done = time.monotonic(), 0
            attacker.on.clear()
            attack = asyncio.create_task(attacker.attacks[words[0]](int(words[1])))
            on = asyncio.create_task(attacker.on.wait())
            await asyncio.wait((attack, on), return_when=asyncio.FIRST_COMPLETED)
            if attack.done():
                attack.result()
            answer["seconds"] = time.monotonic() - began_s
        elif order == "stop" and attack is not None:
            attack.cancel()
            await asyncio.gather(attack, return_exceptions=True)
            answer["done"] = attacker.done
        elif order == "end":
            return
        print(json.dumps({"order": order, **answer}), flush=True)


async def _run(options: argparse.Namespace) -> None:
    attacker = Attacker(options)
    await _obey(await orders(1), attacker)


def main() -> int:
    """Attack."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.attack.attacker",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--identities", type=read_identities, required=True)
    parser.add_argument("--report", required=True)
    parser.add_argument("--enroll", required=True)
    options = parser.parse_args()
    os.nice(19)
    asyncio.run(_run(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
