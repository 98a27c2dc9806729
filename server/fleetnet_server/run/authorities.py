"""The CAs of a collector: what it begins with, and what it does when others are trusted or another issues."""

import asyncio
import datetime
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import structlog

from fleetnet_server import microseconds
from fleetnet_server.config import Config
from fleetnet_server.errors import AuthorityError, StartRefused
from fleetnet_server.identity import ca
from fleetnet_server.identity import certificates as issued
from fleetnet_server.identity.keyring import Keyring
from fleetnet_server.identity.server import ServerIdentity
from fleetnet_server.records import HeldCertificate, TrustedAuthority
from fleetnet_server.rpc.renewals import ROUND_S, Renewals
from fleetnet_server.run.names import server_names
from fleetnet_server.run.rounds import tried
from fleetnet_server.services.authorities import Authorities
from fleetnet_server.services.fleet import ending
from fleetnet_server.services.health import Health
from fleetnet_server.storage import authorities, certificates
from fleetnet_server.storage.database import Database

# What a collector without the CA's key has beside its own pair: the CAs that were trusted when that was made.
TRUST_FILE: Final = "trust.pem"
_CERTIFICATE_CHECK_S: Final = 600.0
_WARN_EVERY_S: Final = 86_400.0
# The collector renews its own certificate by itself, so less than half of the time left for that is a problem.
SERVER_WARNING: Final = issued.SERVER_RENEW_BEFORE / 2
AUTHORITY_WARNING: Final = datetime.timedelta(days=365)
_CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"  # systemd.exec(5)

_log = structlog.get_logger()


def keyring(directory: Path) -> Keyring:
    """The CAs whose keys a collector has, those that come from the service manager among them. Raises OSError and
    AuthorityError."""
    credentials = os.environ.get(_CREDENTIALS)
    return Keyring(directory, Path(credentials) if credentials else None)


async def open_identity(
    config: Config, database: Database, clock: Callable[[], datetime.datetime]
) -> tuple[Authorities, ServerIdentity]:
    """The CAs that the fleet trusts, and the certificate to show. Raises StartRefused, StorageError."""
    trusted = await database.read(authorities.trusted)
    try:
        if not trusted:
            first = _first(config.data, clock()).der
            trusted = await database.write(authorities.adopt, first, microseconds.of(clock()))
        ring = keyring(config.data)
        _check(config.data, ring, trusted, clock())
        ring.put_in_order(trusted[0].fingerprint, frozenset(one.fingerprint for one in trusted))
        trust = Authorities(database, ring, trusted)
        return trust, ServerIdentity(config.data, trust.issuing, server_names(config), clock, trust.certificates)
    except OSError as error:
        raise StartRefused(
            f"the keys in {config.data} cannot be read or written: {os.strerror(error.errno or 0)}"
            f"{f' ({Path(error.filename).name})' if error.filename else ''}; "
            "check their owner and mode, and that there is room on the disk"
        ) from error


def _first(directory: Path, now: datetime.datetime) -> ca.Authority:
    if (directory / TRUST_FILE).exists():
        raise AuthorityError(
            f"{directory} is of a collector without the CA's key, and the database knows no CA yet; start the one that "
            "has the key, or check --database"
        )
    if (directory / ca.CERTIFICATE_FILE).exists():
        of_file = ca.fingerprint(ca.read_certificate(directory / ca.CERTIFICATE_FILE))
        if (lent := keyring(directory).find(of_file)) is not None:
            return lent
    return ca.open_authority(directory, now)


def _check(directory: Path, ring: Keyring, trusted: tuple[TrustedAuthority, ...], now: datetime.datetime) -> None:
    """Whether the CA of a directory has its key, and is one of the database's. Raises OSError and AuthorityError."""
    file = directory / ca.CERTIFICATE_FILE
    if not file.exists():
        return
    fingerprint = ca.fingerprint(ca.read_certificate(file))
    if ring.find(fingerprint) is None:
        ca.open_authority(directory, now)  # which says what is wrong
    if fingerprint not in [one.fingerprint for one in trusted]:
        raise AuthorityError(
            f"{file} is not a CA that the fleet of this database trusts; check --data and --database, put the right "
            "one back from a backup, or where its key is lost, `fleetnet-server ca init --replace`"
        )


