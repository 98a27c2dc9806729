"""What an answer shows of who talks to whom."""

from typing import Any

from fleetnet_cli.edges import records
from fleetnet_cli.edges.records import Edge, End, Place
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.services import Services

_ENDS = ("client", "server")
_OF_AN_END = ("host", "netns", "container", "unit", "process", "address", "one_of", "may_be", "why")
_CONTAINER_SHOWN = 12  # of its id, as docker(1) does
_PLACES_SHOWN = 3
_SPACE = "\\x20"

# Of an end whose program is not known.
_WHY = {
    records.NO_LISTENER: "nobody listens",
    records.NO_SOCKET: "no such socket",
    records.LINK_LOCAL: "link-local",
    records.SEVERAL_SOCKETS: "several claim it",
    records.UNHELD_ADDRESS: "the other address is nobody's",
    "no-helper": "no helper",
}

# Why it cannot be told whose the address of a doubtful one is; {} are those who may be it.
_CANNOT_BE_TOLD = {
    records.SHARED_ADDRESS: "{} have that address",
    records.SEVERAL_SOCKETS: "{} have a socket that fits, or that address",
    records.UNHELD_ADDRESS: "no host has that address, and a socket that fits is reported by {}",
}


def presentation(services: Services, nothing: str) -> Presentation[Edge]:
    """Edges."""
    first = (
        Column("COUNT", lambda e: str(e.connections), right=True),
        Column("CLIENT", lambda e: end(e.client), least=24),
        Column("SERVER", lambda e: end(e.server), least=24),
        Column("PROTO", lambda e: e.protocol),
        Column("PORT", lambda e: port(e, services), least=8),
    )  # type: tuple[Column[Edge], ...]
    return Presentation(
        kind="EdgeList",
        as_json=lambda e: _as_json(e, services),
        columns=(*first, Column("KNOWN", _known)),
        nothing=nothing,
        host_of=lambda e: e.client.host or e.server.host,
        note=_doubt,
        wide=(
            *first,
            Column("CLIENT UNIT", lambda e: _unit(e.client), if_any=True),
            Column("SERVER UNIT", lambda e: _unit(e.server), if_any=True),
            Column("KNOWN", lambda e: e.known),
            Column("DIRECTION", lambda e: e.direction),
        ),
        fields=(
            *(f"{which}.{field}" for which in _ENDS for field in _OF_AN_END),
            "protocol", "port", "service", "known", "direction", "connections",
        ),
        cells={f"{which}.one_of": _places_in_a_cell for which in _ENDS},
    )  # fmt: skip


def end(end: End) -> str:
    """`web1 nginx`, `web1/blue nginx`, `web1 ? (no helper)`, `one of db1, db2 (10.0.0.5)`, `203.0.113.7`,
    `203.0.113.7 (claimed by db1)`."""
    if not end.host:
        if end.why == records.UNHELD_ADDRESS:
            return f"{end.address} (claimed by {_places(end)})"
        if end.one_of:
            return f"one of {_places(end)} ({end.address})"
        why = f" ({_why(end)})" if end.why else ""
        return f"{end.address}{why}" if end.address else "outside"
    return f"{place(Place(end.host, end.netns))} {program(end)}"


def place(place: Place) -> str:
    """A host's own namespace goes without saying."""
    return place.host if place.netns == "host" else f"{place.host}/{place.netns}"


def program(end: End) -> str:
    """The process, or why it is not known."""
    return end.process or (f"? ({_why(end)})" if end.why else "?")


def port(edge: Edge, services: Services) -> str:
    """`5432 postgresql`."""
    name = _service(edge, services)
    return f"{edge.port or ''} {name or ''}".strip()


def _doubt(edge: Edge) -> str | None:
    """What must be said of an edge whose end may be on one of several hosts, or is not known for such a reason."""
    doubtful = [one for one in (edge.client, edge.server) if one.is_doubtful]
    for one in doubtful:
        if one.address:
            return f"whose {one.address} is cannot be told: {_CANNOT_BE_TOLD[one.why].format(_places(one))}"
    for one in doubtful:
        return f"which program of {place(Place(one.host, one.netns))} it is cannot be told: {_why(one)}"
    return None


def _places(end: End) -> str:
    """`db1, evil`, `db1, db2, db3, +7`."""
    shown = end.one_of[:_PLACES_SHOWN]
    more = end.may_be - len(shown)
    return ", ".join(map(place, shown)) + (f", +{more}" if more > 0 else "")


def _known(edge: Edge) -> str:
    return edge.known if edge.direction != records.UNKNOWN else f"{edge.known}, either way"


def _why(end: End) -> str:
    return _WHY.get(end.why, end.why)


def _unit(end: End) -> str:
    container = end.container[:_CONTAINER_SHOWN]
    return " ".join(filter(None, (end.unit, container)))


def _service(edge: Edge, services: Services) -> str | None:
    return services.name(edge.port, edge.protocol) if edge.port else None


def _as_json(edge: Edge, services: Services) -> dict[str, object]:
    return {
        "client": _end_as_json(edge.client),
        "server": _end_as_json(edge.server),
        "protocol": edge.protocol,
        "port": edge.port or None,
        "service": _service(edge, services),
        "known": edge.known,
        "direction": edge.direction,
        "connections": edge.connections,
    }


def _end_as_json(end: End) -> dict[str, object]:
    told: dict[str, object] = {name: getattr(end, name) or None for name in _OF_AN_END}
    return told | {"one_of": [{"host": one.host, "netns": one.netns} for one in end.one_of]}


def _places_in_a_cell(places: list[dict[str, Any]]) -> str:
    # A space ends one, so a name has none.
    return " ".join(place(Place(one["host"], one["netns"])).replace(" ", _SPACE) for one in places)
