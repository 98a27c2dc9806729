"""One CA takes another's place step by step, and none is taken that would leave somebody behind."""

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from fleetnet_server.errors import NotTheIssuer, PeerRefused, RequestRefused
from fleetnet_server.identity import ca, tokens
from fleetnet_server.identity.keyring import Keyring
from fleetnet_server.identity.peer import Peer, Person
from fleetnet_server.services.authorities import Authorities
from fleetnet_server.services.enrollment import Enrolled, Enrollment, Terms
from fleetnet_server.services.people import VIEWER, LoggedIn, People
from fleetnet_server.services.rotation import BACK, BEGIN, FINISH, RETIRE, Rotation, Turned
from fleetnet_server.storage import authorities
from fleetnet_server.storage import tokens as stored_tokens
from fleetnet_server.storage.database import Database
from server.agents import new_request
from server.trusting import trusting

from server import databases

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass
class Fleet:
    """A collector and who is in its fleet."""

    db: Database
    directory: Path
    trust: Authorities
    now: datetime.datetime = NOW

    def __post_init__(self) -> None:
        self.hosts: dict[str, Peer] = {}  # with the newest certificate of each
        self.enrollment = Enrollment(self.db, self.trust, lambda: self.now)
        self.people = People(self.db, self.trust, lambda: self.now)
        self.rotation = Rotation(self.db, self.trust, lambda: self.now)

    async def join(self, host: str) -> Peer:
        token = await self.enrollment.create_token(host, 0)
        return self.shown(await self.enrollment.enroll(tokens.decode(token.text)[0], new_request()))

    async def log_in(self, person: str) -> Person:
        token = await self.people.create_token(person, VIEWER, 0)
        return self.shows(await self.people.enroll(tokens.decode(token.text)[0], new_request()))

    async def renew(self, host: str, *, comes_back: bool = True) -> Peer:
        renewed = await self.enrollment.renew(self.hosts[host], new_request())
        peer = self.shown(renewed)
        if comes_back:
            self.come(peer)
        return peer

    def come(self, peer: Peer) -> None:
        """It opens a stream."""
        self.trust.check(peer)
        self.trust.note("host", peer.host, peer)

    def shown(self, enrolled: Enrolled) -> Peer:
        """As its connection shows it."""
        of_issuer = ca.key_identifier(self.trust.certificates[0])
        certificate = enrolled.certificate
        peer = self.hosts[enrolled.host] = Peer(enrolled.host, certificate.serial, certificate.not_after_us, of_issuer)
        return peer

    def shows(self, login: LoggedIn) -> Person:
        of_issuer = ca.key_identifier(self.trust.certificates[0])
        return Person(login.person, login.certificate.serial, login.certificate.not_after_us, of_issuer)

    async def turn(self, step: str, *, leave_behind: bool = False) -> Turned:
        return await self.rotation.turn(step, leave_behind=leave_behind)

    @property
    def standing(self) -> list[str]:
        return [one.standing for one in self.trust.trusted]


Story = Callable[[Fleet], Awaitable[None]]


def tell(tmp_path: Path, story: Story) -> None:
    async def run() -> None:
        db = Database.open(databases.url(tmp_path))
        try:
            await story(Fleet(db, tmp_path, await trusting(db, tmp_path, NOW - DAY)))
        finally:
            await db.close()

    asyncio.run(run())


def who(turned: Turned) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in turned.left_behind]


