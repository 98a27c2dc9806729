"""What is done with a fleet's CA from the command line, or looked up of it: `fleetnet-server ca …`.

What must stay true: no CA that is there is ever replaced, unless it is said that it is lost; a key is on the disk
before its certificate, and readable by nobody else, not even for a moment.
"""

import asyncio
import datetime
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleetnet_server.config import Config
from fleetnet_server.errors import AuthorityError, StartRefused
from fleetnet_server.identity import brought, ca, certificates, keyring, server
from fleetnet_server.identity.ca import Authority
from fleetnet_server.identity.files import write_pair, write_private
from fleetnet_server.records import HeldCertificate
from fleetnet_server.rpc import logins
from fleetnet_server.rpc.gate import LOCAL
from fleetnet_server.run.authorities import TRUST_FILE
from fleetnet_server.run.authorities import keyring as keys_of
from fleetnet_server.run.directory import prepare
from fleetnet_server.services.log import Logged, Wish
from fleetnet_server.storage import authorities, dialect, inspection
from fleetnet_server.storage import certificates as held
from fleetnet_server.storage.database import Connection, Database

# In place of a peer: who types a command is at no socket.
_TYPED: Final = "command line"


@dataclass(frozen=True, slots=True)
class Shown:
    """A CA that the fleet trusts, and who uses it."""

    standing: str
    subject: str
    fingerprint: str
    not_after: datetime.datetime
    key_here: bool
    hosts_of_it: int  # whose certificates it has signed
    hosts_trusting: int
    people_of_it: int
    people_trusting: int
    collectors_of_it: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shows:
    """All of them, and how many hosts and people there are."""

    items: tuple[Shown, ...]
    hosts: int
    people: int


def make(config: Config, *, replace: bool) -> str:
    """Make a fleet's CA, as the first start would; what was done, in a sentence. Raises StartRefused, StorageError."""
    return _put(config, ca.make(_now()), replace=replace)


def bring(config: Config, key_file: Path, certificate_file: Path, *, replace: bool) -> str:
    """Take over a CA that was made elsewhere; what was done, in a sentence. Raises StartRefused, StorageError."""
    try:
        authority = brought.read(key_file, certificate_file, _now())
    except OSError as error:
        raise _unusable(error) from error
    return _put(config, authority, replace=replace)


def _put(config: Config, authority: Authority, *, replace: bool) -> str:
    lock = prepare(config.data)
    try:
        there = inspection.inspect_trust(config.database)
        files = keyring.files(config.data)
        if not replace and (files or there.trusted):
            where = files[0] if files else "the database"
            raise StartRefused(
                f"{where} has a CA already; let another take its place with `fleetnet-server ca rotate`, or where its "
                "key is lost, give --replace: all hosts and people will have to join anew"
            )
        if there.trusted:
            _done(config, Wish(LOCAL, logins.own(), _TYPED, "replace-ca", f"by {authority.fingerprint}"), _forget)
        for file in files:
            file.unlink()
        write_pair(config.data / ca.KEY_FILE, ca.key_bytes(authority.key), authority.pem)
    except OSError as error:
        raise _unusable(error) from error
    finally:
        lock.release()
    joined = len(there.hosts) + len(there.people)
    anew = f"; hosts and people that have to join anew: {joined}" if joined else ""
    return f"the CA {authority.fingerprint} is in {config.data / ca.CERTIFICATE_FILE}{anew}"


def _forget(conn: Connection) -> None:
    """What the database knows of the CAs before. Their hosts stay, with their history."""
    authorities.put(conn, ())
    held.forget(conn)


def _nothing_else(_: Connection) -> None:
    """What is done is not in the database, but for its entry in the log."""


def _done(config: Config, wish: Wish, what: Callable[[Connection], None]) -> None:
    """Do what somebody has typed, and log it. Raises StorageError."""

    async def doing() -> None:
        database = Database.open(config.database)
        try:
            logged = Logged(database, _now)
            async with logged.doing(wish):
                await logged.write(what)
        finally:
            await database.close()

    asyncio.run(doing())


