"""What an answer shows of services that began, stopped, or gave way to others."""

from collections.abc import Callable
from typing import Any

from fleetnet_cli import times
from fleetnet_cli.differences import BEGAN, CHANGED, NOT_KNOWN, STOPPED, Difference, Doubt
from fleetnet_cli.output import sockets
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.records import Socket
from fleetnet_cli.services import Services

_FIELDS = (
    "change",
    "not_known",
    "host",
    "happened_at",
    *(f"{time}.{field}" for time in ("before", "after") for field in sockets.FIELDS),
)

_MARKS = {BEGAN: "+", STOPPED: "-", CHANGED: "~", NOT_KNOWN: "?"}

_WHY = {
    "never-heard": "it had never been heard",
    "not-enrolled": "it had not enrolled yet",
    "not-kept": "what has ended since is no longer kept",
    "gap": "there is a gap",
}


def presentation(services: Services, nothing: str) -> Presentation[Difference]:
    """Differences."""
    # Each as who-listens shows it.
    shown = {column.heading.partition(" ")[0]: column.cell for column in sockets.listener_columns()}

    def as_json(difference: Difference) -> dict[str, object]:
        before, after = (each and sockets.as_json(each, services) for each in (difference.before, difference.after))
        return {
            "change": difference.change,
            "not_known": [
                {"at": times.utc(doubt.at_us), "why": doubt.why, "last_seen": times.utc(doubt.last_seen_us)}
                for doubt in difference.doubts
            ],
            "host": difference.socket.host,
            "happened_at": times.utc(difference.happened_at_us),
            "before": before,
            "after": after,
        }

    return Presentation(
        kind="Diff",
        as_json=as_json,
        columns=(
            Column("", lambda d: _MARKS[d.change]),
            Column("HOST", lambda d: d.socket.host, least=24),
            Column("NETNS", lambda d: shown["NETNS"](d.socket), least=12, if_any=True),
            Column("PROTO", lambda d: d.socket.protocol),
            Column("LOCAL", lambda d: shown["LOCAL"](d.socket)),
            Column("SCOPE", lambda d: shown["SCOPE"](d.socket), least=10, leaves=1),
            Column("PROGRAM", lambda d: _programs(d, shown["USER"], shown["UNIT"]), least=14),
            Column(f"AT ({times.zone_name()})", lambda d: _when(d, shown["SINCE"]), least=19, leaves=2),
        ),
        nothing=nothing,
        host_of=lambda d: d.socket.host,
        note=_note,
        fields=_FIELDS,
        cells={"not_known": _doubts_in_a_cell}
        | {f"{time}.{field}": cell for time in ("before", "after") for field, cell in sockets.CELLS.items()},
    )


def _doubts_in_a_cell(doubts: list[dict[str, Any]]) -> str:
    return "; ".join(f"{doubt['why']} at {doubt['at']}" for doubt in doubts)


def _programs(difference: Difference, user: Callable[[Socket], str], unit: Callable[[Socket], str]) -> str:
    """`nginx → haproxy`: by their processes, pids left out; where these are alike with all that tells them apart."""
    both = [each for each in (difference.before, difference.after) if each]
    names = [", ".join(dict.fromkeys(owner.name or "?" for owner in each.owners)) for each in both]
    more = [", ".join(filter(None, (unit(each), user(each)))) for each in both]
    if all(names) and len(set(names)) == len(both):
        return " → ".join(names)
    return " → ".join(
        f"{name or '?'} ({rest})" if rest else name or "?" for name, rest in zip(names, more, strict=True)
    )


def _when(difference: Difference, opened: Callable[[Socket], str]) -> str:
    if difference.after is not None and not difference.changed_hands:
        return opened(difference.after)
    # What ended in a gap ended some time up to then.
    or_before = " or before" if difference.socket.closed_at_is == "gap" else ""
    return times.local(difference.happened_at_us) + or_before


def _note(difference: Difference) -> str | None:
    return f"{difference.socket.host}: {'; '.join(map(_sentence, difference.doubts))}" if difference.doubts else None


def _sentence(doubt: Doubt) -> str:
    why = _WHY.get(doubt.why) or f"it was last heard at {times.local(doubt.last_seen_us)}"
    return f"not known at {times.local(doubt.at_us)}, for {why}"