def test_a_ca_takes_another_s_place_once_every_host_has_come_back_renewed(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        for host in ("a", "b"):
            fleet.come(await fleet.join(host))
        old = fleet.trust.trusted[0].fingerprint
        assert (await fleet.turn(BEGIN)).done
        assert fleet.standing == ["issuing", "next"]
        assert [one.name for one in await fleet.trust.behind()] == ["a", "b"]

        await fleet.renew("a")
        await fleet.renew("b", comes_back=False)
        refused = await fleet.turn(FINISH)
        assert (refused.done, who(refused)) == (False, [("host", "b")])
        assert "has not come back with it yet" in refused.left_behind[0].why
        assert fleet.standing == ["issuing", "next"]

        await fleet.renew("b")
        assert (await fleet.turn(FINISH)).done
        assert fleet.standing == ["issuing", "former"]
        assert fleet.trust.trusted[1].fingerprint == old
        assert ca.open_authority(tmp_path, NOW).fingerprint == fleet.trust.trusted[0].fingerprint

        assert who(await fleet.turn(RETIRE)) == [("host", "a"), ("host", "b")]
        for host in ("a", "b"):
            await fleet.renew(host)
        assert (await fleet.turn(RETIRE)).done
        assert fleet.standing == ["issuing"]
        assert [one.fingerprint for one in Keyring(tmp_path)] == [fleet.trust.trusted[0].fingerprint]

    tell(tmp_path, story)


def test_what_is_handed_over_is_what_is_trusted_and_the_one_that_issues_first(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        fleet.come(await fleet.join("a"))
        await fleet.turn(BEGIN)
        renewed = await fleet.enrollment.renew(fleet.hosts["a"], new_request())
        both = [ca.pem_of(one.certificate) for one in fleet.trust.trusted]
        assert renewed.ca_pem == b"".join(both)
        assert len(both) == 2

    tell(tmp_path, story)


def test_whoever_waits_to_be_approved_holds_nobody_up(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        token = await fleet.enrollment.create_token("", 0, (), Terms(max_uses=1, approve=True, made_by="local"))
        await fleet.enrollment.enroll(tokens.decode(token.text)[0], new_request(), "waits")
        for step in (BEGIN, FINISH, RETIRE):
            assert (await fleet.turn(step)).done

    tell(tmp_path, story)


def test_no_certificate_is_renewed_that_is_of_a_ca_which_another_collector_has_just_retired(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        fleet.come(await fleet.join("a"))
        alice = await fleet.log_in("alice")
        other = Fleet(fleet.db, tmp_path, await trusting(fleet.db, tmp_path, NOW))
        other.hosts = fleet.hosts
        for step in (BEGIN, FINISH, RETIRE):
            assert (await fleet.turn(step, leave_behind=True)).done
        other.trust.check(fleet.hosts["a"])  # it has not looked yet
        for renewal in (
            other.enrollment.renew(fleet.hosts["a"], new_request()),
            other.people.renew(alice, new_request()),
        ):
            with pytest.raises((PeerRefused, NotTheIssuer)) as refused:
                await renewal
            assert "does not trust any more" in str(refused.value)

    tell(tmp_path, story)


def test_of_tokens_none_is_overlooked_however_many_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_tokens, "MOST_LISTED", 1)

    async def story(fleet: Fleet) -> None:
        for host in ("a", "b"):
            await fleet.enrollment.create_token(host, 0)
        await fleet.people.create_token("alice", VIEWER, 0)
        await fleet.turn(BEGIN)
        turned = await fleet.turn(FINISH)
        assert [(one.kind, one.name) for one in turned.left_behind] == [("token", n) for n in ("a", "alice", "b")]

    tell(tmp_path, story)


def test_whoever_sleeps_counts_too_and_is_named_when_he_is_left_behind(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        asleep, awake = await fleet.join("asleep"), await fleet.join("awake")
        fleet.come(asleep)
        fleet.come(awake)
        await fleet.turn(BEGIN)
        await fleet.renew("awake")
        assert who(await fleet.turn(FINISH)) == [("host", "asleep")]
        left = await fleet.turn(FINISH, leave_behind=True)
        assert (left.done, who(left)) == (True, [("host", "asleep")])
        await fleet.renew("awake")
        await fleet.turn(RETIRE, leave_behind=True)
        with pytest.raises(PeerRefused, match="does not trust any more; join anew with a new token"):
            fleet.come(asleep)
        # With a token of now it is in again.
        fleet.come(await fleet.join("asleep"))
        await fleet.trust.tell()
        assert [one.name for one in await fleet.trust.behind()] == ["awake"]  # which still trusts the former

    tell(tmp_path, story)


def test_whose_certificate_has_ended_holds_nobody_up(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        fleet.come(await fleet.join("gone"))
        await fleet.turn(BEGIN)
        fleet.now = NOW + 51 * DAY
        assert (await fleet.turn(FINISH)).done

    tell(tmp_path, story)


def test_people_and_tokens_that_are_not_used_are_left_behind_too_unless_they_are_waited_for(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        alice = await fleet.log_in("alice")
        await fleet.people.admit(alice, VIEWER)
        await fleet.turn(BEGIN)
        await fleet.enrollment.create_token("new", 3_600)
        assert who(await fleet.turn(FINISH)) == [("person", "alice"), ("token", "new")]
        alice = fleet.shows(await fleet.people.renew(alice, new_request()))
        await fleet.people.admit(alice, VIEWER)
        assert who(await fleet.turn(FINISH)) == [("token", "new")]
        fleet.now = NOW + DAY
        assert (await fleet.turn(FINISH)).done

    tell(tmp_path, story)


def test_a_host_that_lost_the_answer_and_one_that_went_back_to_an_older_state_are_to_renew_again(
    tmp_path: Path,
) -> None:
    async def story(fleet: Fleet) -> None:
        old = await fleet.join("a")
        fleet.come(old)
        await fleet.turn(BEGIN)
        await fleet.renew("a", comes_back=False)
        fleet.come(old)
        await fleet.trust.tell()
        assert [(one.name, one.shown) for one in await fleet.trust.behind()] == [("a", False)]
        await fleet.renew("a")
        await fleet.trust.tell()
        assert await fleet.trust.behind() == []
        fleet.come(old)  # its disk was put back from before
        await fleet.trust.tell()
        assert [one.name for one in await fleet.trust.behind()] == ["a"]
        assert who(await fleet.turn(FINISH)) == [("host", "a")]

    tell(tmp_path, story)


def test_each_step_but_the_last_can_be_undone(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        old = fleet.trust.trusted[0].fingerprint
        fleet.come(await fleet.join("a"))
        await fleet.turn(BEGIN)
        await fleet.renew("a")
        await fleet.turn(FINISH)
        await fleet.renew("a")
        assert (await fleet.turn(BACK)).done
        assert fleet.standing == ["issuing", "next"]
        assert fleet.trust.trusted[0].fingerprint == old
        assert who(await fleet.turn(BACK)) == [("host", "a")]  # it has a certificate of the other
        await fleet.renew("a")
        assert (await fleet.turn(BACK)).done
        assert [one.fingerprint for one in fleet.trust.trusted] == [old]
        assert [one.fingerprint for one in Keyring(tmp_path)] == [old]
        await fleet.renew("a")
        await fleet.trust.tell()
        assert await fleet.trust.behind() == []

    tell(tmp_path, story)


def test_a_step_out_of_turn_is_refused_and_leaves_no_key_behind(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        for step in (FINISH, RETIRE, BACK):
            with pytest.raises(RequestRefused, match="`fleetnet-server ca rotate` begins that"):
                await fleet.turn(step)
        await fleet.turn(BEGIN)
        for step in (BEGIN, RETIRE):
            with pytest.raises(RequestRefused, match="finish that with --finish, or --back"):
                await fleet.turn(step)
        await fleet.turn(FINISH)
        for step in (BEGIN, FINISH):
            with pytest.raises(RequestRefused, match="end that with --retire, or --back"):
                await fleet.turn(step)
        assert len(list(Keyring(tmp_path))) == 2

    tell(tmp_path, story)


def test_another_collector_without_the_new_key_follows_and_does_not_issue(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        (tmp_path / "other").mkdir()
        for name in ("ca.key", "ca.pem"):
            (tmp_path / "other" / name).write_bytes((tmp_path / name).read_bytes())
        other = Fleet(fleet.db, tmp_path / "other", await trusting(fleet.db, tmp_path / "other", NOW))
        fleet.come(await fleet.join("a"))
        other.hosts = fleet.hosts
        await fleet.turn(BEGIN)
        assert await other.trust.look()
        assert other.standing == ["issuing", "next"]
        other.come(await other.renew("a"))
        with pytest.raises(NotTheIssuer, match="on the collector where the rotation began"):
            await other.turn(FINISH)
        await other.trust.tell()
        await fleet.turn(FINISH)
        assert await other.trust.look()
        assert other.trust.issuing is None
        with pytest.raises(NotTheIssuer, match="ask the one that has"):
            await other.renew("a")
        # A token that could not be used is not used up.
        token = await other.enrollment.create_token("b", 0)
        secret, der = tokens.decode(token.text)
        assert der == fleet.trust.trusted[0].certificate
        with pytest.raises(NotTheIssuer):
            await other.enrollment.enroll(secret, new_request())
        await fleet.enrollment.enroll(secret, new_request())

    tell(tmp_path, story)


def test_of_two_who_begin_at_once_one_does_and_the_first_start_of_two_agrees_on_one(tmp_path: Path) -> None:
    async def story(fleet: Fleet) -> None:
        told = await asyncio.gather(*(fleet.turn(BEGIN) for _ in range(2)), return_exceptions=True)
        assert sorted(type(one).__name__ for one in told) == ["RequestRefused", "Turned"]
        assert len(list(Keyring(tmp_path))) == 2
        known = await fleet.db.write(authorities.adopt, ca.make(NOW).der, 1)
        assert known == fleet.trust.trusted

    tell(tmp_path, story)
