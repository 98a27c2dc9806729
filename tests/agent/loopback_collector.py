"""A real collector in small: mutual TLS, the generated services, and the delivery contract, with its store in memory.

The store outlives the server, as a database would, and refuses what the contract forbids; a test makes the server slow,
unwilling or dead.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
from agent.authority import Authority
from fleetnet_proto.v1 import enroll_pb2, enroll_pb2_grpc, live_pb2, report_pb2, report_pb2_grpc, sockets_pb2
from grpc import aio

Key = bytes
Messages = asyncio.Queue[report_pb2.CollectorMessage]


@dataclass
class Store:
    """What was committed."""

    committed: dict[int, int] = field(default_factory=dict)  # by epoch
    batches: list[report_pb2.Batch] = field(default_factory=list)
    resent: list[int] = field(default_factory=list)  # sequences that came again
    open: dict[Key, sockets_pb2.Socket] = field(default_factory=dict)
    gaps: list[report_pb2.Gap] = field(default_factory=list)
    whole_snapshots: int = 0
    hellos: list[report_pb2.Hello] = field(default_factory=list)
    largest_bytes: int = 0
    digests: int = 0
    wrong_digests: list[int] = field(default_factory=list)  # sequences of batches whose digest is not what is held

    def take(self, batch: report_pb2.Batch, named: set[Key]) -> None:
        """Commit; `named` are the sockets that this stream's snapshot has named so far."""
        last = self.committed.get(batch.epoch, 0)
        if batch.sequence <= last:
            self.resent.append(batch.sequence)
            return
        assert batch.sequence == last + 1, f"hole: {last} then {batch.sequence}"
        self.committed[batch.epoch] = batch.sequence
        self.batches.append(batch)
        self._apply(batch)
        if batch.HasField("snapshot"):
            if batch.snapshot.part == 0:
                named.clear()
            named.update(key_of(socket.key) for socket in batch.opened)
            if batch.snapshot.last:
                self.whole_snapshots += 1
                self.open = {key: socket for key, socket in self.open.items() if key in named}
        if batch.HasField("digest"):
            self.digests += 1
            if (batch.digest.sockets, batch.digest.sum) != (len(self.open), _sum_of(self.open.values())):
                self.wrong_digests.append(batch.sequence)

    def _apply(self, batch: report_pb2.Batch) -> None:
        for socket in (*batch.opened, *batch.changed):
            assert socket.holder < len(batch.holders)
            self.open[key_of(socket.key)] = socket
        for closed in batch.closed:
            self.open.pop(key_of(closed.key), None)
        self.gaps.extend(batch.gaps)


def _sum_of(sockets: Iterable[sockets_pb2.Socket]) -> int:
    """As report.proto has it, for sockets that have a cookie; reckoned apart from the agent's own."""
    total = 0
    for socket in sockets:
        key = socket.key
        named = key.netns.to_bytes(8, "big") + key.protocol.to_bytes(2, "big") + bytes([socket.state])
        named += b"c" + key.cookie.to_bytes(8, "big")
        total += int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "big")
    return total % 2**64


def key_of(key: sockets_pb2.SocketKey) -> Key:
    return key.SerializeToString(deterministic=True)


