"""When a host's agents were started, told by the first stream of each; by the host's clock."""

from collections.abc import Iterator

from sqlalchemy import BigInteger, Connection, bindparam, cast, func, or_, select

from fleetnet_server.lives import AgentStart
from fleetnet_server.storage.lives import Span
from fleetnet_server.storage.schema import sessions

_ROWS_AT_ONCE = 100
_STREAMS = (
    select(
        sessions.c.generation,
        sessions.c.boot_id,
        sessions.c.epoch,
        (sessions.c.started_at_us + sessions.c.clock_offset_us).label("at_us"),
        sessions.c.agent_version,
        sessions.c.kernel,
        sessions.c.booted_at_us,
        func.lag(sessions.c.boot_id).over(order_by=sessions.c.generation).label("boot_before"),
        func.lag(sessions.c.epoch).over(order_by=sessions.c.generation).label("epoch_before"),
    )
    .where(sessions.c.host_id == bindparam("of_host"))
    .subquery()
)
_ANOTHER_BOOT = _STREAMS.c.boot_id != _STREAMS.c.boot_before
_STARTS = (
    select(
        _STREAMS.c.at_us,
        func.coalesce(_ANOTHER_BOOT, False).label("booted"),
        _STREAMS.c.agent_version,
        _STREAMS.c.kernel,
        _STREAMS.c.booted_at_us,
    )
    .where(
        or_(_STREAMS.c.boot_before.is_(None), _ANOTHER_BOOT, _STREAMS.c.epoch != _STREAMS.c.epoch_before),
        _STREAMS.c.at_us >= bindparam("from_us", type_=BigInteger),
        _STREAMS.c.at_us <= func.coalesce(cast(bindparam("to_us"), BigInteger), _STREAMS.c.at_us),
    )
    .order_by(_STREAMS.c.at_us.desc(), _STREAMS.c.generation.desc())
)


def within(conn: Connection, span: Span) -> Iterator[AgentStart]:
    """Those in a time, the latest first; of the first agent of all nobody knows whether its host had been started."""
    asked = {"of_host": span.host_id, "from_us": span.from_us, "to_us": span.to_us}
    options = {"stream_results": True, "max_row_buffer": _ROWS_AT_ONCE}
    with conn.execute(_STARTS, asked, execution_options=options) as result:
        for at_us, booted, agent_version, kernel, booted_at_us in result:
            yield AgentStart(at_us, bool(booted), agent_version, kernel, booted_at_us)