def issue_server(config: Config, names: Sequence[str], out: Path, days: int) -> str:
    """Put what another collector needs into a directory; what was done, in a sentence. It is in the log of
    administration before it is on the disk. Raises StartRefused, StorageError."""
    if (out / ca.CERTIFICATE_FILE).exists():
        raise StartRefused(f"{out} is of a collector that has a CA and makes its own; give another --out")
    trusted = inspection.inspect_trust(config.database).trusted
    # Further collectors need a database on a server, beside which this may be said while the first one runs.
    lock = prepare(config.data) if trusted and dialect.embedded(config.database) else None
    try:
        ring = keys_of(config.data)
        if not trusted:
            raise StartRefused("the database knows no CA yet; start the collector once, or check --data and --database")
        issuing = ring.find(trusted[0].fingerprint)
        if issuing is None:
            raise StartRefused(
                f"the key of the CA that issues is not in {config.data}; say it on the collector that has it"
            )
        key, now = ec.generate_private_key(ec.SECP256R1()), _now()
        made = certificates.issue_server(issuing, key.public_key(), names, now, datetime.timedelta(days=days))
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        what = f"{' '.join(names)} until {made.not_valid_after_utc:%Y-%m-%d} serial {made.serial_number:x}"
        _done(config, Wish(LOCAL, logins.own(), _TYPED, "issue-server", what), _nothing_else)
        roots = b"".join(ca.pem_of(one.certificate) for one in trusted)
        write_pair(out / server.KEY_FILE, ca.key_bytes(key), made.public_bytes(serialization.Encoding.PEM))
        write_private(out / TRUST_FILE, roots, mode=0o644)
    except OSError as error:
        raise _unusable(error) from error
    finally:
        if lock is not None:
            lock.release()
    return (
        f"key, certificate (until {made.not_valid_after_utc:%Y-%m-%d}) and {TRUST_FILE} are in {out}; copy all three "
        "into the data directory of the other collector, which takes a newer pair within ten minutes"
    )


def show(config: Config) -> Shows:
    """Which CAs the fleet trusts, and how many use and trust each. Raises StartRefused, StorageError."""
    found = inspection.inspect_trust(config.database)
    if not found.trusted:
        raise StartRefused(
            "the database knows no CA yet, or is of another version; start the collector once, or check --data and "
            "--database"
        )
    try:
        ring = keys_of(config.data)
    except OSError as error:
        raise _unusable(error) from error
    items = []
    for one in found.trusted:
        certificate, fingerprint = ca.from_der(one.certificate), one.fingerprint
        items.append(
            Shown(
                standing=one.standing,
                subject=certificate.subject.rfc4514_string(),
                fingerprint=fingerprint,
                not_after=certificate.not_valid_after_utc,
                key_here=ring.find(fingerprint) is not None,
                hosts_of_it=_of(found.hosts, fingerprint),
                hosts_trusting=_trusting(found.hosts, fingerprint),
                people_of_it=_of(found.people, fingerprint),
                people_trusting=_trusting(found.people, fingerprint),
                collectors_of_it=tuple(held.name for held in found.collectors if held.issuer == fingerprint),
            )
        )
    return Shows(tuple(items), len(found.hosts), len(found.people))


def _of(owners: Sequence[HeldCertificate], fingerprint: str) -> int:
    return sum(one.issuer == fingerprint for one in owners)


def _trusting(owners: Sequence[HeldCertificate], fingerprint: str) -> int:
    return sum(one.shown and fingerprint in one.trusts for one in owners)


def _unusable(error: OSError) -> StartRefused:
    return AuthorityError(
        f"{error.filename} cannot be used: {os.strerror(error.errno or 0)}; check its name, owner and mode"
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