class Collector(report_pb2_grpc.ReportServiceServicer, enroll_pb2_grpc.EnrollServiceServicer):
    """Servers for reports and enrollment on loopback."""

    def __init__(self, authority: Authority, store: Store, names: tuple[str, ...] = ("127.0.0.1", "localhost")) -> None:
        self.authority = authority
        self.store = store
        self.credit = 32
        self.accepts = asyncio.Event()  # cleared: batches are read and not stored
        self.accepts.set()
        self.answers_acks = True
        self.stores = True
        self.takes: Callable[[report_pb2.Batch], bool] = lambda batch: True
        self.takes_not = grpc.StatusCode.INVALID_ARGUMENT  # what it says then
        self.renews = True
        self.approves = False  # enrolled hosts are to wait
        self.proposed: list[str] = []  # what those that enrolled called themselves
        self.refuses: tuple[grpc.StatusCode, str] | None = None
        self.sends_away: report_pb2.Reconnect | None = None
        self.dies_after_parts: int | None = None
        self.live: list[live_pb2.LivePart] = []
        self.live_read = asyncio.Event()  # cleared: nothing more is read once a part of a live look has come
        self.live_read.set()
        self.received: list[int] = []  # sequences in the order of arrival, stored or not
        self.peers: list[str] = []
        self.certificates: list[bytes] = []
        self.streams = 0
        self.to_agent: Messages = asyncio.Queue()
        self.tokens: dict[bytes, str] = {}
        self.advertised: tuple[str, ...] = ()
        self.certificate_days = 7.0
        self.renewals = 0
        self.readmits = False  # those whose certificate has ended
        self.readmits_not: tuple[grpc.StatusCode, str] | None = None
        self.again_after_s = 0
        self.challenges: list[bytes] = []
        self.asked_again: list[enroll_pb2.ReadmitRequest] = []
        self.renewed_ca_pem = authority.pem
        self.trusted_pem = authority.pem  # whose hosts are let in
        self.report_port = self.enroll_port = 0
        self._names = names
        self._changed = asyncio.Condition()
        self._servers: list[aio.Server] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.report_port}"

    async def start(self) -> None:
        """Serve, after a stop on the same ports again."""
        key, certificate = self.authority.server(*self._names)
        mutual = grpc.ssl_server_credentials([(key, certificate)], self.trusted_pem, require_client_auth=True)
        one_way = grpc.ssl_server_credentials([(key, certificate)])
        report, enroll = (aio.server(options=[("grpc.so_reuseport", 0)]) for _ in range(2))
        report_pb2_grpc.add_ReportServiceServicer_to_server(self, report)
        enroll_pb2_grpc.add_EnrollServiceServicer_to_server(self, enroll)
        self.report_port = report.add_secure_port(f"127.0.0.1:{self.report_port}", mutual)
        self.enroll_port = enroll.add_secure_port(f"127.0.0.1:{self.enroll_port}", one_way)
        self._servers = [report, enroll]
        for server in self._servers:
            await server.start()

    async def ask_to_renew(self) -> None:
        """Say that a new certificate is to be had."""
        await self.to_agent.put(report_pb2.CollectorMessage(renew_soon=report_pb2.RenewSoon()))

    async def look_live(self, request: int, **wanted: bool) -> None:
        """Ask for a live look."""
        look_now = report_pb2.LookNow(request=request, wanted=live_pb2.LiveWanted(**wanted))
        await self.to_agent.put(report_pb2.CollectorMessage(look_now=look_now))

    def parts_of(self, request: int) -> list[live_pb2.LivePart]:
        """What has come of one."""
        return [part for part in self.live if part.request == request]

    def answered(self, request: int) -> bool:
        """True if it has come to its end."""
        return any(part.last for part in self.parts_of(request))

    async def stop(self) -> None:
        """Be gone at once."""
        for server in self._servers:
            await server.stop(0)
        self._servers = []

    async def until(self, true: Any) -> None:
        """Wait until the predicate holds; what bounds it is the caller's timeout."""
        async with self._changed:
            await self._changed.wait_for(true)

    async def _noticed(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def Report(  # noqa: N802 - gRPC's name
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[report_pb2.CollectorMessage]:
        refuses, sends_away = self.refuses, self.sends_away
        self.streams += 1
        self.peers.append(context.auth_context()["peer_spiffe_id"][0].decode())
        self.certificates.append(context.auth_context()["x509_pem_cert"][0])
        await self._noticed()
        if refuses:
            await context.abort(*refuses)
        hello = (await anext(request_iterator)).hello
        self.store.hellos.append(hello)
        if sends_away:
            yield report_pb2.CollectorMessage(reconnect=sends_away)
            return
        committed = self.store.committed.get(hello.epoch, 0)
        yield report_pb2.CollectorMessage(welcome=report_pb2.Welcome(committed_sequence=committed, credit=self.credit))
        # Of this stream alone: what an agent that has died is still answered is no answer to the next one.
        acks: Messages = asyncio.Queue()
        reader = asyncio.create_task(self._read(request_iterator, context, acks))
        try:
            while messages := await self._next(reader, acks):
                for message in messages:
                    yield message
        finally:
            reader.cancel()

    async def _next(self, reader: "asyncio.Task[None]", acks: Messages) -> list[report_pb2.CollectorMessage]:
        """What is to be told next; nothing when all has been read."""
        getters = [asyncio.create_task(queue.get()) for queue in (acks, self.to_agent)]
        try:
            await asyncio.wait((reader, *getters), return_when=asyncio.FIRST_COMPLETED)
            if messages := [getter.result() for getter in getters if getter.done()]:
                return messages
            reader.result()
            return []
        finally:
            for getter in getters:
                getter.cancel()

    async def _read(self, requests: Any, context: Any, acks: Messages) -> None:
        named: set[Key] = set()
        parts = 0
        async for message in requests:
            if message.HasField("live"):
                self.live.append(message.live)
                await self._noticed()
                await self.live_read.wait()
                continue
            batch = message.batch
            self.received.append(batch.sequence)
            self.store.largest_bytes = max(self.store.largest_bytes, message.ByteSize())
            await self._noticed()
            await self.accepts.wait()
            if not self.stores:
                await context.abort(grpc.StatusCode.INTERNAL, "the test wants it so")
            if not self.takes(batch):
                await context.abort(self.takes_not, "the test does not take it")
            self.store.take(batch, named)
            parts += batch.HasField("snapshot")
            await self._noticed()
            if self.dies_after_parts is not None and parts >= self.dies_after_parts:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the test wants it so")
            if self.answers_acks:
                ack = report_pb2.Ack(sequence=self.store.committed[batch.epoch])
                await acks.put(report_pb2.CollectorMessage(ack=ack))

    async def Renew(self, request: report_pb2.RenewRequest, context: Any) -> report_pb2.RenewResponse:  # noqa: N802
        if not self.renews:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the test wants it so")
        name = context.auth_context()["peer_spiffe_id"][0].decode().rpartition("/")[2]
        self.renewals += 1
        certificate = self.authority.host(name, request.csr, self.certificate_days)
        return report_pb2.RenewResponse(certificate_pem=certificate, ca_pem=self.renewed_ca_pem)

    async def Enroll(self, request: enroll_pb2.EnrollRequest, context: Any) -> enroll_pb2.EnrollResponse:  # noqa: N802
        self.proposed.append(request.hostname)
        name = self.tokens.pop(request.secret, None)
        if name is None:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED, "token refused: it is unknown, used up, revoked or expired"
            )
        return enroll_pb2.EnrollResponse(
            host=name,
            certificate_pem=self.authority.host(str(name), request.csr, self.certificate_days),
            ca_pem=self.authority.pem,
            report_addresses=self.advertised,
            report_port=self.report_port,
            pending=self.approves,
        )

    async def EnrollPerson(  # noqa: N802
        self, request: enroll_pb2.EnrollPersonRequest, context: Any
    ) -> enroll_pb2.EnrollPersonResponse:
        raise AssertionError("an agent is no person")

    async def Challenge(  # noqa: N802
        self, request: enroll_pb2.ChallengeRequest, context: Any
    ) -> enroll_pb2.ChallengeResponse:
        self.challenges.append(secrets.token_bytes(56))
        return enroll_pb2.ChallengeResponse(challenge=self.challenges[-1])

    async def Readmit(self, request: enroll_pb2.ReadmitRequest, context: Any) -> enroll_pb2.ReadmitResponse:  # noqa: N802
        assert request.challenge == self.challenges[-1]
        self.asked_again.append(request)
        await self._noticed()
        if self.readmits_not:
            await context.abort(*self.readmits_not)
        if not self.readmits:
            return enroll_pb2.ReadmitResponse(again_after_s=self.again_after_s)
        name = self.authority.check_proof(request)
        certificate = self.authority.host(name, request.csr, 7)
        return enroll_pb2.ReadmitResponse(certificate_pem=certificate, ca_pem=self.authority.pem)
