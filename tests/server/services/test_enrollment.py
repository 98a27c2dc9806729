"""Tokens: how many they admit, under what name, and what becomes of those that are listed or to be approved."""

import asyncio
import datetime
from collections.abc import Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_server.errors import HostUnknown, PeerRefused, RequestRefused, TokenRefused
from fleetnet_server.identity import tokens
from fleetnet_server.identity.peer import Peer
from fleetnet_server.records import ACTIVE, PENDING, REVOKED, Label
from fleetnet_server.services.authorities import Authorities
from fleetnet_server.services.enrollment import Enrolled, Enrollment, Terms
from fleetnet_server.services.people import VIEWER, People
from fleetnet_server.storage import hosts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server.agents import request_for
from server.costs import asked_of
from server.reports import T0, Collector, S, hello
from server.services.test_hosts import Told
from server.stories import tell
from server.trusting import trusting

WEB = (Label("role", "web"),)
HALF = Terms(max_uses=2, made_by="local")
ONCE = Terms(made_by="local")


def _at(us: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(us / 1e6, datetime.UTC)


class Door:
    """Who lets hosts in, at a time of the test's."""

    def __init__(self, c: Collector, trust: Authorities) -> None:
        self.now_us = T0
        self.enrollment = Enrollment(c.db, trust, self._now)
        self.people = People(c.db, trust, self._now)
        self._csr = request_for(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    async def of(cls, c: Collector, tmp_path: Path) -> "Door":
        """That of a collector."""
        return cls(c, await trusting(c.db, tmp_path, _at(T0)))

    def _now(self) -> datetime.datetime:
        return _at(self.now_us)

    async def token(self, host: str = "", terms: Terms = HALF, given: Sequence[Label] = WEB) -> bytes:
        made = await self.enrollment.create_token(host, 3_600, given, terms)
        return tokens.decode(made.text)[0]

    async def enroll(self, secret: bytes, proposed: str = "") -> Enrolled:
        return await self.enrollment.enroll(secret, self._csr, proposed)


def test_of_fifty_who_come_at_once_as_many_get_in_as_the_token_is_for(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        door = await Door.of(c, tmp_path)
        for most in (1, 7):
            door.now_us += S
            secret = await door.token(terms=Terms(max_uses=most))
            came = (door.enroll(secret, f"web{most}-{number}") for number in range(50))
            outcomes = await asyncio.gather(*came, return_exceptions=True)
            assert sum(isinstance(one, Enrolled) for one in outcomes) == most
            assert sum(isinstance(one, TokenRefused) for one in outcomes) == 50 - most
            assert (await door.enrollment.tokens())[0].uses == most
        assert len((await c.ask_hosts()).items) == 8

    tell(tmp_path, story)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["web1", "web2", "WEB3", "db1", "-", "a b", "x" * 254, ""]), max_size=6))
def test_whatever_hosts_call_themselves_none_has_the_name_of_another_and_no_use_is_lost_by_a_bad_one(
    tmp_path_factory: pytest.TempPathFactory, proposed: list[str]
) -> None:
    tmp_path = tmp_path_factory.mktemp("names")

    async def story(c: Collector) -> None:
        door = await Door.of(c, tmp_path)
        await c.enroll("db1")
        secret, named = await door.token(terms=Terms(max_uses=4)), {"db1"}
        for name in proposed:
            good = name.lower() in ("web1", "web2", "web3") and name.lower() not in named
            if not good:
                with pytest.raises(RequestRefused, match="token create --host NAME"):
                    await door.enroll(secret, name)
                continue
            assert (await door.enroll(secret, name)).host == name.lower()
            named.add(name.lower())
        assert (await door.enrollment.tokens())[0].uses == len(named) - 1
        assert {host.host for host in (await c.ask_hosts()).items} == named

    tell(tmp_path, story)


