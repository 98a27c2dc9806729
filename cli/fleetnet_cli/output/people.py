"""What is shown of a person who may ask over the network."""

from fleetnet_cli import times
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.records import Person


def presentation() -> Presentation[Person]:
    """People, of whom no host speaks, so no coverage is spoken of."""
    return Presentation(
        kind="PersonList",
        as_json=_as_json,
        columns=(
            Column("PERSON", lambda p: p.person),
            Column("ROLE", lambda p: p.role),
            Column("STATUS", _status),
            Column("CERT UNTIL", lambda p: times.local(p.certificate_until_us)),
            Column("JOINED", lambda p: times.local(p.joined_at_us)),
        ),
        nothing="nobody has logged in yet",
        of_hosts=False,
        fields=("person", "role", "status", "certificate_until", "joined_at"),
    )


def _status(person: Person) -> str:
    return "revoked" if person.revoked else "active"


def _as_json(person: Person) -> dict[str, object]:
    return {
        "person": person.person,
        "role": person.role,
        "status": _status(person),
        "certificate_until": times.utc(person.certificate_until_us),
        "joined_at": times.utc(person.joined_at_us),
    }
