"""People on the wire on one side, the CLI's own records on the other; see wire.py."""

from fleetnet_proto.v1 import people_pb2

from fleetnet_cli.records import Person, Token
from fleetnet_cli.wire import UNKNOWN, words

_ROLES = words(people_pb2.Role.items(), "ROLE_")


def role(number: int) -> str:
    """The word for a role."""
    return _ROLES.get(number, UNKNOWN)


def token_request(person: str, role: str, ttl_s: int) -> people_pb2.CreatePersonTokenRequest:
    """The wish for a token."""
    return people_pb2.CreatePersonTokenRequest(person=person, role=f"ROLE_{role.upper()}", ttl_s=ttl_s)


def people_request() -> people_pb2.ListPeopleRequest:
    """The question for everybody."""
    return people_pb2.ListPeopleRequest()


def role_request(person: str, role: str) -> people_pb2.ChangeRoleRequest:
    """The wish for another role."""
    return people_pb2.ChangeRoleRequest(person=person, role=f"ROLE_{role.upper()}")


def revoke_request(person: str) -> people_pb2.RevokePersonRequest:
    """The wish to keep somebody out."""
    return people_pb2.RevokePersonRequest(person=person)


def token(message: people_pb2.CreatePersonTokenResponse) -> Token:
    """A token that was made."""
    return Token(message.token, "", message.expires_at_us, message.person, role(message.role))


def person(item: people_pb2.PersonItem) -> Person:
    """Somebody."""
    return Person(item.person, role(item.role), item.revoked, item.joined_at_us, item.certificate_until_us)