def test_a_token_for_a_host_by_name_takes_no_proposal_and_admits_a_known_one_again(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        door = await Door.of(c, tmp_path)
        await c.enroll("web1")
        assert (await door.enroll(await door.token("web1", Terms(), ()), "db1")).host == "web1"

    tell(tmp_path, story)


def test_a_host_that_is_to_be_approved_waits_and_is_no_part_of_the_fleet_until_it_is(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        door, mine = await Door.of(c, tmp_path), Told(c)
        await c.enroll("db1")
        enrolled = await door.enroll(await door.token(terms=Terms(approve=True)), "web1")
        shown = Peer("web1", enrolled.certificate.serial, enrolled.certificate.not_after_us)
        host = await c.db.read(hosts.find, "web1")
        assert host is not None
        assert (enrolled.pending, host.status, await door.enrollment.waits(shown)) == (True, PENDING, True)
        with pytest.raises(HostUnknown):
            await c.connect(host, hello(T0), serial=shown.serial)
        with pytest.raises(PeerRefused, match="waits for an operator to approve it"):
            await door.enrollment.renew(shown, door._csr)
        answer = await c.ask_hosts()
        assert [(one.host, one.status) for one in answer.items] == [("db1", ACTIVE), ("web1", PENDING)]
        assert (answer.coverage.hosts_asked, answer.items[1].labels) == (1, WEB)
        assert [stale.host for stale in answer.coverage.hosts_stale] == ["db1"]
        for changed in (True, False):
            [standing] = await mine.hosts.approve(["web1"])
            assert (standing.status, standing.changed) == (ACTIVE, changed)
        await c.connect(host, hello(T0), serial=shown.serial)
        assert (await c.ask_hosts()).coverage.hosts_asked == 2
        await mine.hosts.revoke(["web1"])
        with pytest.raises(RequestRefused, match="web1 is revoked and waits for nothing"):
            await mine.hosts.approve(["web1"])
        found = await c.db.read(hosts.find, "web1")
        assert found is not None
        assert found.status == REVOKED

    tell(tmp_path, story)


def test_tokens_are_listed_without_what_admits_and_one_that_is_revoked_admits_nobody(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        door = await Door.of(c, tmp_path)
        secret = await door.token()
        door.now_us += S
        text = (await door.people.create_token("alice", VIEWER, 0, "local")).text
        of_alice = tokens.decode(text)[0]
        first, second = await door.enrollment.tokens()
        assert (first.person, first.role, first.made_by, first.uses) == ("alice", VIEWER, "local", 0)
        assert (second.host, second.labels, second.max_uses, second.made_by) == ("", WEB, 2, "local")
        for made, kept_back in ((first, of_alice), (second, secret)):
            assert made.token_id == tokens.secret_hash(kept_back).hex()[:12]
            assert kept_back.hex() not in repr(made)
        await door.enroll(secret, "web1")
        for _ in range(2):
            revoked = await door.enrollment.revoke_token(second.token_id)
            assert (revoked.revoked_at_us, revoked.uses) == (door.now_us, 1)
        with pytest.raises(TokenRefused):
            await door.enroll(secret, "web2")
        await door.enrollment.revoke_token(first.token_id)
        with pytest.raises(TokenRefused):
            await door.people.enroll(of_alice, door._csr)
        for nothing in ("", "0" * 12, "x" * 12, second.token_id[:11], second.token_id.upper() + " "):
            with pytest.raises(RequestRefused, match="is not the id of one token"):
                await door.enrollment.revoke_token(nothing)

    tell(tmp_path, story)


def test_whatever_is_wrong_with_a_token_the_answer_and_what_it_costs_are_the_same(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        door = await Door.of(c, tmp_path)
        expired = await door.token("web1", ONCE)
        door.now_us += 3_601 * S
        used, revoked = await door.token("web1", ONCE), await door.token("web2", ONCE)
        await door.enroll(used)
        [of_web2] = [made for made in await door.enrollment.tokens() if made.host == "web2"]
        await door.enrollment.revoke_token(of_web2.token_id)
        statements = asked_of(c.db._engines.writer)
        told = []
        for secret in (bytes(32), expired, used, revoked):
            with pytest.raises(TokenRefused) as refused:
                await door.enroll(secret)
            told.append((str(refused.value), tuple(sql for sql, _ in statements)))
            statements.clear()
        assert len(set(told)) == 1
        assert told[0][1]

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("host", "given", "terms", "said"),
    [
        ("web1", (), Terms(max_uses=2), "admits that host once"),
        ("", WEB, Terms(max_uses=0), "between 1 and 10000"),
        ("", WEB, Terms(max_uses=10_001), "between 1 and 10000"),
        ("", (), Terms(max_uses=2), "nobody in particular would admit anybody; name the host"),
    ],
)
def test_a_token_that_makes_no_sense_is_refused(
    host: str, given: tuple[Label, ...], terms: Terms, said: str, tmp_path: Path
) -> None:
    async def story(c: Collector) -> None:
        with pytest.raises(RequestRefused, match=said):
            await (await Door.of(c, tmp_path)).token(host, terms, given)

    tell(tmp_path, story)