class Following:
    """Brings what a collector shows, and whom it asks to renew, in line with what is trusted."""

    def __init__(
        self, config: Config, database: Database, trust: Authorities, identity: ServerIdentity, renewals: Renewals
    ) -> None:
        self._name = f"{socket.gethostname()}:{config.data}"
        self._database = database
        self._trust = trust
        self._identity = identity
        self._renewals = renewals
        self._asked_by = self._shown_by = trust.trusted  # what was trusted when that was done last
        self._told = False  # which certificate is shown

    def turned(self) -> None:
        """Others are trusted than before, or another issues."""
        self._asked_by = self._trust.trusted
        self._show()
        self._renewals.turned()

    def _show(self) -> None:
        try:
            self._identity.follow(self._trust.issuing, self._trust.certificates)
        except (OSError, AuthorityError) as error:
            _log.error("server certificate not renewed", error=str(error))
            return
        self._shown_by = self._trust.trusted
        self._told = False

    def renew_if_due(self) -> None:
        """Raises OSError and AuthorityError."""
        if self._shown_by != self._trust.trusted:
            self._show()
        if self._identity.renew_if_due():
            _log.info("server certificate renewed", not_after=self._identity.current.not_after.isoformat())
            self._told = False

    async def round(self) -> None:
        """Raises StorageError."""
        await self._trust.look()
        if self._asked_by != self._trust.trusted:
            _log.info("other CAs are trusted", issuing=self._trust.trusted[0].fingerprint)
            self.turned()
        if not self._told:
            await self._tell_shown()
            self._told = True
        await self._renewals.round()

    async def _tell_shown(self) -> None:
        """Write down which certificate this collector shows, for whoever wants to trust its CA no more. Raises
        StorageError."""
        shown, trusts = self._identity.current, frozenset(one.fingerprint for one in self._trust.trusted)
        until_us = int(shown.not_after.timestamp()) * 1_000_000
        names = (certificates.COLLECTOR, self._name)
        held = HeldCertificate(*names, shown.serial, self._identity.issuer, trusts, until_us, shown=True)
        await self._database.write(certificates.put, held)


async def keep_following(following: Following, health: Health) -> NoReturn:
    """Until cancelled."""
    while True:
        await tried(following.round(), health, "which CAs are trusted is not followed")
        await asyncio.sleep(ROUND_S)


async def keep_warning(database: Database, trust: Authorities, identity: ServerIdentity, health: Health) -> NoReturn:
    """Until cancelled: once a day say in the log which certificates end, while there is time."""
    while True:
        await tried(_warn(database, trust, identity), health, "it is not known which certificates end")
        await asyncio.sleep(_WARN_EVERY_S)


async def _warn(database: Database, trust: Authorities, identity: ServerIdentity) -> None:
    now = datetime.datetime.now(datetime.UTC)
    if trust.until - now < AUTHORITY_WARNING:
        _log.warning("the CA ends", not_after=trust.until.isoformat(), do="fleetnet-server ca rotate")
    if identity.current.not_after - now < SERVER_WARNING:
        _log.warning("the server certificate ends", not_after=identity.current.not_after.isoformat())
    if late := await ending(database, microseconds.of(now)):
        _log.warning("certificates of hosts end within a week", hosts=len(late), first=late[0])


async def keep_certificate(following: Following) -> NoReturn:
    """Until cancelled. A collector may run for years; its certificate lives for three months."""
    while True:
        await asyncio.sleep(_CERTIFICATE_CHECK_S)
        try:
            following.renew_if_due()
        except (OSError, AuthorityError) as error:
            _log.error("server certificate not renewed", error=str(error))
