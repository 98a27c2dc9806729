"""What hosts and people may be called, and how a certificate says it.

`spiffe://fleetnet/host/NAME` is a host, `spiffe://fleetnet/person/NAME` a person; no name is both.
"""

import re

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?")
_PERSON_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_HOST_PREFIX = "spiffe://fleetnet/host/"
_PERSON_PREFIX = "spiffe://fleetnet/person/"


def is_host_name(text: str) -> bool:
    """True if `text` can name a host: lower-case letters, digits, dots, dashes and underscores, at most 253."""
    return _HOST_NAME.fullmatch(text) is not None


def is_person_name(text: str) -> bool:
    """True if `text` can name a person: the same characters, at most 64."""
    return _PERSON_NAME.fullmatch(text) is not None


def uri_of(host: str) -> str:
    """The one name in the certificate of `host`."""
    return _HOST_PREFIX + host


def uri_of_person(person: str) -> str:
    """The one name in the certificate of `person`."""
    return _PERSON_PREFIX + person


def host_of(uri: str) -> str | None:
    """The host that `uri` names; None if it is not of our form."""
    host = uri.removeprefix(_HOST_PREFIX)
    return host if host != uri and is_host_name(host) else None


def person_of(uri: str) -> str | None:
    """The person that `uri` names; None if it is not of our form."""
    person = uri.removeprefix(_PERSON_PREFIX)
    return person if person != uri and is_person_name(person) else None
