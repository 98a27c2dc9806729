"""People on the wire on one side, records on the other."""

from typing import Final

from fleetnet_proto.v1 import people_pb2

from fleetnet_server.records import Person
from fleetnet_server.services.people import ACTIVE, OPERATOR, VIEWER

_NUMBERS: Final = {VIEWER: people_pb2.ROLE_VIEWER, OPERATOR: people_pb2.ROLE_OPERATOR}
_WORDS: Final = {number: word for word, number in _NUMBERS.items()}


def role_number(role: str) -> people_pb2.Role:
    """A role as the wire has it."""
    return _NUMBERS[role]


def role_word(number: people_pb2.Role) -> str:
    """A role as services have it; what is none here is left to them to refuse."""
    return _WORDS.get(number, f"role {number}")


def person_item(person: Person) -> people_pb2.PersonItem:
    """A person as an answer has it."""
    return people_pb2.PersonItem(
        person=person.name,
        role=role_number(person.role),
        revoked=person.status != ACTIVE,
        joined_at_us=person.joined_at_us,
        certificate_until_us=person.certificate_until_us,
    )
