"""How one CA takes another's place, and no host is left behind.

1. *Begin*: another CA is made and trusted beside the one that issues. Each host is asked to renew; with its new
   certificate it is handed both.
2. *Finish*: the new one issues. The collector's own certificate is of it from now on, and each host is asked to renew
   again. The former is still trusted.
3. *Retire*: the former is not trusted any more, and its key goes.

*Back* undoes the last of the first two. What must stay true: no step is taken that would cut anybody off, unless that
is wanted: whoever would not trust what the collector shows then, or would not be trusted. Those who sleep count too.
"""

import datetime
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from fleetnet_server import microseconds
from fleetnet_server.errors import NotTheIssuer, RequestRefused
from fleetnet_server.records import TrustedAuthority
from fleetnet_server.services.authorities import Authorities
from fleetnet_server.services.log import Logged
from fleetnet_server.storage import authorities, certificates, tokens
from fleetnet_server.storage.authorities import FORMER, ISSUING, NEXT
from fleetnet_server.storage.database import Connection, Database

BEGIN: Final = "begin"
FINISH: Final = "finish"
RETIRE: Final = "retire"
BACK: Final = "back"

_UNKNOWN = "has not been here since this version was installed, so it is not known what it trusts"
_ON_ITS_WAY = "has been sent a certificate, and has not come back with it yet"
_DOES_NOT_TRUST = "does not trust the CA yet by which the collector would be known"
_NOT_TRUSTED = "has a certificate of the CA that would not be trusted any more"
_OLD_TOKEN = "has a token that is not used yet, which knows the present CA alone"  # noqa: S105  # words
_SHOWS_ANOTHER = "shows a certificate of the CA that would not be trusted any more"

_Trusted = tuple[TrustedAuthority, ...]


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Somebody whom a step would cut off."""

    kind: str  # "host", "person", "collector" or "token"
    name: str
    why: str  # continues the name


@dataclass(frozen=True, slots=True)
class Turned:
    """What became of a wish. Not done where somebody would have been left behind, and that was not wanted."""

    done: bool
    trusted: _Trusted
    left_behind: tuple[LeftBehind, ...] = ()


class Rotation:
    """Takes the steps."""

    def __init__(self, db: Database | Logged, trust: Authorities, clock: Callable[[], datetime.datetime]) -> None:
        self._db = db
        self._trust = trust
        self._clock = clock

    async def turn(self, step: str, *, leave_behind: bool) -> Turned:
        """Take a step. Raises RequestRefused, NotTheIssuer, OSError, StorageError."""
        await self._trust.tell()
        now = self._clock()
        made = self._trust.keyring.make(now).der if step == BEGIN else b""

        def take(conn: Connection) -> Turned:
            present = authorities.hold(conn)
            becomes = _after(step, present, made, microseconds.of(now))
            if self._trust.keyring.find(becomes[0].fingerprint) is None:
                raise NotTheIssuer(
                    "the key of the CA that would issue is not here; say it on the collector where the rotation began"
                )
            behind = tuple(_left_behind(conn, present, becomes, now))
            if behind and not leave_behind:
                raise _NotDoneError(Turned(False, present, behind))
            authorities.put(conn, becomes)
            return Turned(True, becomes, behind)

        try:
            return await self._db.write(take)
        except _NotDoneError as not_done:
            return not_done.turned
        finally:
            await self._trust.look()
            trusted = self._trust.trusted
            self._trust.keyring.put_in_order(trusted[0].fingerprint, frozenset(one.fingerprint for one in trusted))


class _NotDoneError(Exception):
    """Raised in the transaction, so that nothing is left of it, no entry of a log either."""

    def __init__(self, turned: Turned) -> None:
        super().__init__()
        self.turned = turned


def _after(step: str, present: _Trusted, made: bytes, now_us: int) -> _Trusted:
    """What is trusted after a step. Raises RequestRefused where it is not the time for it."""
    stands = {one.standing: one.certificate for one in present}
    issuing, following, former = stands[ISSUING], stands.get(NEXT), stands.get(FORMER)
    if step == BEGIN and following is None and former is None:
        return _standing(present, {ISSUING: issuing, NEXT: made}, now_us)
    if step == FINISH and following is not None:
        return _standing(present, {ISSUING: following, FORMER: issuing}, now_us)
    if step == RETIRE and former is not None:
        return _standing(present, {ISSUING: issuing}, now_us)
    if step == BACK and following is not None:
        return _standing(present, {ISSUING: issuing}, now_us)
    if step == BACK and former is not None:
        return _standing(present, {ISSUING: former, NEXT: issuing}, now_us)
    if following is not None:
        raise RequestRefused("another CA is trusted already and is to issue next: finish that with --finish, or --back")
    if former is not None:
        raise RequestRefused("the former CA is still trusted: end that with --retire, or --back")
    raise RequestRefused(
        "one CA is trusted, and no other is to take its place; `fleetnet-server ca rotate` begins that"
    )


def _standing(present: _Trusted, becomes: dict[str, bytes], now_us: int) -> _Trusted:
    """What stands as it did keeps since when."""
    since = {(one.standing, one.certificate): one.since_us for one in present}
    return tuple(
        TrustedAuthority(standing, certificate, since.get((standing, certificate), now_us))
        for standing, certificate in becomes.items()
    )


def _left_behind(
    conn: Connection, present: _Trusted, becomes: _Trusted, now: datetime.datetime
) -> Iterator[LeftBehind]:
    now_us = microseconds.of(now)
    trusted, issuing = frozenset(one.fingerprint for one in becomes), becomes[0].fingerprint
    if issuing == present[0].fingerprint and trusted >= frozenset(one.fingerprint for one in present):
        return
    owners = (*certificates.of_hosts(conn), *certificates.of_people(conn))
    # Who shows a certificate that has ended is out already, and who waits to be approved is not in yet: strangers with
    # a token for several could hold up everything, and hide who would really be left.
    lasting = [one for one in owners if not one.issuer or one.until_us > now_us]
    for one in lasting:
        if not one.issuer:
            yield LeftBehind(one.kind, one.name, _UNKNOWN)
        elif not one.shown:
            yield LeftBehind(one.kind, one.name, _ON_ITS_WAY)
        elif issuing not in one.trusts:
            yield LeftBehind(one.kind, one.name, _DOES_NOT_TRUST)
        elif one.issuer not in trusted:
            yield LeftBehind(one.kind, one.name, _NOT_TRUSTED)
    for one in certificates.of_collectors(conn):
        if one.until_us > now_us and one.issuer not in trusted:
            yield LeftBehind(one.kind, one.name, _SHOWS_ANOTHER)
    if issuing != present[0].fingerprint:
        for name in tokens.unused(conn, now_us):
            yield LeftBehind("token", name, _OLD_TOKEN)
