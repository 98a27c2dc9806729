"""The CAs whose keys this collector has: the one that issues, and while one takes another's place both.

    ca.pem, ca.key             the one that issues
    ca-FINGERPRINT.pem, .key   one that is to issue next, or did before; the first 16 digits of its SHA-256

Which of them issues, the database says; the files are only put in order by that. What must stay true: a pair is known
by what it holds and not by its name, so that a stop between any two files loses none; no key is removed while its CA is
trusted. A key may come as a credential of the service manager instead (`ca.key` in $CREDENTIALS_DIRECTORY, systemd.exec
(5)): then it is never written to the disk here.
"""

import datetime
import re
from collections.abc import Iterator
from pathlib import Path

from fleetnet_server.errors import AuthorityError
from fleetnet_server.identity import ca
from fleetnet_server.identity.ca import Authority
from fleetnet_server.identity.files import write_pair, write_private

_DIGITS = 16
_FILE = re.compile(rf"ca(-[0-9a-f]{{{_DIGITS}}})?\.(pem|key)")
_CERTIFICATE, _KEY = ".pem", ".key"


def files(directory: Path) -> list[Path]:
    """The files of all CAs, each key before what vouches for it. Raises OSError."""
    return sorted((file for file in directory.iterdir() if is_file(file.name)), key=lambda file: order(file.name))


def is_file(name: str) -> bool:
    """Whether a file of this name is one of a CA."""
    return _FILE.fullmatch(name) is not None


def order(name: str) -> tuple[str, bool]:
    """By which files are put down: a key before what vouches for it."""
    stem, _, end = name.rpartition(".")
    return stem, end == _CERTIFICATE.removeprefix(".")


class Keyring:
    """Those of one data directory."""

    def __init__(self, directory: Path, credentials: Path | None = None) -> None:
        """Read what is there. Raises OSError and AuthorityError."""
        self._directory = directory
        self._lent = credentials / ca.KEY_FILE if credentials else None
        self._held: dict[str, Authority] = {one.fingerprint: one for one in self._read()}

    def __iter__(self) -> Iterator[Authority]:
        return iter(self._held.values())

    def find(self, fingerprint: str) -> Authority | None:
        """The CA of this fingerprint, if its key is here."""
        return self._held.get(fingerprint)

    def add(self, authority: Authority) -> None:
        """Keep one, beside those that there are. Raises OSError."""
        self._write(self._beside(authority), authority)
        self._held[authority.fingerprint] = authority

    def make(self, now: datetime.datetime) -> Authority:
        """A new one, kept. Raises OSError."""
        authority = ca.make(now)
        self.add(authority)
        return authority

    def put_in_order(self, issuing: str, trusted: frozenset[str]) -> None:
        """The one that issues stands in ca.pem and ca.key, those that are trusted too beside it, and the keys of all
        others go. Raises OSError and AuthorityError."""
        first = self._held.get(issuing)
        if first is None:
            return
        for one in self._held.values():
            if one.fingerprint in trusted and one is not first and not self._stands(self._beside(one), one):
                self._write(self._beside(one), one)
        if not self._stands(self._directory / ca.KEY_FILE, first):
            self._write(self._directory / ca.KEY_FILE, first)
        for one in tuple(self._held.values()):
            if one.fingerprint not in trusted or one is first:
                for end in (_KEY, _CERTIFICATE):
                    self._beside(one).with_suffix(end).unlink(missing_ok=True)
            if one.fingerprint not in trusted:
                del self._held[one.fingerprint]

    def _stands(self, key_file: Path, one: Authority) -> bool:
        """Whether it is in these files already."""
        try:
            if ca.read_certificate(key_file.with_suffix(_CERTIFICATE)) != one.certificate:
                return False
            return self._is_lent(one) or self._same_key(key_file, one)
        except (OSError, AuthorityError):
            return False

    def _is_lent(self, one: Authority) -> bool:
        return self._lent is not None and self._lent.exists() and self._same_key(self._lent, one)

    @staticmethod
    def _same_key(file: Path, one: Authority) -> bool:
        return ca.read_key(file).public_key() == one.certificate.public_key()

    def _beside(self, one: Authority) -> Path:
        return self._directory / f"ca-{one.fingerprint[:_DIGITS]}{_KEY}"

    def _write(self, key_file: Path, one: Authority) -> None:
        if self._is_lent(one):
            write_private(key_file.with_suffix(_CERTIFICATE), one.pem, mode=0o644)
        else:
            write_pair(key_file, ca.key_bytes(one.key), one.pem)

    def _read(self) -> Iterator[Authority]:
        there = files(self._directory)
        lent = [self._lent] if self._lent is not None and self._lent.exists() else []
        keys = [ca.read_key(file) for file in (*there, *lent) if file.suffix == _KEY]
        for file in there:
            if file.suffix == _CERTIFICATE:
                certificate = ca.read_certificate(file)
                for key in keys:
                    if key.public_key() == certificate.public_key():
                        yield Authority(key, certificate)
