"""What is wrong with a collector, and what to do about it. Reads only, and may run beside the collector itself."""

import datetime
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from cryptography import x509

from fleetnet_server import microseconds
from fleetnet_server.config import Config
from fleetnet_server.errors import ServerError
from fleetnet_server.identity import ca, certificates, server
from fleetnet_server.identity.peer import is_of
from fleetnet_server.keep import Keep
from fleetnet_server.logs import escaped
from fleetnet_server.run.authorities import AUTHORITY_WARNING, SERVER_WARNING, TRUST_FILE, keyring
from fleetnet_server.run.names import server_names
from fleetnet_server.services.bands import days
from fleetnet_server.services.fleet import ENDING_US
from fleetnet_server.services.machines import SENTENCE
from fleetnet_server.storage.inspection import Reach, SetAside, Trust, inspect

# What could not be stored before is no present problem, and stays listed.
_QUARANTINE_WARNING = datetime.timedelta(days=7)
# A round comes once an hour; one that is behind by more has too much to do, or none comes to its end.
_RETENTION_WARNING = datetime.timedelta(days=2)
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; a problem says what to do."""

    ok: bool
    what: str

    def __str__(self) -> str:
        return f"{'ok' if self.ok else 'problem':<8} {self.what}"


def examine(config: Config) -> list[Finding]:
    """Look at everything; what cannot be looked at is a problem, and stops nothing else."""
    if not config.data.is_dir():
        return [Finding(False, f"there is no directory {config.data}; start the collector once, or check --data")]
    findings: list[Finding] = []
    for check in (_directory, _authority, _server_certificate, _database):
        findings.extend(_guarded(check, config))
    return findings


def _guarded(check: Callable[[Config], Iterator[Finding]], config: Config) -> Iterator[Finding]:
    try:
        yield from check(config)
    except ServerError as error:
        yield Finding(False, str(error))
    except FileNotFoundError as error:
        told = f"there is no {error.filename}; where no collector has run yet start it, else put back what a backup has"
        yield Finding(False, told)
    except OSError as error:
        yield Finding(False, f"{error.filename} cannot be read: {error.strerror}; run this as the collector's user")


def _directory(config: Config) -> Iterator[Finding]:
    status = config.data.stat()
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        yield Finding(False, f"others can look into {config.data} (mode {mode:04o}); chmod 0700 it")
    elif not os.access(config.data, os.W_OK):
        yield Finding(False, f"{config.data} cannot be written by this user; run this as the collector's user")
    else:
        yield Finding(True, f"data directory {config.data}")
    for name in (ca.KEY_FILE, server.KEY_FILE):
        file = config.data / name
        if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield Finding(False, f"others can read the key {file}; chmod 0600 it, and think of it as known")


def _authority(config: Config) -> Iterator[Finding]:
    if (config.data / TRUST_FILE).exists():
        return  # another collector has the key
    certificate = ca.read_certificate(config.data / ca.CERTIFICATE_FILE)
    if keyring(config.data).find(ca.fingerprint(certificate)) is None:
        ca.read_key(config.data / ca.KEY_FILE)  # which says so if it is not there
        yield Finding(False, f"the CA's key and certificate in {config.data} do not belong together; restore a backup")
        return
    yield _lasting(
        "CA certificate", certificate, AUTHORITY_WARNING, "let another take its place: `fleetnet-server ca rotate`"
    )


def _server_certificate(config: Config) -> Iterator[Finding]:
    certificate = ca.read_certificate(config.data / server.CERTIFICATE_FILE)
    yield _lasting("server certificate", certificate, SERVER_WARNING, "restart the collector and look at its log")
    if (config.data / TRUST_FILE).exists():
        return  # its names are those that it was made for
    if missing := server_names(config) - certificates.names_in(certificate):
        names = ", ".join(sorted(missing))
        yield Finding(False, f"the server certificate is not for {names}; restart the collector with these options")


def _lasting(what: str, certificate: x509.Certificate, warning: datetime.timedelta, todo: str) -> Finding:
    end = certificate.not_valid_after_utc
    if end - datetime.datetime.now(datetime.UTC) < warning:
        return Finding(False, f"the {what} ends on {end:%Y-%m-%d}; {todo}")
    return Finding(True, f"{what}, until {end:%Y-%m-%d}")


def _database(config: Config) -> Iterator[Finding]:
    database = inspect(config.database)
    if not database.exists:
        yield Finding(False, f"there is no database {database.name}; start the collector once, or check --database")
        return
    yield Finding(True, f"database {database.name} ({database.engine}), whole")
    if database.step == database.newest_step:
        yield Finding(True, f"tables at step {database.step}")
        yield from _spread(database.machines, database.not_spread)
        for clone in database.clones:
            yield Finding(False, f"{clone.host}: {SENTENCE}")
        yield from _quarantine(database.set_aside)
        yield from _history(database.kept, config.keep)
        yield _counts(database.counted, database.miscounted)
        yield _log(database.logged, database.log_broken_at)
        yield from _certificates(database.trust, config)
        return
    wanted = f"this version wants {database.newest_step}; `fleetnet-server migrate`"
    yield Finding(False, f"the tables are at step {database.step}, {wanted}")


def _spread(machines: int, not_spread: tuple[str, ...]) -> Iterator[Finding]:
    """Of a Citus cluster: whether its machines share the tables."""
    if not_spread:
        names = ", ".join(not_spread)
        yield Finding(False, f"the database is Citus, and {names} lie on one machine of it; `fleetnet-server migrate`")
    elif machines:
        yield Finding(True, f"tables spread over {machines} machine{'' if machines == 1 else 's'} of a Citus cluster")


def _quarantine(set_aside: tuple[SetAside, ...]) -> Iterator[Finding]:
    """One finding for each host that sent what could not be stored."""
    recent_us = (datetime.datetime.now(datetime.UTC) - _QUARANTINE_WARNING).timestamp() * 1e6
    for host, reports in groupby(set_aside, key=lambda report: report.host):
        told = list(reports)
        last = told[-1]
        at = datetime.datetime.fromtimestamp(last.set_aside_at_us / 1e6, datetime.UTC)
        yield Finding(
            last.set_aside_at_us < recent_us,
            f"{len(told)} reports of {host} could not be stored, the last at {at:%Y-%m-%d %H:%M:%S} UTC "
            f"({escaped(last.reason)}); a mistake of the agent's or the collector's: report it; "
            "`fleetnet-server quarantine` lists them",
        )


def _history(reaches: Mapping[int, Reach], keep: Keep) -> Iterator[Finding]:
    """How far back each kind of history goes, and whether what is too old has gone."""
    now = datetime.datetime.now(datetime.UTC)
    for kind, many in days(keep).items():
        what = f"history of {kind.name.lower()} is kept {'for ever' if many is None else f'for {many} d'}"
        reach = reaches.get(kind)
        if reach is not None and reach.since_us:
            what += f"; what had ended by {_day(reach.since_us)} has been deleted"
        if reach is None or many is None:
            yield Finding(True, what)
            continue
        behind = now - _RETENTION_WARNING - datetime.timedelta(days=many)
        late = reach.walked_us / 1e6 < behind.timestamp()
        problem = (
            f"; of some host what ended after {_day(reach.walked_us)} has not been looked through: see that the "
            "collector has run for an hour, and its log"
        )
        yield Finding(not late, what + problem * late)


def _certificates(trust: Trust, config: Config) -> Iterator[Finding]:
    """Whether hosts renew, and whether this collector stands as the fleet's CAs do."""
    now_us = microseconds.of(datetime.datetime.now(datetime.UTC))
    late = [one.name for one in trust.hosts if one.until_us and one.until_us < now_us + ENDING_US]
    ended = sum(one.until_us < now_us for one in trust.hosts if one.until_us)
    if late:
        shown = ", ".join(late[:_SHOWN]) + f" and {len(late) - _SHOWN} more" * (len(late) > _SHOWN)
        yield Finding(
            False,
            f"certificates of hosts end within a week, or have ended, and were not renewed ({len(late)}, of which "
            f"{ended} have ended: {shown}): see that they are on and reach a collector; whose has ended takes a token",
        )
    if len(trust.trusted) > 1:
        names = ", ".join(f"{one.standing} {one.fingerprint[:16]}" for one in trust.trusted)
        yield Finding(True, f"a CA is taking another's place ({names}); `fleetnet-server ca show` says how far it is")
    if trust.trusted and (config.data / TRUST_FILE).exists():
        yield from _shown_without_a_key(trust, config)


