"""What an answer shows of sockets that were counted."""

from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.output.sockets import endpoint, there_before
from fleetnet_cli.records import Count, RemoteEnd

_NOBODY = RemoteEnd("")


def presentation(by: tuple[str, ...], nothing: str, there_before_first_look: int = 0) -> Presentation[Count]:
    """Counts by one or several of "host", "process" and "remote"; so many of the sockets may have begun earlier than
    was asked about."""
    note = there_before(there_before_first_look) if there_before_first_look else None
    columns_of: dict[str, tuple[Column[Count], ...]] = {
        "host": (Column("HOST", lambda c: c.host, least=24),),
        "process": (Column("PROCESS", lambda c: c.process, least=14),),
        "remote": (Column("LOCAL", _local, if_any=True), Column("REMOTE", _remote)),
    }
    count: Column[Count] = Column("COUNT", lambda c: str(c.count), right=True)
    hosts: Column[Count] = Column("HOSTS", lambda c: str(c.hosts), right=True)
    return Presentation(
        kind="CountList",
        as_json=lambda c: _as_json(c, by),
        columns=(count, *(() if "host" in by else (hosts,)), *(one for name in by for one in columns_of[name])),
        nothing=nothing,
        host_of=lambda c: c.host,
        note=lambda _count: note,  # of all of them, and said once
        fields=tuple(_as_json(Count(0, 0), by)),
        name_of=lambda c: _name(c, by),
    )


def _local(count: Count) -> str:
    remote = count.remote or _NOBODY
    return endpoint("*", "", remote.local_port) if remote.local_port else ""


def _remote(count: Count) -> str:
    remote = count.remote or _NOBODY
    return endpoint(remote.address, "", remote.port) if remote.address else ""


def _name(count: Count, by: tuple[str, ...]) -> str:
    """What it was counted by first."""
    return {"host": count.host, "process": count.process, "remote": (count.remote or _NOBODY).address}[by[0]]


def _as_json(count: Count, by: tuple[str, ...]) -> dict[str, object]:
    document: dict[str, object] = {}
    if "host" in by:
        document["host"] = count.host
    if "process" in by:
        document["process"] = count.process or None
    if "remote" in by:
        remote = count.remote or _NOBODY
        document["remote_address"] = remote.address or None
        document["remote_port"] = remote.port or None
        document["local_port"] = remote.local_port or None
    if "host" not in by:
        document["hosts"] = count.hosts
    return {**document, "count": count.count}
