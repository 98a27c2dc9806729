"""What an answer shows of a host."""

from fleetnet_cli import labels, times
from fleetnet_cli.output.labelled import cell
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.records import Host

_FIELDS = (
    "host",
    "fresh",
    "connected",
    "last_seen",
    "enrolled_at",
    "sockets",
    "listeners",
    "agent_version",
    "os",
    "kernel",
    "architecture",
    "booted_at",
    "clock_offset_us",
    "degraded",
    "gaps",
    "labels",
    "status",
)


def presentation() -> Presentation[Host]:
    """Hosts."""
    columns: tuple[Column[Host], ...] = (
        Column("HOST", lambda h: h.host, least=24),
        Column("STATUS", _status),
        Column(f"LAST HEARD ({times.zone_name()})", lambda h: times.local(h.last_seen_us)),
        Column("SOCKETS", lambda h: str(h.sockets), right=True),
        Column("LISTENERS", lambda h: str(h.listeners), right=True),
        Column("AGENT", lambda h: h.agent_version, leaves=3),
        Column("KERNEL", lambda h: h.kernel, least=8, leaves=2),
        Column("OS", lambda h: h.os, least=8, leaves=1),
    )
    return Presentation(
        kind="HostList",
        as_json=_as_json,
        columns=columns,
        wide=(
            *columns,
            Column("LABELS", lambda h: labels.listed(h.labels), if_any=True),
            Column("ARCHITECTURE", lambda h: h.architecture),
            Column("BOOTED", lambda h: times.local(h.booted_at_us)),
            Column("ENROLLED", lambda h: times.local(h.enrolled_at_us)),
            Column("CLOCK (us)", lambda h: f"{h.clock_offset_us:+}" if h.clock_offset_us else "", right=True),
        ),
        nothing="no host found",
        host_of=lambda h: h.host,
        note=_note,
        fields=_FIELDS,
        cells={"degraded": "; ".join, "labels": cell},
    )


def _as_json(host: Host) -> dict[str, object]:
    return {
        "host": host.host,
        "fresh": host.fresh,
        "connected": host.connected,
        "last_seen": times.utc(host.last_seen_us),
        "enrolled_at": times.utc(host.enrolled_at_us),
        "sockets": host.sockets,
        "listeners": host.listeners,
        "agent_version": host.agent_version or None,
        "os": host.os or None,
        "kernel": host.kernel or None,
        "architecture": host.architecture or None,
        "booted_at": times.utc(host.booted_at_us),
        "clock_offset_us": host.clock_offset_us,
        "degraded": list(host.degraded),
        "gaps": host.gaps,
        "labels": labels.as_json(host.labels),
        "status": host.status,
    }


def _status(host: Host) -> str:
    if host.status not in (None, "active"):
        return host.status.replace("-", " ")
    if host.last_seen_us == 0:
        return "never heard"
    heard = "fresh" if host.fresh else "stale"
    return heard if host.connected else f"{heard}, away"


def _note(host: Host) -> str | None:
    gaps = "a gap overlaps the time asked about" if host.gaps == 1 else f"{host.gaps} gaps overlap the time asked about"
    said = [*host.degraded, *[gaps] * bool(host.gaps)]
    return f"{host.host}: {'; '.join(said)}" if said else None
