"""The login name of whoever administers, as he says it: the group of the admin socket is what is checked.

It comes beside the call, and stands in the log of administration. Over the network a certificate says who it is.
"""

import getpass
import os
from typing import Any, Final

import grpc

_NAME: Final = "fleetnet-login"
_MOST: Final = 64


def claimed(context: "grpc.aio.ServicerContext[Any, Any]") -> str:
    """What whoever made this call says to be called; empty where he says nothing."""
    claims = [value for key, value in context.invocation_metadata() or () if key == _NAME]
    claim = claims[0] if claims else ""
    return (claim if isinstance(claim, str) else claim.decode("utf-8", "replace"))[:_MOST]


def own() -> str:
    """Of whoever runs this process; in printable ASCII, for gRPC takes nothing else as text."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # nobody of this number has a name
        name = f"uid {os.getuid()}"
    return name.encode("ascii", "backslashreplace").decode()[:_MOST]


def told() -> tuple[tuple[str, str], ...]:
    """What goes beside a call of one's own."""
    return ((_NAME, own()),)
