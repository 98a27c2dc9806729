"""How hosts stand: who is kept out stores nothing any more, and who has left is asked only about the time before."""

import asyncio
import datetime
from collections.abc import Collection
from pathlib import Path

import pytest
from fleetnet_server.errors import HostLeft, HostUnknown, PeerRefused, RequestRefused
from fleetnet_server.records import (
    ACTIVE,
    RETIRED,
    REVOKED,
    Batch,
    GoodCertificates,
    HostStanding,
    Selection,
    Session,
    SocketQuestion,
)
from fleetnet_server.services.hosts import Hosts
from fleetnet_server.services.kept_out import KeptOut
from fleetnet_server.storage import hosts, tokens
from server.reports import T0, Collector, S, difference, hello, snapshot, sock
from server.stories import tell


class Told:
    """Who keeps hosts out, at a time of the test's, and whom it has told of."""

    def __init__(self, c: Collector) -> None:
        self.now_us = T0 + 10 * S
        self.kept_out: list[str] = []
        self.left: list[int] = []
        self.hosts = Hosts(c.db, self._now, self.kept_out.extend, self.left.extend)

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.now_us / 1e6, datetime.UTC)


async def reporting(c: Collector, name: str = "web1", port: int = 443) -> Session:
    session = await c.connect(await c.enroll(name), hello(T0))
    await c.report(session, snapshot(1, T0, sock(1, T0, port=port)))
    return session


async def refused(c: Collector, session: Session, *batches: Batch) -> None:
    for batch in batches:
        with pytest.raises(PeerRefused, match="was revoked; enroll it again"):
            await c.ingest.commit(session, batch, batch.look_at_us, b"as it came")


async def ports(c: Collector, now_us: int = T0 + 20 * S, **selection: int | str) -> list[int]:
    answer = await c.ask(None, now_us, max_age_ms=60_000, **selection)
    return [item.local_port for item in answer.items]


