"""The collector's life: everything that it holds, acquired in one order and given back in the reverse.

    data directory and its lock → database → CA and server certificate → admin socket's lock → ports → ready

A signal ends it gently: no new work, streams told to come back, commits finished, ports closed, the database last. A
second signal, or a kill -9 anywhere, leaves a directory that the next start takes up.
"""

import asyncio
import contextlib
import dataclasses
import datetime
import os
import random
import resource
import signal
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, NoReturn

import grpc
import structlog

from fleetnet_server import failpoints
from fleetnet_server.config import Address, Config
from fleetnet_server.errors import StartRefused
from fleetnet_server.rpc import servers
from fleetnet_server.rpc.admin import AdminService
from fleetnet_server.rpc.authority import AuthorityService
from fleetnet_server.rpc.enroll import EnrollService
from fleetnet_server.rpc.gate import Gate
from fleetnet_server.rpc.held import Held
from fleetnet_server.rpc.live import LiveDesk
from fleetnet_server.rpc.people import PersonService
from fleetnet_server.rpc.query import QueryService
from fleetnet_server.rpc.renewals import Renewals
from fleetnet_server.rpc.report import ReportService
from fleetnet_server.rpc.slowly import Slowly
from fleetnet_server.rpc.stream import Shared
from fleetnet_server.rpc.streams import Ending, Streams
from fleetnet_server.run import farewell, memory, sockets
from fleetnet_server.run.authorities import Following, keep_certificate, keep_following, keep_warning, open_identity
from fleetnet_server.run.directory import prepare
from fleetnet_server.run.monitoring import Watched, monitored
from fleetnet_server.run.notify import Notifier, keep_telling
from fleetnet_server.run.others import keep_answering_others, keep_ending_kept_out
from fleetnet_server.run.retention import keep_clearing
from fleetnet_server.run.trends import keep_putting_down
from fleetnet_server.run.turned_away import keep_logging, log_the_rest
from fleetnet_server.services.admission import Admission
from fleetnet_server.services.description import Description
from fleetnet_server.services.enrollment import Enrollment
from fleetnet_server.services.health import Health
from fleetnet_server.services.hosts import Hosts
from fleetnet_server.services.ingest import Ingest
from fleetnet_server.services.kept_out import KeptOut
from fleetnet_server.services.labels import Labelling
from fleetnet_server.services.live import Live
from fleetnet_server.services.load import Load
from fleetnet_server.services.log import Logged
from fleetnet_server.services.people import People
from fleetnet_server.services.questions import Questions
from fleetnet_server.services.quotas import Quotas
from fleetnet_server.services.readmission import ReadmissionDesk
from fleetnet_server.services.relayed import Relayed
from fleetnet_server.services.retention import Retention
from fleetnet_server.services.rotation import Rotation
from fleetnet_server.services.standing import Standing
from fleetnet_server.services.trends import Trends
from fleetnet_server.services.turned_away import TurnedAway
from fleetnet_server.services.watching import Watching
from fleetnet_server.storage.database import Database

_log = structlog.get_logger()

_FILES = 65_536
# Streams have so long to end, and a little longer for each of them.
_STREAMS_END_S = 3.0
_STREAM_ENDS_S = 0.0025
_STREAMS_END_AT_MOST_S = 30.0
_CALLS_END_S = 1.0
# Reports that come within so long share a commit: ten thousand quiet hosts beat 167 times a second, and a commit costs
# as much as storing several beats. Nobody waits for a beat, nor for its acknowledgement.
_GATHER_S = 0.04
_BEATS_WAIT_S = 0.5
# What is noted then of streams that were cut off; the database finishes what it has been given.
_BOOKS_S = 2.0


def run(config: Config) -> None:
    """Serve until a signal. Raises StartRefused, StorageError."""
    # Nothing that the collector ever makes is for others; the admin socket says otherwise where it is bound.
    os.umask(0o077)
    _raise_file_limit()
    _log.info("starting", data=str(config.data))
    if notice := failpoints.notice():
        _log.warning(notice)
    with contextlib.ExitStack() as held:
        lock = prepare(config.data)
        held.callback(lock.release)
        database = Database.open(config.database, _GATHER_S, _BEATS_WAIT_S, config.limits.question_timeout)
        held.enter_context(sockets.admin_socket(config.admin_socket))
        memory.search_garbage_seldom()
        asyncio.run(_serve(config, database))


