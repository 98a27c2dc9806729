"""Who is asked to renew: those who are to, at a pace, and not again and again."""

import asyncio
import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetnet_server.identity import ca
from fleetnet_server.identity.peer import Peer
from fleetnet_server.records import HeldCertificate, TrustedAuthority
from fleetnet_server.rpc.renewals import ASKED_A_ROUND, ASKED_AGAIN_S, SEARCHED_WHILE_BEHIND_S, Renewals
from fleetnet_server.rpc.streams import Ending
from fleetnet_server.storage.database import Database
from server.trusting import only_one

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


class Asked:
    """A fleet of which so many hosts are connected and have a certificate of a CA that does not issue."""

    def __init__(self, db: Database, directory: Path, hosts: int) -> None:
        self.now_s = 1_000.0
        self.asked: list[str] = []
        self.ended: list[str] = []
        trust = only_one(db, directory, NOW)
        issuing, other = trust.trusted[0], ca.make(NOW)
        trust._become((issuing, TrustedAuthority("former", other.der, 0)))
        self.trust, self.only = trust, (issuing,)
        self.behind = [
            HeldCertificate("host", f"h{n}", f"{n}", other.fingerprint, frozenset({other.fingerprint}), 1, shown=True)
            for n in range(hosts)
        ]
        trust.behind = self._behind  # type: ignore[method-assign]  # the database's part is tried elsewhere
        self.renewals = Renewals(trust, lambda: self.now_s)
        key = ca.key_identifier(other.certificate)
        for one in self.behind:
            self.enter(Peer(one.name, one.serial, 1, key))

    def enter(self, peer: Peer) -> object:
        def end(_: Ending) -> None:
            self.ended.append(peer.host)

        return self.renewals.enter(peer, lambda: self.asked.append(peer.host), end)

    async def _behind(self) -> list[HeldCertificate]:
        return self.behind

    def round(self, later_s: float = 1.0) -> int:
        """How many are asked in it."""
        before = len(self.asked)
        self.now_s += later_s
        asyncio.run(self.renewals.round())
        return len(self.asked) - before


@contextmanager
def asked(directory: Path, hosts: int) -> Iterator[Asked]:
    db = Database.open(f"sqlite:///{directory}/fleetnet.db")
    try:
        yield Asked(db, directory, hosts)
    finally:
        asyncio.run(db.close())


def test_a_fleet_is_asked_at_a_pace_each_host_once_and_again_after_a_while(tmp_path: Path) -> None:
    with asked(tmp_path, 2 * ASKED_A_ROUND + 10) as fleet:
        assert [fleet.round() for _ in range(3)] == [ASKED_A_ROUND, ASKED_A_ROUND, 10]
        assert sorted(fleet.asked) == sorted({one.name for one in fleet.behind})
        assert [fleet.round(SEARCHED_WHILE_BEHIND_S) for _ in range(5)] == [0] * 5
        assert fleet.round(ASKED_AGAIN_S) == ASKED_A_ROUND


def test_only_those_are_asked_who_are_connected_here(tmp_path: Path) -> None:
    with asked(tmp_path, 3) as fleet:
        newer = fleet.enter(Peer("h1", "9", 1, b""))  # a second stream of the same host
        fleet.renewals.leave(object(), "h1")  # the first one's end
        fleet.renewals.leave(newer, "h1")
        assert fleet.round() == 2
        assert sorted(fleet.asked) == ["h0", "h2"]


def test_streams_of_a_ca_that_is_not_trusted_any_more_are_ended(tmp_path: Path) -> None:
    with asked(tmp_path, 2) as fleet:
        fleet.enter(Peer("new", "7", 1, ca.key_identifier(fleet.trust.certificates[0])))
        fleet.renewals.turned()
        assert fleet.ended == []
        fleet.trust._become(fleet.only)
        fleet.renewals.turned()
        assert fleet.ended == ["h0", "h1"]