def _shown_without_a_key(trust: Trust, config: Config) -> Iterator[Finding]:
    """Of a collector without the CA's key: whether its certificate is of the CA that issues."""
    certificate = ca.read_certificate(config.data / server.CERTIFICATE_FILE)
    issuing = ca.from_der(trust.trusted[0].certificate)
    if not is_of(certificate, issuing):
        told = "this collector shows a certificate of a CA that does not issue any more; bring another one: "
        yield Finding(False, f"{told}`fleetnet-server ca issue-server` on the collector that has the key")


def _counts(counted: int, miscounted: tuple[str, ...]) -> Finding:
    """Whether the counts are what counting would say."""
    if not miscounted:
        return Finding(True, f"counts of open sockets are right (hosts looked at: {counted})")
    shown = ", ".join(miscounted[:_SHOWN]) + f" and {len(miscounted) - _SHOWN} more" * (len(miscounted) > _SHOWN)
    return Finding(
        False,
        f"the counts of open sockets are not what there is of {len(miscounted)} of {counted} hosts ({shown}): report "
        "it, and count anew with `fleetnet-server migrate --recount` while the collector is stopped",
    )


def _log(logged: int, broken_at: int) -> Finding:
    """Whether the log of administration is as it was written."""
    if not broken_at:
        return Finding(True, f"log of administration, unbroken (entries: {logged})")
    return Finding(
        False,
        f"the log of administration is broken at entry {broken_at}: somebody has changed it, or taken entries away; "
        "compare with the lines `logged` in the collectors' own logs, and with a backup",
    )


def _day(time_us: int) -> str:
    """To the minute; the first there is, of a host that has never been looked through."""
    return f"{datetime.datetime.fromtimestamp(max(time_us, 0) / 1e6, datetime.UTC):%Y-%m-%d %H:%M} UTC"