def _raise_file_limit() -> None:
    """Each host takes a descriptor, and each stranger for a while; the usual soft limit of 1,024 is soon reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(config: Config, database: Database) -> None:
    notifier = Notifier(os.environ)
    told = _signals()
    try:
        trust, identity = await open_identity(config, database, _now)
        health = Health()
        streams = Streams()
        load = Load()
        quotas, slowly = Quotas(config.limits, load), Slowly()
        admission = Admission(config.limits.streams_per_second, quotas, load)
        watching = Watching(database)
        shared = Shared(Ingest(database, watching.note), health, Held(config.limits.memory_bytes, load), quotas, load)
        logged = Logged(database, _now)
        kept_out = KeptOut(database, streams.end_kept_out, streams.end_others)
        enrollment = Enrollment(logged, trust, _now, kept_out.note_joined)
        people = People(logged, trust, _now)
        readmission = ReadmissionDesk(logged, trust, _now)
        renewals = Renewals(trust)
        following = Following(config, database, trust, identity, renewals)
        reports = ReportService(shared, admission, enrollment, streams, renewals, slowly, _now)
        live = LiveDesk(Live(database), streams, Relayed(database))
        queries = QueryService(Questions(database), watching, streams, health, live)
        labelling = Labelling(logged, watching.note_labels)
        hosts = Hosts(logged, _now, kept_out.note, watching.note_left)
        description = Description(database, quotas, lambda: trust.until, lambda: identity.current.not_after, _now)
        administration = AdminService(enrollment, people, labelling, hosts, logged, description, health)
        turned_away = TurnedAway(logged)
        persons = PersonService(people, health, _now)
        standing = Standing(people, shared=database.shared)
        gate = Gate(people, standing, turned_away, slowly, health, _now)
        report = servers.report_server(reports, queries, administration, persons, gate)
        report_at = _bind(report, config.listen, "--listen", identity.credentials(client_certificates=True))
        advertised = tuple(str(address) for address in config.advertise)
        joining = EnrollService(enrollment, people, readmission, health, advertised, report_at.port)
        enroll = servers.enroll_server(joining)
        enroll_at = _bind(
            enroll, config.enroll_listen, "--enroll-listen", identity.credentials(client_certificates=False)
        )
        rotation = AuthorityService(Rotation(logged, trust, _now), logged, following.turned, health)
        admin = servers.admin_server(queries, administration, rotation)
        _bind_admin(admin, config.admin_socket)
        everything = (report, enroll, admin)
        watched = Watched(database, streams, health, trust, identity, load, quotas)
        async with monitored(config, everything, watched) as metrics_at:
            for server in everything:
                await server.start()
            _say_ready(config, report_at, enroll_at, metrics_at)
            notifier.ready()
            try:
                beside = (
                    keep_clearing(Retention(database, config.keep), health),
                    keep_putting_down(Trends(database), health),
                    keep_answering_others(live, health, shared=database.shared),
                    keep_ending_kept_out(kept_out, health),
                    keep_logging(turned_away, health),
                    keep_following(following, health),
                    keep_certificate(following),
                    keep_warning(database, trust, identity, health),
                    keep_telling(notifier, watched.status),
                )
                await _until(told, health, beside)
            finally:
                notifier.stopping()
                admission.close()
                await _end(streams, everything)
                await reports.settled(_BOOKS_S)
                await log_the_rest(turned_away, health)
                _log.info("load", **dataclasses.asdict(load))
    finally:
        await database.close()
        _log.info("stopped")


def _bind(server: grpc.aio.Server, address: Address, option: str, credentials: grpc.ServerCredentials) -> Address:
    sockets.check_bindable(address, option)
    port = servers.bind(server, str(address), credentials)
    if port == 0:
        # Somebody took it in between.
        raise StartRefused(f"{option} {address} cannot be listened on; stop what uses it, or choose another")
    return Address(address.host, port)


def _bind_admin(server: grpc.aio.Server, path: Path) -> None:
    # The socket is listening, with this mode, when the call returns: owner and group may write, which is to ask.
    with sockets.umask(0o117):
        bound = servers.bind_admin(server, path)
    if not bound:
        raise StartRefused(f"the admin socket {path} cannot be made; give another --admin-socket")


def _say_ready(config: Config, report_at: Address, enroll_at: Address, metrics_at: Address | None) -> None:
    metrics = str(metrics_at or "off")
    _log.info(
        "ready",
        admin_socket=str(config.admin_socket),
        report=str(report_at),
        enroll=str(enroll_at),
        metrics=metrics,
    )
    print(
        f"fleetnet-server: ready, admin socket {config.admin_socket}, report {report_at}, enroll {enroll_at}, "
        f"metrics {metrics}",
        flush=True,
    )


def _signals() -> asyncio.Future[str]:
    """The signal that ends the collector, once it has come."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()

    both = (signal.SIGTERM, signal.SIGINT)

    def tell(name: str) -> None:
        if not told.done():
            told.set_result(name)
        # Whoever sends a second one does not want to wait: the kernel ends the process, whatever it is busy with.
        for number in both:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in both:
        loop.add_signal_handler(number, tell, number.name)
    return told


async def _until(
    told: asyncio.Future[str],
    health: Health,
    works: Iterable[Coroutine[Any, Any, NoReturn]],
) -> None:
    """Return at a signal; raise StorageDamaged if the database is. Meanwhile all works are done."""
    beside = [asyncio.create_task(work) for work in (memory.keep_giving_back(), *works)]
    try:
        await asyncio.wait((told, health.damaged), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in beside:
            task.cancel()
    if health.damaged.done():
        raise health.damaged.result()
    _log.info("stopping", signal=told.result())


async def _end(streams: Streams, everything: tuple[grpc.aio.Server, ...]) -> None:
    count = streams.count()
    turns = farewell.turns_ms(count, random.Random())  # noqa: S311  # only jitter

    def ending() -> Ending:
        return Ending("the collector is stopping", reconnect_after_ms=next(turns))

    await streams.end_all(ending, min(_STREAMS_END_S + _STREAM_ENDS_S * count, _STREAMS_END_AT_MOST_S))
    await asyncio.gather(*(server.stop(_CALLS_END_S) for server in everything))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
