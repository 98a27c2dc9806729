"""The gRPC channel to a collector: its admin socket, or its port for questions, over mutual TLS.

Import it when there is a question, never before. What must stay true: over the network nothing less than TLS 1.3 is
spoken, nobody is trusted but the CA of the login, and the channel shows the login's certificate.
"""

import errno
import os
import socket
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

# gRPC writes its own view of a refused connection to stderr, beside the one sentence that we say.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# It has no lowest version of TLS, and takes 1.2 where it has ciphers for that. With our keys, which are of elliptic
# curves, this one cannot be used; those of TLS 1.3 are not meant by it.
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES256-GCM-SHA384"

import grpc

from fleetnet_cli import errors, identities
from fleetnet_cli.settings import Destination

# A message may be larger than gRPC's 4 MiB; the collector is trusted that far.
_OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.enable_http_proxy", 0)]


@dataclass(frozen=True, slots=True)
class Line:
    """A channel, and over what it goes."""

    channel: grpc.Channel
    address: str  # HOST:PORT, or the path of a socket
    identity: identities.Identity | None  # that it shows; None: it is a socket, which asks for none

    def explained(self, error: grpc.RpcError, otherwise: errors.CliError) -> errors.CliError:
        """What ended a call: what is wrong with the network, the collector's certificate or ours, if anything is."""
        code = error.code() if isinstance(error, grpc.Call) else None
        if self.identity is None:
            return otherwise
        if code is grpc.StatusCode.UNIMPLEMENTED:
            return errors.CollectorTooOld(
                f"{self.address} does not know this question: it is an enrollment port (7443 is that for questions, "
                "unless set otherwise), or its fleetnet-server is to be upgraded"
            )
        if code is not grpc.StatusCode.UNAVAILABLE:
            return otherwise
        from fleetnet_cli import reach  # only what failed needs it

        return reach.trouble(self.address, self.identity.ca_pem, self.identity) or otherwise


def dial(destination: Destination) -> Line:
    """The channel, which connects when it is first used. Raises Unreachable or NotAuthorised where nobody listens on a
    socket or it refuses us, and where there is no login, or none that may be used."""
    if not destination.over_network:
        _knock(destination.address)
        channel = grpc.insecure_channel(f"unix:{destination.address}", options=_OPTIONS)
        return Line(channel, destination.address, None)
    if destination.login is None:
        raise errors.NotAuthorised(
            f"you are not logged in at {destination.address}; have an operator make a token (fleetnet token create "
            "--person NAME), and run fleetnet login --server HOST:7444 --token-file FILE"
        )
    identity = identities.load(destination.login)
    if identity.valid_until <= datetime.now(UTC):
        raise errors.NotAuthorised(
            f"your certificate for {destination.address} ended on {identity.valid_until:%Y-%m-%d %H:%M} UTC, by this "
            "machine's clock; log in anew with a new token"
        )
    return Line(secure(destination.address, identity), destination.address, identity)


def secure(address: str, identity: identities.Identity) -> grpc.Channel:
    """A channel that shows a certificate."""
    credentials = grpc.ssl_channel_credentials(identity.ca_pem, identity.key_pem, identity.certificate_pem)
    return grpc.secure_channel(address, credentials, options=_OPTIONS)


def anonymous(address: str, ca_pem: bytes) -> grpc.Channel:
    """A channel to an enrollment port, which shows nothing."""
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca_pem), options=_OPTIONS)


def _knock(path: str) -> None:
    """Connects once and hangs up: the kernel's own word on why a socket cannot be used is the clearest there is."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
            knock.settimeout(5)
            knock.connect(path)
    except OSError as error:
        raise _no_entry(path, error) from error


def _no_entry(path: str, error: OSError) -> errors.CliError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return errors.Unreachable(
            f"no collector at {path}; start fleetnet-server, or name its admin socket with --server unix:///PATH"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return errors.NotAuthorised(
            f"the collector's admin socket {path} is not open to you; ask as root or as a member of its group"
        )
    # Linux refuses a connection to a file of any other kind, too.
    if error.errno == errno.ECONNREFUSED and stat.S_ISSOCK(Path(path).stat().st_mode):
        return errors.Unreachable(f"nobody answers at {path}, where a collector was; start fleetnet-server again")
    if error.errno in (errno.EAGAIN, errno.ETIMEDOUT) or isinstance(error, TimeoutError):
        return errors.Unreachable(f"the collector at {path} is too busy to answer; try again, and look at its log")
    # Such as a path that is too long for a socket, or that names a file of another kind.
    reason = error.strerror or str(error)
    return errors.Unreachable(f"{path} is not the admin socket of a collector ({reason}); correct --server")
