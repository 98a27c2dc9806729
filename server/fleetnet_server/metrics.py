"""What the collector counts of itself, for Prometheus. Any room may count here; `run/http.py` shows it.

What must stay true: no name or text of a host becomes a label, so the number of series is the same for one host and for
ten thousand. Counters may be raised in any thread.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fleetnet_server.errors import ServerError

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

_FAST_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

BATCHES: Final = Counter("fleetnet_batches", "Batches of hosts that were stored.", registry=REGISTRY)
ROWS: Final = Counter("fleetnet_rows", "Rows of stored batches.", ["kind"], registry=REGISTRY)
GAPS: Final = Counter(
    "fleetnet_gaps",
    "Gaps that were recorded, by who declared them: the agent or the collector.",
    ["by"],
    registry=REGISTRY,
)
COMMIT_SECONDS: Final = Histogram(
    "fleetnet_commit_seconds",
    "Seconds that a commit took, for all that shared it.",
    buckets=_FAST_S,
    registry=REGISTRY,
)
COMMIT_WORKS: Final = Histogram(
    "fleetnet_commit_works",
    "Pieces of work that shared a commit.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
    registry=REGISTRY,
)
COMMITS_FAILED: Final = Counter("fleetnet_commits_failed", "Commits that the database did not take.", registry=REGISTRY)
QUEUED: Final = Gauge("fleetnet_queued_works", "Pieces of work that wait for the database.", registry=REGISTRY)
LAST_STORED: Final = Gauge(
    "fleetnet_last_stored_timestamp_seconds", "When a batch was stored last; 0 if never.", registry=REGISTRY
)
STREAMS_OPENED: Final = Counter("fleetnet_streams_opened", "Report streams that were opened.", registry=REGISTRY)
STREAMS_CLOSED: Final = Counter(
    "fleetnet_streams_closed", "Report streams that ended, in peace or by an error.", ["how"], registry=REGISTRY
)
PEERS_REFUSED: Final = Counter(
    "fleetnet_peers_refused", "Connections that were not let in, by port.", ["port"], registry=REGISTRY
)
QUESTION_SECONDS: Final = Histogram(
    "fleetnet_question_seconds",
    "Seconds from a question to the end of its answer, reading included.",
    ["question"],
    buckets=_FAST_S,
    registry=REGISTRY,
)
DELETED: Final = Counter(
    "fleetnet_deleted_rows", "Rows deleted because they were too old.", ["kind"], registry=REGISTRY
)
RETENTION_ENDED: Final = Gauge(
    "fleetnet_retention_ended_timestamp_seconds",
    "When all that is too old was last found and deleted; 0 if not since the start.",
    registry=REGISTRY,
)
KEPT_SINCE: Final = Gauge(
    "fleetnet_kept_since_timestamp_seconds",
    "The latest end of what has been deleted, by kind; after that all is kept of every host.",
    ["kind"],
    registry=REGISTRY,
)
CERTIFICATE_ENDS: Final = Gauge(
    "fleetnet_certificate_expiry_timestamp_seconds",
    "When a certificate of the collector ends.",
    ["certificate"],
    registry=REGISTRY,
)


@dataclass(frozen=True, slots=True)
class Fleet:
    """How the hosts stand at one moment."""

    connected: int
    away: int  # heard before, and not connected
    silent: int  # enrolled, and never heard whole
    spool_bytes: int  # that wait on connected hosts, as they said at their last Hello or backlog
    spool_oldest_us: int  # how old the oldest of it is
    spooling: int  # connected hosts on which something waits
    held_back: int  # hosts that are read more slowly, for they report more than their quota
    ending: int  # hosts whose certificates end within a week, and were to be renewed before


class FleetCollector(Collector):
    """Gauges that are read when somebody asks for them."""

    def __init__(self, read: Callable[[], Fleet]) -> None:
        """`read` is called in the thread of whoever asks. Where it raises ServerError or TimeoutError, there is nothing
        to be told of the fleet just now."""
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        try:
            fleet = self._read()
        except (ServerError, TimeoutError):
            return
        agents = GaugeMetricFamily("fleetnet_agents", "Hosts of the fleet by how their agents stand.", labels=["state"])
        for state in ("connected", "away", "silent"):
            agents.add_metric([state], getattr(fleet, state))
        yield agents
        what = "Hosts whose certificate ends within a week: it was to be renewed before."
        yield GaugeMetricFamily("fleetnet_host_certificates_ending", what, fleet.ending)
        what = "Hosts that report more than their quota and are read more slowly."
        yield GaugeMetricFamily("fleetnet_hosts_held_back", what, fleet.held_back)
        yield from self._spools(fleet)

    def describe(self) -> Iterable[Metric]:
        """Nothing: it must not be read before it can be."""
        return ()

    def _spools(self, fleet: Fleet) -> Iterator[Metric]:
        yield GaugeMetricFamily("fleetnet_spooling_agents", "Connected hosts with a backlog.", fleet.spooling)
        yield GaugeMetricFamily("fleetnet_spool_bytes", "Backlog of all connected hosts together.", fleet.spool_bytes)
        yield GaugeMetricFamily(
            "fleetnet_spool_oldest_seconds", "Age of the oldest of that backlog.", fleet.spool_oldest_us / 1e6
        )
