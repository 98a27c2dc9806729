"""What watches the collector from outside: metrics, /healthz, and gRPC's health service."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass

import grpc
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fleetnet_server import metrics, microseconds
from fleetnet_server.config import Address, Config
from fleetnet_server.identity.server import ServerIdentity
from fleetnet_server.rpc.health import HealthDesk
from fleetnet_server.rpc.streams import Streams
from fleetnet_server.run import sockets
from fleetnet_server.run.http import Http, on_loop
from fleetnet_server.services.authorities import Authorities
from fleetnet_server.services.fleet import counts, ending
from fleetnet_server.services.health import Health
from fleetnet_server.services.load import Load
from fleetnet_server.services.quotas import Quotas
from fleetnet_server.storage.database import Database

_DATABASE_S = 3.0  # less than http.py waits for the event loop


@dataclass(frozen=True, slots=True)
class Watched:
    """What is asked how it does."""

    database: Database
    streams: Streams
    health: Health
    trust: Authorities
    identity: ServerIdentity
    load: Load
    quotas: Quotas

    def wrong(self) -> str:
        """What keeps data from moving, in a sentence; empty where nothing does."""
        return self.health.wrong(self.streams.count(), self.database.waited_s())

    def status(self) -> str:
        """How it goes, on a line for the service manager."""
        return f"{self.streams.count()} hosts connected; {self.wrong() or 'all is well'}"

    async def healthy(self) -> str:
        """What `wrong` says, and whether the database answers. Raises StorageError."""
        if wrong := self.wrong():
            return wrong
        asking = asyncio.create_task(counts(self.database))
        if not (await asyncio.wait({asking}, timeout=_DATABASE_S))[0]:
            asking.cancel()  # and not waited for: its end may take as long as the database
            return f"the database has not answered a question for {_DATABASE_S:g} s; look at its server, or at the disk"
        asking.result()
        return ""

    async def fleet(self) -> metrics.Fleet:
        """How the hosts stand. Raises StorageError."""
        known, heard = await counts(self.database)
        late = await ending(self.database, microseconds.now())
        connected, spools = self.streams.count(), self.streams.spools()
        return metrics.Fleet(
            connected=connected,
            away=max(0, heard - connected),
            silent=known - heard,
            spool_bytes=sum(spool.size_bytes for spool in spools),
            spool_oldest_us=max((spool.oldest_age_us for spool in spools), default=0),
            spooling=len(spools),
            held_back=len(self.quotas.held_back()),
            ending=len(late),
        )


class LoadCollector(Collector):
    """What the collector bears, read when somebody asks."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client. In the thread of whoever asks: numbers are read, each by itself."""
        load = self._load
        yield GaugeMetricFamily("fleetnet_held_bytes", "Memory of reports not stored yet, reckoned.", load.held_bytes)
        for name, what, value in (
            ("streams_sent_away", "Streams ended for want of that memory.", load.sent_away),
            (
                "streams_put_off",
                "Streams that were told to come back later before they were let in.",
                load.streams_put_off,
            ),
            ("slowed_seconds", "Seconds that hosts over their quota were not read.", load.slowed_s),
            ("quarantined", "Reports that could not be stored.", load.set_aside),
            ("snapshots_asked", "Requests to a host to tell everything anew.", load.snapshots_asked),
        ):
            yield CounterMetricFamily(f"fleetnet_{name}", what, value)


@contextlib.asynccontextmanager
async def monitored(
    config: Config, everything: Sequence[grpc.aio.Server], watched: Watched
) -> AsyncIterator[Address | None]:
    """Let the collector be watched; where over HTTP, None where that is switched off. Raises StartRefused."""
    desk = HealthDesk()
    for server in everything:
        desk.add_to(server)
    metrics.CERTIFICATE_ENDS.labels("ca").set_function(lambda: watched.trust.until.timestamp())
    metrics.CERTIFICATE_ENDS.labels("server").set_function(lambda: watched.identity.current.not_after.timestamp())
    http = _http(config.metrics_listen, watched) if config.metrics_listen else None
    following = asyncio.create_task(desk.follow(watched.wrong))
    try:
        yield Address(config.metrics_listen.host, http.port) if http and config.metrics_listen else None
    finally:
        following.cancel()
        await desk.stop()
        if http:
            await asyncio.to_thread(http.stop)


def _http(address: Address, watched: Watched) -> Http:
    sockets.check_bindable(address, "--metrics-listen")
    try:
        http = Http(address, watched.healthy)
    except OSError as error:
        raise sockets.refused_bind(address, "--metrics-listen", error.errno or 0) from error
    loop = asyncio.get_running_loop()
    metrics.REGISTRY.register(metrics.FleetCollector(lambda: on_loop(loop, watched.fleet)))
    metrics.REGISTRY.register(LoadCollector(watched.load))
    http.start()
    return http
