"""Why a collector cannot be reached over the network, told by the standard library's TLS.

gRPC reports a refused connection, an unknown name and a foreign certificate alike as "unavailable"; this tells them
apart. It is asked before a login, and after a question that failed: never before one.
"""

import os
import re
import socket
import ssl

from fleetnet_cli.errors import CliError, NotAuthorised, Unreachable, UsageError
from fleetnet_cli.identities import Identity

TIMEOUT_S = 10.0
_NAMED_OTHERWISE = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH, <openssl/x509_vfy.h>
_OUT_OF_TIME = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID and _CERT_HAS_EXPIRED, likewise
_PLAIN_HOST = re.compile(r"[A-Za-z0-9._:%-]+", re.ASCII)


def split_address(address: str, default_port: int | None = None) -> tuple[str, int]:
    """HOST:PORT, [V6]:PORT, or HOST alone where there is a default. Raises UsageError for anything else."""
    host, colon, port = address.rpartition(":")
    without_port = not colon or port.endswith("]") or (":" in host and not host.startswith("["))
    if without_port and default_port is not None:
        host, port = address, str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    if not _PLAIN_HOST.fullmatch(host) or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f'"{address}" is not an address; write HOST:PORT, or [ADDRESS]:PORT for IPv6')
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """The opposite of split_address, as gRPC wants it too."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def trouble(address: str, ca_pem: bytes, own: Identity | None = None) -> CliError | None:
    """Shake hands once and hang up; what is wrong, as the sentence to show, None where nothing is. `own` is shown."""
    host, port = split_address(address)
    try:
        context = _trust(ca_pem)
        if own is not None:
            _show(context, own)
        with (
            socket.create_connection((host, port), timeout=TIMEOUT_S) as raw,
            context.wrap_socket(raw, server_hostname=host) as secure,
        ):
            if secure.selected_alpn_protocol() != "h2":
                return Unreachable(f"{address} speaks TLS but is no collector; check host and port")
            return _refusal(address, secure) if own is not None else None
    except ssl.SSLCertVerificationError as error:
        return _not_trusted(address, host, error)
    except ssl.SSLError:
        return Unreachable(f"{address} does not speak TLS 1.3, so it is no collector's port; check host and port")
    except socket.gaierror as error:
        return Unreachable(f"the name {host} is not known here ({error.strerror}); check its spelling and your DNS")
    except TimeoutError:
        return Unreachable(
            f"{address} does not answer within {TIMEOUT_S:g} s; check the address and the firewalls between"
        )
    except OSError as error:
        return Unreachable(
            f"{address} cannot be reached ({error.strerror or error}); check the address, and that the collector runs"
        )


def _trust(ca_pem: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    return context


def _show(context: ssl.SSLContext, own: Identity) -> None:
    # OpenSSL takes a key from a file alone: from one that is in memory and has no name.
    descriptor = os.memfd_create("identity")
    try:
        os.write(descriptor, own.key_pem + own.certificate_pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _refusal(address: str, secure: ssl.SSLSocket) -> CliError | None:
    """In TLS 1.3 our side of the handshake is over before the other has looked at our certificate. Who takes it says
    something at once, as HTTP/2 has it; gRPC hangs up on one that it does not take, mostly without a word."""
    try:
        if secure.recv(1):
            return None
    except TimeoutError:
        return None  # it is busy, which gRPC's own words tell better
    except OSError:
        pass
    return NotAuthorised(
        f"the collector at {address} hangs up when it is shown your certificate, so most likely it does not take it; "
        "log in anew with a new token"
    )


def _not_trusted(address: str, host: str, error: ssl.SSLCertVerificationError) -> CliError:
    if error.verify_code in _NAMED_OTHERWISE:
        return Unreachable(
            f"the collector at {address} has a certificate, but not for the name {host}; use a name that it has, or "
            f"start it with --advertise {host}:PORT"
        )
    if error.verify_code in _OUT_OF_TIME:
        return Unreachable(
            f"the collector's certificate at {address} is not valid now; check this machine's clock, then the "
            "collector's"
        )
    return Unreachable(
        f"{address} is not the collector that you have a token or a login of (its certificate comes from another CA); "
        "check the address, or get a token made by that collector"
    )