def test_no_report_of_a_revoked_host_is_stored_alone_or_with_others_nor_another_stream_opened(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine = Told(c)
        streams = [await reporting(c, f"web{n}") for n in range(4)]
        assert await mine.hosts.revoke(["web1"]) == [HostStanding("web1", REVOKED, changed=True)]
        assert await mine.hosts.revoke(["web1", "web2"]) == [
            HostStanding("web1", REVOKED, changed=False),
            HostStanding("web2", REVOKED, changed=True),
        ]
        assert mine.kept_out == ["web1", "web1", "web2"]
        batches = [difference(2, T0 + S, opened=(sock(2, T0 + S, port=80),)) for _ in streams]
        # At one stroke with those of hosts that are well, and by itself.
        stored = await asyncio.gather(
            *(c.ingest.commit(s, b, T0 + S, b"as it came") for s, b in zip(streams, batches, strict=True)),
            return_exceptions=True,
        )
        assert [isinstance(one, PeerRefused) for one in stored] == [False, True, True, False]
        await refused(c, streams[1], batches[1])
        assert [await ports(c, host=f"web{n}") for n in range(4)] == [[80, 443], [443], [443], [80, 443]]
        with pytest.raises(HostUnknown):
            await c.ingest.open("web1", hello(T0 + 2 * S), T0 + 2 * S, "0a")
        judged = await c.db.read(hosts.judged_since, mine.now_us)
        assert {(one.host, one.serials) for one in judged} == {("web1", frozenset()), ("web2", frozenset())}
        assert await c.db.read(hosts.judged_since, mine.now_us + 1) == []

    tell(tmp_path, story)


def test_a_revoked_host_is_silent_and_its_unused_tokens_are_gone(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        await reporting(c)
        await c.db.write(tokens.create, b"h", "web1", T0, T0 + 3600 * S)
        await c.db.write(tokens.create, b"i", "web2", T0, T0 + 3600 * S)
        await Told(c).hosts.revoke(["web1"])
        assert [await c.db.write(tokens.consume, secret, T0) is None for secret in (b"h", b"i")] == [True, False]
        answer = await c.ask_hosts(T0 + 3600 * S, max_age_ms=60_000)
        assert [(host.host, host.status, host.fresh) for host in answer.items] == [("web1", REVOKED, False)]
        assert (answer.coverage.hosts_asked, len(answer.coverage.hosts_stale)) == (1, 1)

    tell(tmp_path, story)


def test_a_host_that_enrolled_anew_is_not_told_by_its_certificate_of_before(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        stolen = await reporting(c)
        await Told(c).hosts.revoke(["web1"])
        again = await c.enroll("web1", T0 + 5 * S, "0b")
        assert (again.host_id, again.status) == (stolen.host_id, ACTIVE)
        # Active again, but not for whom was kept out.
        await refused(c, stolen, difference(2, T0 + S, opened=(sock(2, T0 + S, port=80),)))
        with pytest.raises(HostUnknown):
            await c.connect(again, hello(T0 + 6 * S), serial="0a")
        session = await c.connect(again, hello(T0 + 6 * S, epoch=2), T0 + 6 * S, "0b")
        await c.report(session, snapshot(1, T0 + 6 * S, sock(1, T0, port=22), epoch=2))
        assert await ports(c) == [22]

    tell(tmp_path, story)


def test_the_certificate_before_is_good_until_the_newest_has_opened_a_stream(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        assert await c.db.write(hosts.renew, "web1", "0a", "0b")
        for serial in ("0a", "0a", "0b"):
            await c.connect(host, hello(T0), serial=serial)
        with pytest.raises(HostUnknown):
            await c.connect(host, hello(T0), serial="0a")
        assert not await c.db.write(hosts.renew, "web1", "0a", "0c")
        # A copy of it renews twice, and is let in nowhere: the host itself is not shut out.
        assert await c.db.write(hosts.renew, "web1", "0b", "0c")
        assert await c.db.write(hosts.renew, "web1", "0c", "0d")
        await c.connect(host, hello(T0), serial="0b")
        assert await c.db.write(hosts.renew, "web1", "0b", "0e")
        await c.connect(host, hello(T0), serial="0e")
        assert not await c.db.write(hosts.renew, "web1", "0d", "0f")
        await Told(c).hosts.revoke(["web1"])
        assert not await c.db.write(hosts.renew, "web1", "0e", "0f")

    tell(tmp_path, story)


def test_of_a_retired_host_the_past_is_answered_and_the_present_is_not_asked(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine = Told(c)
        session = await reporting(c)
        await reporting(c, "web2", 22)
        assert await mine.hosts.forget(["web1"]) == [HostStanding("web1", RETIRED, changed=True)]
        assert await mine.hosts.forget(["web1"]) == [HostStanding("web1", RETIRED, changed=False)]
        assert mine.left == [session.host_id]
        await refused(c, session, difference(2, T0 + S, opened=(sock(2, T0 + S, port=80),)))
        assert (await ports(c), await ports(c, at_us=T0 + S)) == ([22], [443, 22])
        answer = await c.ask(now_us=T0 + 7200 * S, max_age_ms=60_000)
        assert [stale.host for stale in answer.coverage.hosts_stale] == ["web2"]
        for selection, asked in ((Selection(), ["web2"]), (Selection(at_us=T0 + S), ["web1", "web2"])):
            found = await c.ask_hosts(T0 + 20 * S, at_us=selection.at_us)
            assert [host.host for host in found.items] == asked
            assert found.coverage.hosts_asked == len(asked)
        for at_us in (0, T0 + 15 * S):
            with pytest.raises(HostLeft, match="`fleetnet history web1`"):
                await c.ask(now_us=T0 + 20 * S, host="web1", at_us=at_us)
        # What it held open ended some time since its last look, and that is said.
        [item] = (await c.ask(now_us=T0 + 20 * S, host="web1", at_us=T0 + S)).items
        assert (item.closed_at_us, item.last_seen_us) == (mine.now_us, T0)
        since = SocketQuestion(Selection(), opened_since_us=T0 - 3600 * S)
        assert [item.host for item in (await c.ask(since, T0 + 20 * S)).items] == ["web2"]

    tell(tmp_path, story)


def test_a_host_that_comes_back_goes_on_with_its_history(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        session = await reporting(c)
        await Told(c).hosts.forget(["web1"])
        again = await c.enroll("web1", T0 + 20 * S, "0b")
        assert again.host_id == session.host_id
        # The same agent, whose next report is a difference: it is asked for all that it holds open.
        later = T0 + 30 * S
        resumed = await c.connect(again, hello(later), later, "0b")
        await c.report(resumed, difference(2, later, previous_us=T0, opened=(sock(2, later, port=80),)))
        assert (await c.ask_hosts(later)).items[0].last_seen_us == T0
        await c.report(resumed, snapshot(3, later + S, sock(1, T0, port=443), sock(2, later, port=80)))
        assert await ports(c, later + 2 * S) == [80, 443]
        assert await ports(c, later + 2 * S, at_us=T0 + S) == [443]

    tell(tmp_path, story)


def test_where_one_of_all_is_not_known_none_is_kept_out(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        mine = Told(c)
        session = await reporting(c)
        for wish in (mine.hosts.revoke, mine.hosts.forget):
            with pytest.raises(HostUnknown, match='"nobody"'):
                await wish(["web1", "nobody"])
            with pytest.raises(RequestRefused, match="name the hosts"):
                await wish([])
            with pytest.raises(RequestRefused, match="name 1000 at most"):
                await wish([f"web{n}" for n in range(1_001)])
        assert (mine.kept_out, mine.left) == ([], [])
        await c.report(session, difference(2, T0 + S))

    tell(tmp_path, story)


def test_who_was_kept_out_is_looked_for_after_it_was_told_here_and_elsewhere_always(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        ended: list[Collection[str]] = []
        judged: list[Collection[GoodCertificates]] = []
        kept_out = KeptOut(c.db, ended.append, judged.append)
        now_us = int(datetime.datetime.now(datetime.UTC).timestamp() * 1e6)
        for name in ("web1", "web2"):
            host = await c.enroll(name)
            await c.db.write(hosts.keep_out, [host.host_id], REVOKED, now_us)
        await c.db.write(hosts.enroll, "web2", "anew", now_us)
        if not c.db.shared:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await kept_out.due()
            kept_out.note(["web3"])
            assert ended.pop() == ["web3"]
        await kept_out.due()
        await kept_out.look()
        assert ended == []
        assert [sorted(some) for some in judged] == [
            [GoodCertificates("web1", 0, frozenset()), GoodCertificates("web2", 0, frozenset({"anew"}))]
        ]

    tell(tmp_path, story)
