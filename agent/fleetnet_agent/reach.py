"""Whether a collector can be reached at an address, told by the standard library's TLS.

gRPC reports a refused connection, an unknown name and a foreign certificate alike as "unavailable"; this tells them
apart, and is asked before enrolling and by doctor.
"""

import socket
import ssl

from fleetnet_agent.errors import AgentError, RefusedError, UnreachableError

TIMEOUT_S = 10.0
HOSTNAME_MISMATCH = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH, <openssl/x509_vfy.h>
NOT_YET_OR_NO_LONGER_VALID = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID and _CERT_HAS_EXPIRED, likewise


def split_address(address: str, default_port: int | None = None) -> tuple[str, int]:
    """HOST:PORT, [V6]:PORT, or HOST alone where there is a default. Raises AgentError for anything else."""
    host, colon, port = address.rpartition(":")
    without_port = not colon or port.endswith("]") or (":" in host and not host.startswith("["))
    if without_port and default_port is not None:
        host, port = address, str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise AgentError(f"{address!r} is not an address; write HOST:PORT, or [ADDRESS]:PORT for IPv6")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """The opposite of split_address, as gRPC wants it too."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def trust(ca_pem: bytes) -> ssl.SSLContext:
    """TLS 1.3 that trusts these certificates and no others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=ca_pem.decode("ascii"))
    return context


def check(host: str, port: int, context: ssl.SSLContext, timeout_s: float = TIMEOUT_S) -> None:
    """Shake hands once and hang up. Raises UnreachableError or RefusedError with the sentence to show."""
    where = join_address(host, port)
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_s) as raw,
            context.wrap_socket(raw, server_hostname=host) as secure,
        ):
            if secure.selected_alpn_protocol() != "h2":
                raise UnreachableError(f"{where} speaks TLS but is no collector; check host and port")
    except ssl.SSLCertVerificationError as error:
        raise _not_trusted(where, host, error) from error
    except ssl.SSLError as error:
        raise UnreachableError(
            f"{where} does not speak TLS 1.3, so it is no collector's port; check host and port"
        ) from error
    except socket.gaierror as error:
        raise UnreachableError(
            f"the name {host} is not known here ({error.strerror}); check its spelling and this host's DNS"
        ) from error
    except TimeoutError as error:
        raise UnreachableError(
            f"{where} does not answer within {timeout_s:g} s; check the address and the firewalls between"
        ) from error
    except OSError as error:
        raise UnreachableError(
            f"{where} cannot be reached: {error.strerror or error}; check the address, and that the collector runs"
        ) from error


def _not_trusted(where: str, host: str, error: ssl.SSLCertVerificationError) -> RefusedError:
    if error.verify_code in HOSTNAME_MISMATCH:
        return RefusedError(
            f"the collector at {where} has a certificate, but not for the name {host}; "
            f"start it with --advertise {host}:PORT, or use a name that it has"
        )
    if error.verify_code in NOT_YET_OR_NO_LONGER_VALID:
        return RefusedError(
            f"the collector's certificate at {where} is not valid now; check this host's clock, then the collector's"
        )
    return RefusedError(
        f"{where} is not the collector that made this host's token (its certificate comes from another CA); "
        "check the address, or create the token on that collector"
    )
