"""The state directory: who this host is in the fleet. Mode 0700, and it holds

    agent.key   the host's private key, PEM, 0600
    agent.pem   its certificate, PEM
    ca.pem      the certificates to trust as the collector's, PEM
    agent.json  host name, report and enrollment addresses, life of the certificate
    agent.key.waiting  0600, where the certificate has ended: the key that somebody is to approve

What must stay true: a reader never sees half a file, and key and certificate always match. Each file is written
beside its place, synced and renamed. A new key waits as agent.key.new from before its certificate is asked for until
after the certificate is in place; a stop between the two renames is finished by the next `load`.
"""

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fleetnet_agent import apart
from fleetnet_agent.errors import AgentError

KEY, NEW_KEY, CERTIFICATE, CA, FACTS = "agent.key", "agent.key.new", "agent.pem", "ca.pem", "agent.json"
WAITING_KEY = "agent.key.waiting"
ENROLL_PORT = 7444  # of a collector, unless set otherwise

_matching: tuple[bytes, bytes] | None = None  # certificate and key that were found to match last


@dataclass(frozen=True, slots=True)
class Identity:
    """All that a host needs to report."""

    host: str
    report_addresses: tuple[str, ...]  # HOST:PORT, in the order to try
    key_pem: bytes
    certificate_pem: bytes
    ca_pem: bytes
    valid_from_us: int  # of the certificate, since 1970 UTC
    valid_until_us: int
    enroll_addresses: tuple[str, ...] = ()  # likewise; none in a state of before these were kept


def exists(directory: Path) -> bool:
    """True if a host was enrolled into this directory."""
    return (directory / FACTS).exists() and (directory / CERTIFICATE).exists()


def load(directory: Path) -> Identity:
    """Read the identity. Raises AgentError where there is none or it is damaged."""
    if not _looks_enrolled(directory):
        raise AgentError(
            f"this host is not enrolled: {directory} holds no identity; "
            "run `fleetnet-agent enroll --server HOST:7444 --token-file FILE` first, or name another --state"
        )
    _match_key(directory)
    try:
        facts = json.loads((directory / FACTS).read_text(encoding="utf-8"))
        return Identity(
            host=str(facts["host"]),
            report_addresses=tuple(str(address) for address in facts["report_addresses"]),
            key_pem=(directory / KEY).read_bytes(),
            certificate_pem=(directory / CERTIFICATE).read_bytes(),
            ca_pem=(directory / CA).read_bytes(),
            valid_from_us=int(facts["valid_from_us"]),
            valid_until_us=int(facts["valid_until_us"]),
            enroll_addresses=tuple(str(address) for address in facts.get("enroll_addresses", ())),
        )
    except OSError as error:
        raise AgentError(
            f"{error.filename} cannot be read: {error.strerror}; run as the owner of {directory}"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise AgentError(
            f"{directory / FACTS} is damaged ({error}); enroll again with --force and a new token"
        ) from error


def _looks_enrolled(directory: Path) -> bool:
    try:
        return exists(directory)
    except PermissionError as error:
        raise AgentError(f"{directory} cannot be read: {error.strerror}; run as its owner") from error


def prepare(directory: Path, key_pem: bytes) -> None:
    """Make the directory where it is missing and put a new key beside the old one, before it is certified."""
    with _sentences(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _foreign(directory):
            directory.chmod(0o700)
        _write(directory / NEW_KEY, key_pem, 0o600)


def waiting_key(directory: Path, make: Callable[[], bytes]) -> bytes:
    """The key that is to be certified once somebody has approved it, which is made and stored where there is none."""
    with _sentences(directory):
        with contextlib.suppress(FileNotFoundError):
            return (directory / WAITING_KEY).read_bytes()
        key_pem = make()
        _write(directory / WAITING_KEY, key_pem, 0o600)
        return key_pem


@contextlib.contextmanager
def held(directory: Path) -> Iterator[None]:
    """Inside, no other agent runs on this directory: two with one identity would push each other off for ever.

    The lock is the kernel's, on the directory itself, and ends with the process. Raises AgentError.
    """
    with _sentences(directory):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AgentError(
                f"another agent runs on {directory}; end it first, or give this one a --state of its own"
            ) from error
        yield
    finally:
        os.close(descriptor)


def abandon(directory: Path) -> None:
    """Remove the key that `prepare` stored and that was never certified."""
    with contextlib.suppress(OSError):
        (directory / NEW_KEY).unlink()


def save(directory: Path, identity: Identity) -> None:
    """Put an identity in place whose key `prepare` has stored."""
    facts = {
        "host": identity.host,
        "report_addresses": list(identity.report_addresses),
        "enroll_addresses": list(identity.enroll_addresses),
        "valid_from_us": identity.valid_from_us,
        "valid_until_us": identity.valid_until_us,
    }
    with _sentences(directory):
        _write(directory / CA, identity.ca_pem, 0o644)
        _write(directory / CERTIFICATE, identity.certificate_pem, 0o644)
        _take_new_key(directory)
        _write(directory / FACTS, json.dumps(facts, indent=2).encode() + b"\n", 0o644)
        (directory / WAITING_KEY).unlink(missing_ok=True)


def _match_key(directory: Path) -> None:
    """Make sure that key and certificate belong together, finishing what a stop in `save` left."""
    if _matches(directory, KEY):
        return
    if (directory / NEW_KEY).exists() and _matches(directory, NEW_KEY):
        with _sentences(directory):
            _take_new_key(directory)
        return
    raise AgentError(
        f"{directory / KEY} is missing, damaged, or does not belong to {CERTIFICATE}; "
        "enroll again with --force and a new token"
    )


def _matches(directory: Path, key: str) -> bool:
    global _matching
    try:
        pair = ((directory / CERTIFICATE).read_bytes(), (directory / key).read_bytes())
    except PermissionError as error:
        raise AgentError(
            f"{directory / key} cannot be read: {error.strerror}; run as the owner of {directory}"
        ) from error
    except OSError:
        return False
    # It is asked for each stream, and hardly ever is the answer another.
    if pair != _matching:
        if not apart.matches(*pair):
            return False
        _matching = pair
    return True


def _take_new_key(directory: Path) -> None:
    (directory / NEW_KEY).replace(directory / KEY)
    _sync_directory(directory)


def _foreign(directory: Path) -> bool:
    return directory.stat().st_uid != os.geteuid()


def _write(path: Path, content: bytes, mode: int) -> None:
    beside = path.with_name(path.name + ".tmp")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if os.geteuid() == 0:
                # Root enrolls, but the agent will run as the directory's owner and must read its key.
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(file.fileno())
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    beside.replace(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _sentences(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise AgentError(
                f"{directory} has no room for this host's identity; free some space and try again"
            ) from error
        raise AgentError(
            f"{directory} cannot be written: {error.strerror}; run as its owner or name another --state"
        ) from error
