"""Who we are to a collector over the network: one file for each login, which holds all that it takes.

    ~/.config/fleetnet/contexts/NAME.toml    server, person, life of the certificate, key, certificate, CA

The name of the file is that of the context. What must stay true: a file appears whole or not at all, so key,
certificate and address always belong together; it is never readable by others, not even for a moment, and one that is,
or that is another user's, is not used. gRPC takes the PEM text as it is: no question needs a library to look into it.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from fleetnet_cli.errors import CliError, NotAuthorised, UsageError

_SUFFIX = ".toml"
_CONTEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
_ROOM_BYTES = 16 * 1024  # a file has some 2 kB


@dataclass(frozen=True, slots=True)
class Identity:
    """A login."""

    server: str  # HOST:PORT that answers questions
    person: str
    valid_from: datetime
    valid_until: datetime
    key_pem: bytes
    certificate_pem: bytes
    ca_pem: bytes


def path_of(directory: Path, context: str) -> Path:
    """The file of a context. Raises UsageError where it cannot be called so."""
    if not _CONTEXT.fullmatch(context):
        raise UsageError(f'"{context}" cannot be the name of a context: letters, digits, ".", "-" and "_"')
    return directory / f"{context}{_SUFFIX}"


def contexts(directory: Path) -> list[str]:
    """The names of all logins."""
    try:
        names = sorted(entry.name for entry in os.scandir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UsageError(f"{directory} cannot be read ({error.strerror}); make it yours, mode 0700") from error
    return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX) and not name.startswith(".")]


def load(path: Path) -> Identity:
    """A login. Raises NotAuthorised where it may not be used, UsageError where it is none."""
    content = _read_private(path)
    import tomllib  # costs 5 ms, and only who is logged in has such a file

    try:
        table = tomllib.loads(content.decode())
        return Identity(
            server=str(table["server"]),
            person=str(table["person"]),
            valid_from=_time(table["valid_from"]),
            valid_until=_time(table["valid_until"]),
            key_pem=str(table["key"]).encode(),
            certificate_pem=str(table["certificate"]).encode(),
            ca_pem=str(table["ca"]).encode(),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise UsageError(f"{path} is damaged ({error}); log in anew with a new token") from error


def _time(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError("a time is missing")
    return value


def _read_private(path: Path) -> bytes:
    try:
        # Not to hang where somebody has put a pipe in its place.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NotAuthorised(f"{path} cannot be read ({error.strerror}); log in anew with a new token") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotAuthorised(f"{path} is not a file; move it away, and log in anew with a new token")
        if status.st_uid != os.geteuid():
            raise NotAuthorised(
                f"{path} belongs to another user (uid {status.st_uid}) and is not used; ask as that user, or log in "
                "yourself"
            )
        if (mode := stat.S_IMODE(status.st_mode)) & 0o077:
            raise NotAuthorised(
                f"{path} is open to others (mode {mode:04o}) and is not used, for it holds a private key; chmod 600 "
                "it, and if somebody may have read it log in anew, which ends the certificate in it"
            )
        return file.read(_ROOM_BYTES)


class Draft:
    """A file that is about to take the place of `path`. There is room for it from the beginning on, so that a full disk
    is noticed while the token is still good; left without `keep` it goes, and what was there stays."""

    def __init__(self, path: Path) -> None:
        """Raises CliError."""
        self._path = path
        self._fresh = path.with_name(f".{path.name}.{os.getpid()}")
        with self._sentences():
            # Each on its own, for a mode is given to the last folder only.
            for folder in (path.parent.parent, path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _keep_private(path.parent)
            self._fresh.unlink(missing_ok=True)  # of one who was killed and had our number
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._fresh, flags, 0o600)
            try:
                os.posix_fallocate(self._descriptor, 0, _ROOM_BYTES)
            except OSError:
                self.__exit__(None, None, None)
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._descriptor)
        with contextlib.suppress(OSError):
            self._fresh.unlink()

    def keep(self, identity: Identity) -> None:
        """Put it in place, on the disk before this returns. Raises CliError."""
        content = _text(identity).encode()
        with self._sentences():
            os.pwrite(self._descriptor, content, 0)
            os.ftruncate(self._descriptor, len(content))
            os.fsync(self._descriptor)
            self._fresh.replace(self._path)
            _sync(self._path.parent)

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CliError(
                f"{self._path} cannot be written ({error.strerror}); make room, and the folder yours, and try again"
            ) from error


def _text(identity: Identity) -> str:
    # Quotes and backslashes are in none of these: they were checked when they came.
    return (
        f"# Written by fleetnet login. Whoever reads the key in it can ask as {identity.person}.\n"
        f'server = "{identity.server}"\n'
        f'person = "{identity.person}"\n'
        f"valid_from = {identity.valid_from.isoformat()}\n"
        f"valid_until = {identity.valid_until.isoformat()}\n"
        f"key = '''\n{identity.key_pem.decode()}'''\n"
        f"certificate = '''\n{identity.certificate_pem.decode()}'''\n"
        f"ca = '''\n{identity.ca_pem.decode()}'''\n"
    )


def _keep_private(directory: Path) -> None:
    """Let nobody else into it, if it is ours; one that somebody has put a link in the place of is not."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it is another user's")
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
