"""The gate by itself: who does not read is not waited for, and where standing cannot be read nobody goes on."""

import asyncio
import contextlib
import datetime
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from fleetnet_proto.v1 import admin_pb2, admin_pb2_grpc, enroll_pb2, enroll_pb2_grpc, query_pb2, query_pb2_grpc
from fleetnet_server.errors import PeerRefused, ServerError, StorageUnavailable
from fleetnet_server.identity import peer
from fleetnet_server.records import Coverage, Person, Selection, SocketQuestion, StaleHost
from fleetnet_server.rpc import gate
from fleetnet_server.rpc.query import QueryService
from fleetnet_server.rpc.slowly import Slowly
from fleetnet_server.services.health import Health
from fleetnet_server.services.people import People
from fleetnet_server.services.questions import Questions
from fleetnet_server.services.standing import Standing
from fleetnet_server.services.turned_away import TurnedAway
from fleetnet_server.services.watching import Watching
from fleetnet_server.storage.dialect import READERS
from server.agents import DEADLINE_S

ALICE = peer.Person("alice", "0a", 0)


class _People:
    """Admits everybody, until told otherwise."""

    def __init__(self) -> None:
        self.unreadable = False
        self.error: ServerError | None = None
        self.unknown_role = False
        self.admitting = 0  # how many have come to be admitted
        self.admits = asyncio.Event()
        self.admits.set()
        self.asked: asyncio.Queue[Collection[str]] = asyncio.Queue()

    async def admit(self, shown: peer.Person, role: str) -> None:
        self.admitting += 1
        await self.admits.wait()

    async def find_each(self, of: Collection[str]) -> dict[str, Person]:
        self.asked.put_nowait(of)
        if self.unreadable:
            raise StorageUnavailable("the disk is full")
        return {}

    def check(self, shown: peer.Person, person: Person | None, role: str) -> None:
        if self.error is not None:
            raise self.error
        if self.unknown_role:
            raise ValueError("'auditor' is not in tuple")


