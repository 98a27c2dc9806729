"""What an answer shows of what happened on a host."""

from collections.abc import Callable

from fleetnet_cli import times
from fleetnet_cli.lives import AgentStart, Gap, Life
from fleetnet_cli.output import sockets
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.records import Socket
from fleetnet_cli.services import Services

# What a gap has, then what a start has.
_OF_HAPPENINGS = ("from", "to", "reason", "at", "booted", "agent_version", "kernel", "booted_at")


def presentation(services: Services, nothing: str) -> Presentation[Life]:
    """Lives of sockets, gaps and starts of agents."""
    # Each as who-holds shows it.
    shown = {column.heading.partition(" ")[0]: column.cell for column in sockets.connection_columns()}

    def of_socket(heading: str) -> Callable[[Life], str]:
        return lambda life: shown[heading](life) if isinstance(life, Socket) else ""

    return Presentation(
        kind="History",
        as_json=lambda life: _as_json(life, services),
        columns=(
            Column(f"FROM ({times.zone_name()})", _from),
            Column("TO", _to),
            Column("KNOWN", _known, leaves=3),
            Column("WHAT", _what),
            Column("NETNS", of_socket("NETNS"), least=12, if_any=True),
            Column("PROTO", of_socket("PROTO")),
            Column("LOCAL", of_socket("LOCAL")),
            Column("REMOTE", of_socket("REMOTE"), if_any=True),
            Column("PROCESS", of_socket("PROCESS"), least=14),
            Column("USER", of_socket("USER"), least=8, leaves=2),
            Column("UNIT", of_socket("UNIT"), least=10, leaves=1),
            Column("MORE", _more, least=16, if_any=True),
        ),
        nothing=nothing,
        host_of=lambda life: life.host,
        fields=("what", *sockets.FIELDS, *_OF_HAPPENINGS),
        cells=sockets.CELLS,
    )


def _as_json(life: Life, services: Services) -> dict[str, object]:
    if isinstance(life, Socket):
        return {"what": "socket", **sockets.as_json(life, services), **dict.fromkeys(_OF_HAPPENINGS)}
    told = happening_as_json(life)
    what = {"what": told.pop("what")}
    return {**what, **dict.fromkeys(sockets.FIELDS), **told}


def happening_as_json(life: Gap | AgentStart) -> dict[str, object]:
    """A gap or a start as documents have it."""
    what = "gap" if isinstance(life, Gap) else "agent-start"
    told: dict[str, object] = {"what": what, "host": life.host, **dict.fromkeys(_OF_HAPPENINGS)}
    if isinstance(life, Gap):
        return told | {"from": times.utc(life.from_us), "to": times.utc(life.to_us), "reason": life.reason}
    return told | {
        "at": times.utc(life.at_us),
        "booted": life.booted,
        "agent_version": life.agent_version or None,
        "kernel": life.kernel or None,
        "booted_at": times.utc(life.booted_at_us),
    }


def _from(life: Life) -> str:
    if isinstance(life, Gap):
        return times.local(life.from_us)
    return times.local(life.at_us if isinstance(life, AgentStart) else life.opened_at_us)


def _to(life: Life) -> str:
    if isinstance(life, AgentStart):
        return ""
    return times.local(life.to_us if isinstance(life, Gap) else life.closed_at_us)


def _known(life: Life) -> str:
    """How exactly both times are known: `seen/exact`, or `before` of what has not ended."""
    if not isinstance(life, Socket):
        return ""
    return f"{life.opened_at_is}/{life.closed_at_is}" if life.closed_at_us else life.opened_at_is


def _what(life: Life) -> str:
    if isinstance(life, Gap):
        return "gap"
    if isinstance(life, AgentStart):
        return "host started" if life.booted else "agent started"
    return life.state


def _more(life: Life) -> str:
    if isinstance(life, Gap):
        return life.reason
    if isinstance(life, AgentStart):
        booted = f"booted {times.local(life.booted_at_us)}, kernel {life.kernel}, " if life.booted else ""
        return f"{booted}agent {life.agent_version}"
    return ""
