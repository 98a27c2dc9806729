"""What an answer shows of the log of administration."""

from fleetnet_cli import times
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.records import LogEntry

_PERSON = "spiffe://fleetnet/person/"


def presentation() -> Presentation[LogEntry]:
    """Entries, of which no host speaks."""
    return Presentation(
        kind="LogList",
        as_json=_as_json,
        columns=(
            Column(f"AT ({times.zone_name()})", lambda e: times.local(e.at_us)),
            Column("WHO", _who),
            Column("ACTION", lambda e: e.action),
            Column("SUBJECT", lambda e: e.subject),
            Column("RESULT", lambda e: e.result),
        ),
        nothing="nothing was done yet",
        of_hosts=False,
        fields=("number", "at", "who", "login", "peer", "action", "subject", "result", "hash"),
    )


def _who(entry: LogEntry) -> str:
    who = entry.who.removeprefix(_PERSON)
    return f"{who} ({entry.login}?)" if entry.login else who


def _as_json(entry: LogEntry) -> dict[str, object]:
    return {
        "number": entry.number,
        "at": times.utc(entry.at_us),
        "who": entry.who,
        "login": entry.login or None,
        "peer": entry.peer,
        "action": entry.action,
        "subject": entry.subject,
        "result": entry.result,
        "hash": entry.hash.hex(),
    }
