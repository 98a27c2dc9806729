"""A host's standing: who waits to be let into the fleet, who is kept out, and who has left it.

- *Pending*: it has enrolled with a token that asks for approval. It has a certificate, which is good for nothing until
  somebody has approved it, and is no host of the fleet yet.
- *Pending renewal*: its certificate has ended, and it asks for another (services/readmission.py). It is a host of the
  fleet that is silent.
- *Revoked*: no certificate of it is good, its stream ends, and it stays a host of the fleet that is silent.
- *Retired*: likewise, and it is asked no more. What it held open ended somewhere since its last look, which is all that
  is known. Its history stays, and is asked about the time before.

What must stay true: standing is read from the database by whatever stores a report, inside its transaction, so no
report is stored after this has returned; that streams are ended here, and soon elsewhere, is only a courtesy.
"""

import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from fleetnet_server import microseconds
from fleetnet_server.errors import HostUnknown, RequestRefused
from fleetnet_server.records import ACTIVE, PENDING, RETIRED, REVOKED, Host, HostStanding
from fleetnet_server.services import namespaces
from fleetnet_server.services.intervals import ClosedAtIs
from fleetnet_server.services.log import Logged
from fleetnet_server.storage import counts, hosts, readmissions, sessions, sockets, tokens
from fleetnet_server.storage.database import Connection, Database
from fleetnet_server.storage.spans import Ending

MOST_AT_ONCE: Final = 1_000


class Hosts:
    """Lets hosts in and keeps them out."""

    def __init__(
        self,
        db: Database | Logged,
        clock: Callable[[], datetime.datetime],
        kept_out: Callable[[Collection[str]], None],
        left: Callable[[Collection[int]], None],
    ) -> None:
        """`kept_out` hears the names of those that are out, and `left` which have left the fleet, once it is stored."""
        self._db = db
        self._clock = clock
        self._kept_out = kept_out
        self._left = left

    async def revoke(self, names: Collection[str]) -> list[HostStanding]:
        """Keep hosts out, all of them or none; their unused tokens go too. Raises HostUnknown, RequestRefused,
        StorageError."""
        _check(names)
        found = await self._db.write(_revoke, names, microseconds.of(self._clock()))
        self._kept_out([host.host for host in found])
        return found

    async def approve(self, names: Collection[str]) -> list[HostStanding]:
        """Let hosts in that wait for it, all of them or none. Raises as `revoke`, RequestRefused also of one that was
        kept out: only a token lets that in."""
        _check(names)
        return await self._db.write(_approve, names, microseconds.of(self._clock()))

    async def forget(self, names: Collection[str]) -> list[HostStanding]:
        """Have hosts leave the fleet, all of them or none. Raises as `revoke`."""
        _check(names)
        found, numbers = await self._db.write(_retire, names, microseconds.of(self._clock()))
        self._kept_out([host.host for host in found])
        if numbers:
            self._left(numbers)
        return found


def _check(names: Collection[str]) -> None:
    if not names:
        raise RequestRefused("name the hosts")
    if len(names) > MOST_AT_ONCE:
        raise RequestRefused(f"{len(names)} hosts are named; name {MOST_AT_ONCE} at most at once")


def _revoke(conn: Connection, names: Collection[str], now_us: int) -> list[HostStanding]:
    found = _held(conn, names)
    # Who has left is out already, and stays no part of the fleet.
    now = [host for host in found.values() if host.status not in (REVOKED, RETIRED)]
    _keep_out(conn, now, REVOKED, now_us)
    return _standings(found, now, REVOKED)


def _approve(conn: Connection, names: Collection[str], now_us: int) -> list[HostStanding]:
    found = _held(conn, names)
    for host in found.values():
        if host.status in (REVOKED, RETIRED):
            # Its certificate was made worthless, and there is no way back from that.
            raise RequestRefused(
                f"{host.name} is {host.status} and waits for nothing; "
                f"`fleetnet token create --host {host.name}` is its way back"
            )
    pending = [host for host in found.values() if host.status == PENDING]
    back = _readmitted(conn, found, now_us)
    if pending:
        hosts.approve(conn, [host.host_id for host in pending], now_us)
    return _standings(found, [*pending, *back], ACTIVE)


def _readmitted(conn: Connection, found: Mapping[str, Host], now_us: int) -> list[Host]:
    """Those that asked to be let in again, and are. Raises RequestRefused where two asked for it as one host."""
    waiting = readmissions.waiting(conn, [host.host_id for host in found.values()])
    back = [host for host in found.values() if host.host_id in waiting]
    for host in back:
        if waiting[host.host_id].rival_at_us:
            raise RequestRefused(
                f"two machines ask to be let in as {host.name} with the same old key, and which of them is the host "
                f"nobody can tell from here; `fleetnet token create --host {host.name}` for the one that is"
            )
    if back:
        readmissions.approve(conn, [host.host_id for host in back], now_us)
    return back


def _retire(conn: Connection, names: Collection[str], now_us: int) -> tuple[list[HostStanding], list[int]]:
    found = _held(conn, names)
    now = [host for host in found.values() if host.status != RETIRED]
    _keep_out(conn, now, RETIRED, now_us)
    for host in now:
        _end_everything(conn, host.host_id, now_us)
    return _standings(found, now, RETIRED), [host.host_id for host in now]


def _held(conn: Connection, names: Collection[str]) -> dict[str, Host]:
    """The hosts of these names, whose rows are held until the end of the transaction. Raises HostUnknown."""
    found = hosts.find_each(conn, names)
    if missing := set(names) - found.keys():
        raise HostUnknown(min(missing)[:64])
    hosts.hold(conn, [host.host_id for host in found.values()])
    # As they are now that they are held.
    return hosts.find_each(conn, names)


def _keep_out(conn: Connection, some: Sequence[Host], status: str, now_us: int) -> None:
    if some:
        hosts.keep_out(conn, [host.host_id for host in some], status, now_us)
        tokens.drop_unused(conn, [host.name for host in some])
        readmissions.drop(conn, [host.host_id for host in some])


def _end_everything(conn: Connection, host_id: int, now_us: int) -> None:
    """What is open has ended at a time that nobody knows, since the last look."""
    last_look_us = hosts.last_look(conn, host_id)
    newest = sessions.newest(conn, [host_id]).get(host_id)
    at_us = max(last_look_us, now_us + (newest.clock_offset_us if newest else 0))
    end = Ending(host_id, at_us, ClosedAtIs.GAP, last_look_us)
    with counts.kept(conn) as tally:
        still_open = sockets.open_ids(conn, [host_id])[host_id]
        endings = [sockets.Ending(host_id, one, at_us, ClosedAtIs.GAP, last_look_us) for one in still_open]
        sockets.end(conn, endings, tally)
    namespaces.end_unnamed(conn, {host_id: (end, ())})
    # Should it come back in the same boot, its differences would be of what is not open any more.
    hosts.note_missing(conn, host_id)


def _standings(found: Mapping[str, Host], changed: Sequence[Host], status: str) -> list[HostStanding]:
    """By name, as they are from now on."""
    names = {host.name for host in changed}
    return [
        HostStanding(name, status if name in names else host.status, changed=name in names)
        for name, host in sorted(found.items())
    ]