class _Endless:
    """Questions and a watch to which there is always more to answer, or nothing; notes when nobody is told any more."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def hosts(self, selection: Selection, now_us: int) -> AsyncGenerator[Coverage]:
        stale = tuple(StaleHost(f"web{n}", 0) for n in range(10_000))
        try:
            while True:
                yield Coverage(1, 10_000, 0, stale, 0)
        finally:
            self.left.set()

    async def watch(self, question: SocketQuestion) -> AsyncGenerator[Coverage]:
        try:
            yield Coverage(1, 0, 0, (), 0)
            await asyncio.Event().wait()
        finally:
            self.left.set()


@contextlib.asynccontextmanager
async def asked(
    tmp_path: Path, people: _People, endless: _Endless
) -> AsyncIterator[tuple["query_pb2_grpc.QueryServiceAsyncStub", grpc.aio.Channel]]:
    """A gate before the questions, on a socket."""
    kept = cast("TurnedAway", _Unwritable())
    standing = Standing(cast("People", people), shared=True)
    before = gate.Gate(
        cast("People", people), standing, kept, Slowly(), Health(), lambda: datetime.datetime.now(datetime.UTC)
    )
    server = grpc.aio.server(interceptors=[before])
    # Nothing else is asked for.
    service = QueryService(cast("Questions", endless), cast("Watching", endless), None, Health(), None)  # type: ignore[arg-type]
    query_pb2_grpc.add_QueryServiceServicer_to_server(service, server)
    anything = cast("enroll_pb2_grpc.EnrollServiceServicer", _Anything())
    enroll_pb2_grpc.add_EnrollServiceServicer_to_server(anything, server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(cast("admin_pb2_grpc.AdminServiceServicer", _Anything()), server)
    path = f"unix:{tmp_path}/gate.sock"
    server.add_insecure_port(path)
    await server.start()
    async with grpc.aio.insecure_channel(path) as channel:
        yield query_pb2_grpc.QueryServiceStub(channel), channel
    await server.stop(None)


class _Unwritable:
    """A log of administration on a disk that is full."""

    async def note(self, *_: object) -> None:
        raise StorageUnavailable("the disk is full")


class _Anything:
    """A service whose methods are there and answer nothing."""

    def __getattr__(self, _name: str) -> Any:
        async def method(request: object, context: object) -> enroll_pb2.EnrollResponse:
            return enroll_pb2.EnrollResponse()

        return method


@pytest.fixture(autouse=True)
def _everybody_is_alice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "identify_person", lambda *_: ALICE)
    monkeypatch.setattr(gate, "CHECK_S", 0.01)


async def _to_the_end(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        await _read_on(call)
    return error.value.code(), error.value.details() or ""


async def _read_on(call: Any) -> None:
    while await call.read():
        pass


def test_an_answer_that_is_not_read_is_dropped_and_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "WRITE_S", 0.2)

    async def story() -> None:
        service = _Endless()
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, _People(), service) as (stub, _):
            call = stub.ListHosts(query_pb2.ListHostsRequest())
            await call.read()
            await service.left.wait()
            code, words = await _to_the_end(call)
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "was not read on for too long" in words

    asyncio.run(story())


def test_an_answer_ends_in_the_midst_of_being_written_to_somebody_who_does_not_read(tmp_path: Path) -> None:
    async def story() -> None:
        service, people = _Endless(), _People()
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, people, service) as (stub, _):
            call = stub.ListHosts(query_pb2.ListHostsRequest())
            await call.read()
            people.error = PeerRefused("revoked")
            await service.left.wait()
            assert await _to_the_end(call) == (grpc.StatusCode.UNAUTHENTICATED, "revoked")

    asyncio.run(story())


def test_where_it_cannot_be_read_who_may_ask_nobody_goes_on(tmp_path: Path) -> None:
    async def story() -> None:
        service, people = _Endless(), _People()
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, people, service) as (stub, _):
            call = stub.WatchSockets(query_pb2.WatchSocketsRequest())
            await call.read()
            people.unreadable = True
            assert await _to_the_end(call) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "the disk is full")
            await service.left.wait()

    asyncio.run(story())


def test_all_that_is_open_is_looked_up_at_once_and_nothing_is_where_nothing_is_open(tmp_path: Path) -> None:
    async def story() -> None:
        service, people = _Endless(), _People()
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, people, service) as (stub, _):
            calls = [stub.WatchSockets(query_pb2.WatchSocketsRequest()) for _ in range(3)]
            for call in calls:
                await call.read()
            assert await people.asked.get() == await people.asked.get() == {"alice"}
            for call in calls:
                call.cancel()
            await service.left.wait()

    asyncio.run(story())


def test_a_service_that_nobody_has_decided_about_is_answered_to_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, _People(), _Endless()) as (_, channel):
            with pytest.raises(grpc.RpcError) as error:
                await enroll_pb2_grpc.EnrollServiceStub(channel).Enroll(enroll_pb2.EnrollRequest())
            assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert "answered to nobody over the network" in (error.value.details() or "")

    asyncio.run(story())


def test_whoever_asks_too_much_is_told_so_before_the_database_is_asked_who_it_is(tmp_path: Path) -> None:
    async def story() -> None:
        service, people = _Endless(), _People()
        people.admits.clear()
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, people, service) as (stub, _):
            calls = [stub.WatchSockets(query_pb2.WatchSocketsRequest()) for _ in range(gate.MOST_CALLS_OF_ONE)]
            while people.admitting < gate.MOST_CALLS_OF_ONE:  # noqa: ASYNC110 - it is noted by the server
                await asyncio.sleep(0.01)
            code, words = await _to_the_end(stub.WatchSockets(query_pb2.WatchSocketsRequest()))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "at once already" in words
            assert people.admitting == gate.MOST_CALLS_OF_ONE
            for call in calls:
                call.cancel()

    asyncio.run(story())


def test_a_hundred_watch_over_the_network_and_others_still_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (peer.Person(f"person{number}", "0a", 0) for number in itertools.count())
    monkeypatch.setattr(gate, "identify_person", lambda *_: next(names))
    monkeypatch.setattr(gate, "MOST_WATCHES", 100)
    assert gate.MOST_CALLS < gate.MOST_WATCHES

    async def story() -> None:
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, _People(), _Endless()) as (stub, _):
            calls = [stub.WatchSockets(query_pb2.WatchSocketsRequest()) for _ in range(100)]
            for call in calls:
                assert isinstance(await call.read(), query_pb2.WatchSocketsResponse)
            code, words = await _to_the_end(stub.WatchSockets(query_pb2.WatchSocketsRequest()))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "100 watch already" in words
            answer = stub.ListHosts(query_pb2.ListHostsRequest())
            assert isinstance(await answer.read(), query_pb2.ListHostsResponse)
            answer.cancel()
            for call in calls:
                call.cancel()

    asyncio.run(story())


def test_people_over_the_network_never_have_all_places_at_which_the_database_is_read(tmp_path: Path) -> None:
    assert gate.MOST_ANSWERS_OF_ONE < gate.MOST_ANSWERS < READERS

    async def story() -> None:
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, _People(), _Endless()) as (stub, _):
            calls = [stub.ListHosts(query_pb2.ListHostsRequest()) for _ in range(gate.MOST_ANSWERS_OF_ONE)]
            for call in calls:
                await call.read()
            code, words = await _to_the_end(stub.ListHosts(query_pb2.ListHostsRequest()))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "too many answers" in words
            for call in calls:
                call.cancel()

    asyncio.run(story())


def test_an_answer_that_is_read_on_for_ever_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "ANSWER_S", 0.2)

    async def story() -> None:
        service = _Endless()
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, _People(), service) as (stub, _):
            code, _ = await _to_the_end(stub.ListHosts(query_pb2.ListHostsRequest()))
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
            await service.left.wait()

    asyncio.run(story())


@pytest.mark.parametrize("known", [True, False])
def test_no_byte_of_a_question_is_read_before_it_is_known_who_asks(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> peer.Person:
        raise PeerRefused("a host")

    if not known:
        monkeypatch.setattr(gate, "identify_person", refuse)

    async def story() -> None:
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, _People(), _Endless()) as (_, channel):
            ask: Any = channel.unary_stream("/fleetnet.v1.QueryService/ListHosts")
            code, words = await _to_the_end(ask(b"\xff" * 100))
            assert code is (grpc.StatusCode.INVALID_ARGUMENT if known else grpc.StatusCode.UNAUTHENTICATED), words

    asyncio.run(story())


def test_a_person_who_cannot_be_judged_does_not_go_on_and_others_are_judged_on(tmp_path: Path) -> None:
    async def story() -> None:
        service, people = _Endless(), _People()
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, people, service) as (stub, _):
            people.unknown_role = True
            code, _ = await _to_the_end(stub.WatchSockets(query_pb2.WatchSocketsRequest()))
            assert code is grpc.StatusCode.INTERNAL
            people.unknown_role, people.error = False, PeerRefused("revoked")
            code, _ = await _to_the_end(stub.WatchSockets(query_pb2.WatchSocketsRequest()))
            assert code is grpc.StatusCode.UNAUTHENTICATED

    asyncio.run(story())


def test_whoever_is_turned_away_is_so_also_where_that_cannot_be_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> peer.Person:
        raise PeerRefused("a host")

    monkeypatch.setattr(gate, "identify_person", refuse)

    async def story() -> None:
        async with asyncio.timeout(DEADLINE_S), asked(tmp_path, _People(), _Endless()) as (_, channel):
            with pytest.raises(grpc.RpcError) as error:
                await admin_pb2_grpc.AdminServiceStub(channel).RevokeHosts(admin_pb2.RevokeHostsRequest(hosts=["web1"]))
            assert (error.value.code(), error.value.details()) == (grpc.StatusCode.UNAUTHENTICATED, "a host")

    asyncio.run(story())
