"""The names that the collector's certificate is for."""

import socket

from fleetnet_server.config import Config

_EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  # nobody can dial these


def server_names(config: Config) -> frozenset[str]:
    """What hosts may dial: what is advertised, what is listened on, and this machine's own names."""
    told = {address.host for address in (*config.advertise, config.listen, config.enroll_listen)}
    hostname = socket.gethostname()
    own = {hostname} if hostname and hostname.isascii() else set()
    return frozenset((told - _EVERYWHERE) | own | {"localhost", "127.0.0.1", "::1"})
