"""Who may ask, what each may do, and until when: on every engine, by a clock that the test sets."""

import asyncio
import datetime
import math
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from fleetnet_server.errors import (
    NotPermitted,
    PeerRefused,
    PersonUnknown,
    RequestRefused,
    TokenRefused,
    TooMuchAtOnce,
)
from fleetnet_server.identity import names, peer, tokens
from fleetnet_server.records import Person
from fleetnet_server.services import renewals
from fleetnet_server.services.enrollment import Enrollment, Terms
from fleetnet_server.services.people import OPERATOR, VIEWER, LoggedIn, People
from fleetnet_server.services.standing import REREAD_S, Standing
from fleetnet_server.storage import hosts
from fleetnet_server.storage.database import Database
from fleetnet_server.storage.people import REVOKED
from fleetnet_server.storage.schema import person_tokens
from server.agents import new_request
from server.trusting import trusting
from sqlalchemy import select

from server import databases

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)


class Clock:
    """A clock that stands."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime.datetime:
        return self.now


Story = Callable[[People, Clock, Database], Awaitable[None]]


def tell(tmp_path: Path, story: Story) -> None:
    async def run() -> None:
        db, clock = Database.open(databases.url(tmp_path)), Clock()
        try:
            await story(People(db, await trusting(db, tmp_path, NOW - DAY), clock), clock, db)
        finally:
            await db.close()

    asyncio.run(run())


async def log_in(people: People, person: str, role: str = VIEWER) -> peer.Person:
    token = await people.create_token(person, role, 0)
    return shown(await people.enroll(tokens.decode(token.text)[0], new_request()))


def shown(login: LoggedIn) -> peer.Person:
    """The certificate of a login, as a connection shows it."""
    certificate = x509.load_pem_x509_certificate(login.certificate.pem)
    assert login.certificate.not_after_us == int(certificate.not_valid_after_utc.timestamp()) * 1_000_000
    signed = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    return peer.Person(login.person, f"{certificate.serial_number:x}", login.certificate.not_after_us, signed)


def test_a_role_admits_to_what_it_is_for_and_to_what_lesser_ones_are_for(tmp_path: Path) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        viewer, operator = await log_in(people, "v"), await log_in(people, "o", OPERATOR)
        await people.admit(viewer, VIEWER)
        await people.admit(operator, VIEWER)
        await people.admit(operator, OPERATOR)
        with pytest.raises(NotPermitted, match="v is a viewer, and this takes an operator"):
            await people.admit(viewer, OPERATOR)
        assert (await people.change_role("v", OPERATOR)).role == OPERATOR
        await people.admit(viewer, OPERATOR)
        assert [(p.name, p.role, p.status) for p in await people.everybody()] == [
            ("o", OPERATOR, "active"), ("v", OPERATOR, "active"),
        ]  # fmt: skip
        with pytest.raises(RequestRefused, match="viewer or operator"):
            await people.change_role("v", "root")
        with pytest.raises(PersonUnknown, match='nobody named "x" has logged in'):
            await people.change_role("x", VIEWER)

    tell(tmp_path, story)


def test_nobody_is_admitted_after_the_end_of_the_certificate_however_the_call_began(tmp_path: Path) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        alice = await log_in(people, "alice")
        [row] = await people.everybody()
        clock.now = NOW + 30 * DAY - HOUR
        people.check(alice, row, VIEWER)
        clock.now = NOW + 30 * DAY
        with pytest.raises(PeerRefused, match="expired; log in again"):
            people.check(alice, row, VIEWER)

    tell(tmp_path, story)


def test_a_token_admits_once_and_in_its_time_alone(tmp_path: Path) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        token = await people.create_token("alice", VIEWER, 3_600)
        assert token.expires_at_us == int((NOW + HOUR).timestamp()) * 1_000_000
        secret, _ = tokens.decode(token.text)
        late = tokens.decode((await people.create_token("bob", VIEWER, 3_600)).text)[0]
        tried = await asyncio.gather(*(people.enroll(secret, new_request()) for _ in range(5)), return_exceptions=True)
        assert sorted(type(one).__name__ for one in tried) == ["LoggedIn", *["TokenRefused"] * 4]
        clock.now = NOW + HOUR
        with pytest.raises(TokenRefused):
            await people.enroll(late, new_request())
        assert [p.name for p in await people.everybody()] == ["alice"]

    tell(tmp_path, story)


def test_a_request_that_is_none_does_not_use_the_token_up(tmp_path: Path) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        secret, _ = tokens.decode((await people.create_token("alice", VIEWER, 0)).text)
        with pytest.raises(RequestRefused):
            await people.enroll(secret, b"nonsense")
        await people.enroll(secret, new_request())

    tell(tmp_path, story)


def test_whoever_is_revoked_is_out_with_the_tokens_left_and_in_again_by_a_new_one(tmp_path: Path) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        alice = await log_in(people, "alice", OPERATOR)
        kept_back, _ = tokens.decode((await people.create_token("alice", OPERATOR, 0)).text)
        others, _ = tokens.decode((await people.create_token("bob", VIEWER, 0)).text)
        assert (await people.revoke("alice")).status == "revoked"
        for refused in (people.admit(alice, VIEWER), people.renew(alice, new_request())):
            with pytest.raises(PeerRefused, match="was revoked"):
                await refused
        with pytest.raises(TokenRefused):
            await people.enroll(kept_back, new_request())
        await people.enroll(others, new_request())
        again = await log_in(people, "alice")
        await people.admit(again, VIEWER)
        with pytest.raises(PeerRefused, match="a newer certificate"):
            await people.admit(alice, VIEWER)
        joined = {p.name: p.joined_at_us for p in await people.everybody()}
        assert joined["alice"] == int(NOW.timestamp()) * 1_000_000

    tell(tmp_path, story)


def test_what_was_renewed_is_good_until_what_is_newest_has_been_shown(tmp_path: Path) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        first = await log_in(people, "alice")
        clock.now = NOW + 20 * DAY
        second = shown(await people.renew(first, new_request()))
        await people.admit(first, VIEWER)
        await people.admit(second, VIEWER)
        with pytest.raises(PeerRefused, match="a newer certificate"):
            await people.admit(first, VIEWER)
        [row] = await people.everybody()
        assert (row.certificate_until_us, row.renewed_serial) == (second.not_after_us, "")
        with pytest.raises(PeerRefused):
            await people.renew(first, new_request())

    tell(tmp_path, story)


def test_a_secret_is_kept_as_its_hash_alone(tmp_path: Path) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        secret, _ = tokens.decode((await people.create_token("alice", VIEWER, 0)).text)
        [kept] = await db.read(lambda conn: conn.execute(select(person_tokens)).all())
        assert kept.secret_hash == tokens.secret_hash(secret)
        assert secret not in [value for value in kept if isinstance(value, bytes)]

    tell(tmp_path, story)


def test_a_person_who_was_never_there_is_told_like_one_who_was_revoked(tmp_path: Path) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        alice = await log_in(people, "alice")
        await people.revoke("alice")
        told = []
        for person in (alice, replace(alice, name="nobody")):
            with pytest.raises(PeerRefused) as refused:
                await people.admit(person, VIEWER)
            told.append(str(refused.value))
        assert told[0] == told[1]

    tell(tmp_path, story)


def test_a_certificate_is_renewed_some_times_at_once_and_no_more(tmp_path: Path) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        alice, bob = await log_in(people, "alice"), await log_in(people, "bob")
        for _ in range(renewals.AT_ONCE):
            alice = shown(await people.renew(alice, new_request()))
        with pytest.raises(TooMuchAtOnce, match="alice has asked for a new certificate 5 times within minutes"):
            await people.renew(alice, new_request())
        await people.admit(alice, VIEWER)
        await people.renew(bob, new_request())

    tell(tmp_path, story)


@pytest.mark.parametrize("taken", ["standing", "role"])
def test_what_an_operator_made_admits_nobody_once_that_is_taken_away(tmp_path: Path, taken: str) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        enrollment = Enrollment(db, people._authority, clock)
        secrets: dict[str, list[bytes]] = {}
        for who in ("alice", "bob"):
            await log_in(people, who, OPERATOR)
            by = Terms(made_by=names.uri_of_person(who))
            made = (
                await enrollment.create_token("", 0, (), replace(by, max_uses=3, approve=True)),
                await enrollment.create_token(f"{who}s", 0, (), by),
                await people.create_token(f"{who}-2", OPERATOR, 0, by.made_by),
            )
            secrets[who] = [tokens.decode(one.text)[0] for one in made]
            await enrollment.enroll(secrets[who][0], new_request(), f"{who}-1")
        again = tokens.decode((await people.create_token("alice", OPERATOR, 0, "local")).text)[0]
        used = await enrollment.create_token("used", 0, (), Terms(made_by=names.uri_of_person("alice")))
        await enrollment.enroll(tokens.decode(used.text)[0], new_request())

        def all_of(who: str) -> list[Awaitable[object]]:
            several, of_host, of_person = secrets[who]
            return [
                enrollment.enroll(several, new_request(), f"{who}-3"),
                enrollment.enroll(of_host, new_request()),
                people.enroll(of_person, new_request()),
            ]

        await (people.revoke("alice") if taken == "standing" else people.change_role("alice", VIEWER))
        for refused in (*all_of("alice"), people.enroll(again, new_request())):
            with pytest.raises(TokenRefused):
                await refused
        for admitted in all_of("bob"):
            await admitted
        # Whoever has come in by them stays, and what was used up is told as that.
        told = {one.host or one.person or one.made_by: one.revoked_at_us > 0 for one in await enrollment.tokens()}
        assert told == {
            "spiffe://fleetnet/person/alice": True, "alices": True, "alice-2": True, "alice": False, "used": False,
            "spiffe://fleetnet/person/bob": False, "bobs": False, "bob-2": False, "bob": False,
        }  # fmt: skip
        assert "used" in {host.name for host in (await db.read(hosts.find_each, ["used"])).values()}

    tell(tmp_path, story)


class _Reads:
    """How many times those were read who stand."""

    def __init__(self, people: People, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken = 0
        self._find_each = people.find_each
        monkeypatch.setattr(people, "find_each", self._counted)

    async def _counted(self, of: Collection[str]) -> dict[str, Person]:
        self.taken += 1
        return await self._find_each(of)


def test_whose_calls_go_on_is_read_once_until_something_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        await log_in(people, "a")
        await log_in(people, "b")
        reads, now_s = _Reads(people, monkeypatch), people.changed_at_s + 3_600.0
        looked = Standing(people, shared=False, clock_s=lambda: now_s)
        for _ in range(100):
            assert set(await looked.of({"a"})) == {"a"}
        assert reads.taken == 1
        assert set(await looked.of({"a", "b", "nobody"})) == {"a", "b", "nobody"}, "who is new is read"
        assert (await looked.of({"a", "nobody"}))["nobody"] is None
        assert reads.taken == 2
        now_s += REREAD_S + 1.0
        await looked.of({"a"})
        assert reads.taken == 3, "who changes the database by hand is noticed too"

    tell(tmp_path, story)


@pytest.mark.parametrize("change", ["revoke", "role", "login", "renewal"])
def test_what_is_changed_here_counts_at_the_next_look(tmp_path: Path, change: str) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        shows = await log_in(people, "a", OPERATOR)
        people.changed_at_s = -math.inf  # what was done so far is long ago
        looked = Standing(people, shared=False)
        before = (await looked.of({"a"}))["a"]
        match change:
            case "revoke":
                await people.revoke("a")
            case "role":
                await people.change_role("a", VIEWER)
            case "login":
                await log_in(people, "a", OPERATOR)
            case _:
                await people.renew(shows, new_request())
        after = (await looked.of({"a"}))["a"]
        assert after is not None
        assert after != before
        assert after == (await people.find_each({"a"}))["a"]

    tell(tmp_path, story)


def test_another_collectors_change_counts_at_the_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(people: People, clock: Clock, db: Database) -> None:
        await log_in(people, "a")
        elsewhere = People(db, await trusting(db, tmp_path, NOW - DAY), clock)
        assert elsewhere.changed_at_s == -math.inf, "it was told nothing"
        looked = Standing(elsewhere, shared=True)
        assert (await looked.of({"a"}))["a"] is not None
        await people.revoke("a")
        found = (await looked.of({"a"}))["a"]
        assert found is not None
        assert found.status == REVOKED

    tell(tmp_path, story)
