"""An agent whose certificate has ended asks to be let in again, waits for that, and goes on where it was."""

import asyncio
import dataclasses
import io
import random
import ssl
import stat
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from agent.conftest import Loop
from agent.loopback_collector import Collector
from agent.scripted_watch import ScriptedWatch, tcp
from agent.uplinks import agrees, running
from fleetnet_agent import doctor, keys, state
from fleetnet_agent.config import Settings
from fleetnet_agent.host import this_host
from fleetnet_agent.log import Log
from fleetnet_agent.uplink import readmission, renewal

Enrolled = Callable[..., Path]
PATIENCE = random.Random(7)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for half a minute waits for a moment."""
    monkeypatch.setattr(readmission, "AGAIN_S", 0.02)
    monkeypatch.setattr(renewal, "AT_MOST_EVERY_S", 0.02)
    monkeypatch.setattr(renewal, "RETRY_S", 0.08)


def slept(enrolled: Enrolled, collector: Collector, days: float = -1) -> Path:
    """The state of a host that knows the enrollment port of this collector."""
    directory = enrolled(collector.address, days=days)
    identity = state.load(directory)
    state.prepare(directory, identity.key_pem)
    state.save(directory, dataclasses.replace(identity, enroll_addresses=(f"127.0.0.1:{collector.enroll_port}",)))
    return directory


def test_it_waits_with_one_key_and_tells_all_once_it_is_approved(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    directory = slept(enrolled, collector)
    old = state.load(directory)

    async def story() -> list[str]:
        watch = ScriptedWatch(tcp(1))
        async with running(directory, watch) as agent:
            await collector.until(lambda: len(collector.asked_again) >= 3)
            watch.open(tcp(2))
            assert state.load(directory) == old
            waiting = directory / state.WAITING_KEY
            assert stat.S_IMODE(waiting.stat().st_mode) == 0o600
            collector.readmits = True
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            watch.open(tcp(3))
            await collector.until(lambda: agrees(collector, watch))
            assert not waiting.exists()
            return agent.log

    log = loop.run(story())
    [waits] = [line for line in log if "waits for an operator" in line]
    fresh = state.load(directory)
    key_id = keys.key_id(fresh.key_pem)
    assert waits == (
        f"the certificate of this host has ended; 127.0.0.1:{collector.enroll_port} was asked for another, and waits "
        f"for an operator: fleetnet host approve web1 (key {key_id})"
    )
    assert "certificate renewed" in log
    assert fresh.key_pem != old.key_pem
    assert dataclasses.replace(fresh, key_pem=b"", certificate_pem=b"", valid_from_us=0, valid_until_us=0) == (
        dataclasses.replace(old, key_pem=b"", certificate_pem=b"", valid_from_us=0, valid_until_us=0)
    )
    assert {one.certificate for one in collector.asked_again} == {
        ssl.PEM_cert_to_DER_cert(old.certificate_pem.decode())
    }
    assert len(set(collector.challenges)) == len(collector.asked_again)


def test_an_agent_that_is_restarted_while_it_waits_asks_for_the_same_key(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    directory = slept(enrolled, collector)

    async def story() -> set[bytes]:
        wanted = set()
        for _ in range(2):
            asked = len(collector.asked_again)
            async with running(directory, ScriptedWatch(tcp(1))):
                await collector.until(lambda asked=asked: len(collector.asked_again) > asked)
            wanted.add((directory / state.WAITING_KEY).read_bytes())
        return wanted

    assert len(loop.run(story())) == 1


def test_a_certificate_that_ends_while_the_agent_runs_is_noticed(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    directory = slept(enrolled, collector, days=2.5 / 86_400)
    collector.renews = False

    async def story() -> None:
        watch = ScriptedWatch(tcp(1))
        async with running(directory, watch):
            await collector.until(lambda: bool(collector.asked_again))
            assert state.load(directory).valid_until_us <= time.time_ns() // 1_000
            collector.readmits = True
            streams = collector.streams
            await collector.until(lambda: collector.streams > streams)

    loop.run(story())
    assert state.load(directory).valid_until_us > time.time_ns() // 1_000


def test_who_is_refused_says_so_and_asks_on(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    directory = slept(enrolled, collector)
    collector.readmits_not = (grpc.StatusCode.UNAUTHENTICATED, "another machine asks")

    async def story() -> list[str]:
        async with running(directory, ScriptedWatch(tcp(1))) as agent:
            await collector.until(lambda: len(collector.asked_again) >= 2)
            collector.readmits_not, collector.readmits = None, True
            await collector.until(lambda: collector.store.whole_snapshots == 1)
            return agent.log

    log = loop.run(story())
    assert log.count("the certificate could not be renewed: another machine asks; trying again") == 1


def test_a_host_whose_clock_is_ahead_renews_as_always(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    directory = slept(enrolled, collector)
    old = state.load(directory)
    # What its certificate says, as a clock that is ahead would have it, is for the collector still to come.
    good = collector.authority.write_state(directory, "web1", [collector.address])
    state.prepare(directory, good.key_pem)
    state.save(
        directory,
        dataclasses.replace(good, enroll_addresses=old.enroll_addresses, valid_until_us=good.valid_from_us + 1),
    )
    collector.readmits_not = (grpc.StatusCode.INVALID_ARGUMENT, "the certificate has not ended")

    async def story() -> None:
        async with running(directory, ScriptedWatch(tcp(1))):
            await collector.until(lambda: collector.renewals > 0)

    loop.run(story())
    assert collector.asked_again


@pytest.mark.parametrize(("told_s", "waits_s"), [(0, 30.0), (7, 30.0), (100, 100.0), (10**6, 3_600.0)])
def test_it_waits_as_long_as_it_is_told_within_bounds(
    loop: Loop,
    collector: Collector,
    enrolled: Enrolled,
    monkeypatch: pytest.MonkeyPatch,
    told_s: int,
    waits_s: float,
) -> None:
    monkeypatch.undo()
    directory = slept(enrolled, collector)
    collector.again_after_s = told_s
    with pytest.raises(readmission.WaitsError) as waits:
        loop.run(readmission.readmit(directory, state.load(directory)))
    assert waits.value.again_after_s == waits_s


def test_an_answer_that_cannot_be_used_leaves_everything_as_it_was(
    loop: Loop, collector: Collector, enrolled: Enrolled, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = slept(enrolled, collector)
    old = state.load(directory)
    collector.readmits = True
    foreign = collector.authority.host("web1", keys.make_key_and_request().request_der)
    monkeypatch.setattr(collector.authority, "host", lambda *_: foreign)
    with pytest.raises(ValueError, match="a certificate for another key"):
        loop.run(readmission.readmit(directory, old))
    assert state.load(directory) == old


def test_an_identity_that_was_put_there_meanwhile_is_let_be(
    loop: Loop, collector: Collector, enrolled: Enrolled
) -> None:
    directory = slept(enrolled, collector)

    async def story() -> str:
        out = io.StringIO()
        renewed: list[bool] = []
        forever = asyncio.create_task(
            renewal.renew_forever(directory, Log(out), PATIENCE, lambda: renewed.append(True), asyncio.Event())
        )
        await collector.until(lambda: bool(collector.asked_again))
        collector.authority.write_state(directory, "web1", [collector.address])  # as `enroll --force` does
        asked = len(collector.asked_again)
        await asyncio.sleep(0.2)  # some of the moments after which it would ask again
        assert len(collector.asked_again) <= asked + 1
        forever.cancel()
        assert not renewed
        return out.getvalue()

    assert "certificate renewed" not in loop.run(story())
    assert not (directory / state.WAITING_KEY).exists()


def test_the_usual_port_of_each_collector_is_asked_where_none_is_known(enrolled: Enrolled) -> None:
    identity = state.load(enrolled("c1:7443", "[2001:db8::1]:7000", "c1:7000"))
    assert readmission.addresses(identity) == ("c1:7444", "[2001:db8::1]:7444")
    known = dataclasses.replace(identity, enroll_addresses=("c2:444",))
    assert readmission.addresses(known) == ("c2:444", "c1:7444", "[2001:db8::1]:7444")


def test_the_doctor_says_which_command_helps(loop: Loop, collector: Collector, enrolled: Enrolled) -> None:
    directory = slept(enrolled, collector)

    def said() -> str:
        settings = dataclasses.replace(Settings(), state=directory)
        [found] = [one for one in doctor.findings(settings, this_host()) if one.topic == "certificate"]
        assert found.verdict == "problem"
        return found.words

    assert "an agent that runs asks for another by itself" in said()
    with pytest.raises(readmission.WaitsError):
        loop.run(readmission.readmit(directory, state.load(directory)))
    key_id = keys.key_id((directory / state.WAITING_KEY).read_bytes())
    assert f"an operator runs: fleetnet host approve web1 (key {key_id}); or enroll it again" in said()
    (directory / state.WAITING_KEY).write_bytes(b"damaged")
    assert "agent.key.waiting cannot be used" in said()
