"""What an answer shows of sockets that were counted."""

from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.records import Count


def presentation(by: str, nothing: str) -> Presentation[Count]:
    """Counts by "host" or by "process"."""
    count: Column[Count] = Column("COUNT", lambda c: str(c.count), right=True)
    name: Column[Count] = Column(by.upper(), lambda c: c.name)
    hosts: Column[Count] = Column("HOSTS", lambda c: str(c.hosts), right=True)
    return Presentation(
        kind="CountList",
        as_json=_as_json,
        columns=(count, name) if by == "host" else (count, hosts, name),
        nothing=nothing,
        host_of=lambda c: c.name if c.by == "host" else "",
        fields=("host", "count") if by == "host" else ("process", "hosts", "count"),
        name_of=lambda c: c.name,
    )


def _as_json(count: Count) -> dict[str, object]:
    if count.by == "host":
        return {"host": count.name, "count": count.count}
    return {"process": count.name or None, "hosts": count.hosts, "count": count.count}
