"""What a collector decides about hosts whose certificate has ended, on every engine."""

import datetime
import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_server.errors import PeerRefused, RequestRefused, TooMuchAtOnce
from fleetnet_server.identity import tokens
from fleetnet_server.records import ACTIVE, PENDING, PENDING_RENEWAL, HostStanding, Readmission
from fleetnet_server.services import renewals
from fleetnet_server.services.authorities import Authorities
from fleetnet_server.services.enrollment import Enrollment, Terms
from fleetnet_server.services.readmission import Answer, ReadmissionDesk, Wanted
from fleetnet_server.storage import hosts, readmissions
from server.agents import request_for
from server.costs import asked_of
from server.reports import T0, Collector
from server.services.test_hosts import Told
from server.stories import tell
from server.trusting import trusting

DAY_US = 86_400_000_000
_ONCE = Terms()


class Desk:
    """One collector's, at a time of the test's, and the hosts that come to it."""

    def __init__(self, c: Collector, trust: Authorities) -> None:
        self.now_us = T0
        self.enrollment = Enrollment(c.db, trust, self._now)
        self.desk = ReadmissionDesk(c.db, trust, self._now)

    @classmethod
    async def of(cls, c: Collector, tmp_path: Path) -> "Desk":
        return cls(c, await trusting(c.db, tmp_path, datetime.datetime.fromtimestamp(T0 / 1e6, datetime.UTC)))

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.now_us / 1e6, datetime.UTC)

    async def approve(self, mine: Told, name: str) -> HostStanding:
        mine.now_us = self.now_us
        [standing] = await mine.hosts.approve([name])
        return standing

    async def join(self, name: str, terms: Terms = _ONCE) -> "Sleeper":
        key = ec.generate_private_key(ec.SECP256R1())
        secret, _ = tokens.decode((await self.enrollment.create_token(name, 3_600, (), terms)).text)
        joined = await self.enrollment.enroll(secret, request_for(key))
        return Sleeper(self, key, joined.certificate.pem)


class Sleeper:
    """A host of which the certificate ends in 50 days."""

    def __init__(self, desk: Desk, key: ec.EllipticCurvePrivateKey, certificate: bytes) -> None:
        self._desk = desk
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(certificate).public_bytes(serialization.Encoding.DER)
        self.wanted = ec.generate_private_key(ec.SECP256R1())

    async def ask(self, address: str = "192.0.2.1") -> Answer:
        challenge, csr = self._desk.desk.challenge(), request_for(self.wanted)
        digests = hashlib.sha256(self._certificate).digest() + hashlib.sha256(csr).digest()
        signature = self._key.sign(b"fleetnet readmit 1\0" + challenge + digests, ec.ECDSA(hashes.SHA256()))
        return await self._desk.desk.ask(Wanted(self._certificate, csr, challenge, signature), address)


def test_a_certificate_has_ended_when_it_has_and_not_before(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        desk = await Desk.of(c, tmp_path)
        web1 = await desk.join("web1")
        desk.now_us += 50 * DAY_US - 1_000_000
        with pytest.raises(RequestRefused, match="has not ended"):
            await web1.ask()
        desk.now_us += 1_000_000
        assert await web1.ask() == Answer("web1", again_after_s=30, is_new=True)

    tell(tmp_path, story)


def test_an_approval_is_good_for_a_week_and_then_it_is_to_be_approved_again(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        desk, mine = await Desk.of(c, tmp_path), Told(c)
        web1 = await desk.join("web1")
        desk.now_us += 51 * DAY_US
        await web1.ask()
        await desk.approve(mine, "web1")
        desk.now_us += 7 * DAY_US
        assert await web1.ask("192.0.2.9") == Answer("web1", again_after_s=30, is_new=True)
        assert (await c.db.read(readmissions.waiting))[1].peer == "192.0.2.9"
        await desk.approve(mine, "web1")
        desk.now_us += 7 * DAY_US - 1_000
        assert (await web1.ask()).certificate is not None

    tell(tmp_path, story)


def test_who_waits_costs_no_writing_and_who_is_refused_neither(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        desk = await Desk.of(c, tmp_path)
        web1, older = await desk.join("web1"), await desk.join("web2")
        await desk.join("web2")
        desk.now_us += 51 * DAY_US
        await web1.ask()

        written = asked_of(c.db._engines.writer)
        assert (await web1.ask()).certificate is None
        with pytest.raises(PeerRefused):
            await older.ask()
        assert not written

    tell(tmp_path, story)


def test_the_more_wait_the_seldomer_each_asks(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        desk = await Desk.of(c, tmp_path)
        web1 = await desk.join("web1")
        desk.now_us += 51 * DAY_US
        many = {"least": 30, "more": 50, "most": 3_600}
        counted = {"least": 300, "more": 500, "most": 10**6}
        for how, again_after_s in many.items():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(readmissions, "count", lambda _, how=how: counted[how])
                assert (await web1.ask()).again_after_s == again_after_s

    tell(tmp_path, story)


def test_a_host_that_was_never_approved_is_approved_once_for_both(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        desk, mine = await Desk.of(c, tmp_path), Told(c)
        web1 = await desk.join("web1", Terms(approve=True))
        desk.now_us += 51 * DAY_US
        await web1.ask()
        [item] = (await c.ask_hosts()).items
        assert item.status == PENDING
        standing = await desk.approve(mine, "web1")
        assert (standing.status, standing.changed) == (ACTIVE, True)
        assert (await c.ask_hosts()).items[0].status == PENDING_RENEWAL
        await desk.approve(mine, "web1")
        assert (await web1.ask()).certificate is not None

    tell(tmp_path, story)


def test_answers_that_are_lost_again_and_again_are_not_made_without_end(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        desk, mine = await Desk.of(c, tmp_path), Told(c)
        web1 = await desk.join("web1")
        desk.now_us += 51 * DAY_US
        await web1.ask()
        await desk.approve(mine, "web1")
        serials = [(await web1.ask()).certificate.serial for _ in range(renewals.AT_ONCE)]  # type: ignore[union-attr]
        with pytest.raises(TooMuchAtOnce, match="web1 has asked for a new certificate"):
            await web1.ask()
        host = await c.db.read(hosts.find, "web1")
        assert host is not None
        assert host.certificate_serial == serials[-1]

    tell(tmp_path, story)


def test_hosts_of_before_of_which_any_certificate_is_good_may_not_ask_with_any(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        desk = await Desk.of(c, tmp_path)
        older, newest = await desk.join("web1"), await desk.join("web1")
        desk.now_us += 51 * DAY_US
        await c.db.write(hosts.readmit, 1, hosts.ANY_SERIAL, await _serial(c))
        with pytest.raises(PeerRefused):
            await older.ask()
        assert (await newest.ask()).is_new

    tell(tmp_path, story)


async def _serial(c: Collector) -> str:
    host = await c.db.read(hosts.find, "web1")
    assert host is not None
    return host.certificate_serial


def test_what_is_put_down_is_read_again_and_dropped(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await c.enroll("web1")
        asked = Readmission(await _serial(c), "key", "2001:db8::1", 1, 0, 0)
        await c.db.write(readmissions.put, 1, asked)
        assert await c.db.read(readmissions.find, 1) == asked
        assert await c.db.read(readmissions.waiting) == {1: asked}
        assert await c.db.read(readmissions.waiting, [2]) == {}
        await c.db.write(readmissions.approve, [1], 5)
        assert await c.db.read(readmissions.count) == 0
        await c.db.write(readmissions.drop, [1])
        assert await c.db.read(readmissions.find, 1) is None

    tell(tmp_path, story)
