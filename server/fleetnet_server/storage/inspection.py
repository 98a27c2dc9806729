"""Whether a database is whole and up to date. Reads only, so that it may be asked while a collector uses it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from fleetnet_server import microseconds
from fleetnet_server.errors import StorageError
from fleetnet_server.records import HeldCertificate, TrustedAuthority
from fleetnet_server.storage import (
    authorities,
    certificates,
    counts,
    dialect,
    hosts,
    kept,
    log,
    machines,
    migrate,
    quarantine,
    spread,
)
from fleetnet_server.storage.kept import Reach as Reach
from fleetnet_server.storage.machines import Clone as Clone
from fleetnet_server.storage.quarantine import SetAside as SetAside

_DAY_US = 86_400_000_000
# Counting the rows of one takes a millisecond or so.
_COUNTED_HOSTS = 500


@dataclass(frozen=True, slots=True)
class Trust:
    """Which CAs the fleet of a database trusts, and who holds which certificate."""

    trusted: tuple[TrustedAuthority, ...] = ()
    hosts: tuple[HeldCertificate, ...] = ()
    people: tuple[HeldCertificate, ...] = ()
    collectors: tuple[HeldCertificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspected:
    """A database; if it exists it is whole, as far as can be told at once."""

    name: str  # as people know it
    exists: bool
    step: str | None  # that its tables are at; None where there are none
    newest_step: str | None  # that this version knows
    engine: str = ""  # and its version, of a database that exists
    machines: int = 0  # that the tables are spread over; 0 where the engine is none that spreads them
    not_spread: tuple[str, ...] = ()  # tables that lie on one of them
    # Hosts as which more than one machine came, within the last day.
    clones: tuple[Clone, ...] = ()
    set_aside: tuple[SetAside, ...] = ()  # reports that could not be stored; where the tables are up to date
    kept: Mapping[int, Reach] = field(default_factory=dict)  # how far back each kind of history goes, likewise
    counted: int = 0  # hosts whose open sockets were counted, of all that there are at random where these are many
    miscounted: tuple[str, ...] = ()  # those of them whose counts say something else
    logged: int = 0  # entries of the log of administration
    log_broken_at: int = 0  # the first of them that is not as it was written; 0: none
    trust: Trust = field(default_factory=Trust)  # CAs and certificates, where the tables are up to date


def inspect(url: str) -> Inspected:
    """Look at the database of a URL. Raises StorageError if it is damaged or cannot be read, or the URL not be used."""
    engines = dialect.engines(url)
    newest_step = migrate.newest_step()
    if not engines.may_exist():
        return Inspected(engines.name, False, None, newest_step)
    try:
        with engines.readers.connect() as conn:
            dialect.check(conn, engines.name)
            return _inspected(conn, engines.name, newest_step)
    except DBAPIError as error:
        raise dialect.translate(error, engines.name) or StorageError(str(error.orig)) from error
    finally:
        engines.dispose()


def inspect_trust(url: str) -> Trust:
    """Look at it in the database of a URL; nothing where there is no such database, or its tables are of another
    version. Raises StorageError."""
    engines = dialect.engines(url)
    try:
        if not engines.may_exist():
            return Trust()
        with engines.readers.connect() as conn:
            dialect.check(conn, engines.name)
            return trust(conn) if migrate.step(conn) == migrate.newest_step() else Trust()
    except DBAPIError as error:
        raise dialect.translate(error, engines.name) or StorageError(str(error.orig)) from error
    finally:
        engines.dispose()


def trust(conn: Connection) -> Trust:
    """The same, of a database that is open."""
    return Trust(
        authorities.trusted(conn),
        tuple(certificates.of_hosts(conn)),
        tuple(certificates.of_people(conn)),
        tuple(certificates.of_collectors(conn)),
    )


def _inspected(conn: Connection, name: str, newest_step: str | None) -> Inspected:
    step, version = migrate.step(conn), dialect.version(conn)
    if step != newest_step:
        return Inspected(name, True, step, newest_step, version)
    logged, log_broken_at = log.broken(conn)
    clones = machines.clones(conn, microseconds.now() - _DAY_US)
    set_aside = tuple(quarantine.listed(conn))
    names = {host.host_id: host.name for host in hosts.heard(conn)}
    looked_at = random.sample(sorted(names), min(len(names), _COUNTED_HOSTS))
    miscounted = tuple(names[host_id] for host_id in counts.differing(conn, looked_at))
    return Inspected(
        name,
        True,
        step,
        newest_step,
        version,
        spread.machines(conn),
        tuple(sorted(spread.missing(conn))),
        tuple(clones),
        set_aside,
        kept.reaches(conn),
        len(looked_at),
        miscounted,
        logged,
        log_broken_at,
        trust(conn),
    )
