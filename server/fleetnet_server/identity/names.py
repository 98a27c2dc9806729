"""What a host may be called, and how a certificate says it: `spiffe://fleetnet/host/NAME`."""

import re

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?")
_URI_PREFIX = "spiffe://fleetnet/host/"


def is_host_name(text: str) -> bool:
    """True if `text` can name a host: lower-case letters, digits, dots, dashes and underscores, at most 253."""
    return _NAME.fullmatch(text) is not None


def uri_of(host: str) -> str:
    """The one name in the certificate of `host`."""
    return _URI_PREFIX + host


def host_of(uri: str) -> str | None:
    """The host that `uri` names; None if it is not of our form."""
    host = uri.removeprefix(_URI_PREFIX)
    return host if host != uri and is_host_name(host) else None
