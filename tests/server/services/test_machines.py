"""Two machines with one identity: one is the host, the other is told so, and history is that of one."""

from dataclasses import replace
from pathlib import Path

import pytest
from fleetnet_server.errors import Cloned
from fleetnet_server.records import Gap, Host, Session
from fleetnet_server.services.machines import TWO_MACHINES
from fleetnet_server.storage import machines
from server.reports import BOOT, NEXT_BOOT, T0, Collector, S, difference, hello, snapshot, sock
from server.stories import tell

MINUTE, HOUR = 60 * S, 3600 * S
THIRD_BOOT = b"\x03" * 16
A, B = b"a" * 32, b"b" * 32


async def comes(c: Collector, host: Host, at_us: int, *, boot: bytes = BOOT, machine: bytes = b"") -> Session:
    return await c.connect(host, replace(hello(at_us, boot_id=boot), machine_id_hash=machine), at_us)


async def is_refused(c: Collector, host: Host, at_us: int, *, boot: bytes = BOOT, machine: bytes = b"") -> None:
    with pytest.raises(Cloned, match="another machine reports as web1"):
        await comes(c, host, at_us, boot=boot, machine=machine)


async def degraded(c: Collector, at_us: int) -> list[str]:
    [item] = (await c.ask_hosts(now_us=at_us)).items
    return [told.split(":")[0] for told in item.degraded]


def test_another_machine_id_is_refused_and_the_stream_of_the_first_goes_on(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        first = await comes(c, host, T0, machine=A)
        await c.report(first, snapshot(1, T0, sock(7, T0)))
        await is_refused(c, host, T0 + S, boot=NEXT_BOOT, machine=B)
        await c.report(first, difference(2, T0 + 2 * S, previous_us=T0))
        assert await degraded(c, T0 + 3 * S) == ["identity"]
        assert await c.gaps() == []

    tell(tmp_path, story)


def test_a_machine_that_boots_again_is_the_same(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        for n, boot in enumerate((BOOT, BOOT, NEXT_BOOT, NEXT_BOOT, THIRD_BOOT)):
            await comes(c, host, T0 + n * MINUTE, boot=boot, machine=A)
        await c.report(await comes(c, host, T0 + HOUR, boot=THIRD_BOOT), snapshot(1, T0 + HOUR, boot_id=THIRD_BOOT))
        assert await degraded(c, T0 + HOUR) == []

    tell(tmp_path, story)


@pytest.mark.parametrize("machine", [b"", A])
def test_a_boot_that_comes_back_after_another_is_kept_and_the_other_refused(tmp_path: Path, machine: bytes) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await comes(c, host, T0, boot=BOOT, machine=machine)
        await comes(c, host, T0 + MINUTE, boot=NEXT_BOOT, machine=machine)
        await comes(c, host, T0 + 2 * MINUTE, boot=BOOT, machine=machine)
        for n in range(3, 90):
            await is_refused(c, host, T0 + n * MINUTE, boot=NEXT_BOOT, machine=machine)
        # While the other one is about, a boot that nobody knows may be its next.
        await is_refused(c, host, T0 + 90 * MINUTE, boot=THIRD_BOOT, machine=machine)
        last = await comes(c, host, T0 + 91 * MINUTE, boot=BOOT, machine=machine)
        await c.report(last, snapshot(1, T0 + 91 * MINUTE))
        assert await degraded(c, T0 + 92 * MINUTE) == ["identity"]
        # What the other one told is marked.
        assert await c.gaps() == [Gap(T0 + MINUTE, T0 + 2 * MINUTE, TWO_MACHINES)]

    tell(tmp_path, story)


def test_when_the_other_has_not_come_for_an_hour_the_machine_may_boot_again(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        for n, boot in enumerate((BOOT, NEXT_BOOT, BOOT)):
            await comes(c, host, T0 + n * MINUTE, boot=boot)
        await is_refused(c, host, T0 + 3 * MINUTE, boot=NEXT_BOOT)
        await comes(c, host, T0 + 64 * MINUTE, boot=THIRD_BOOT)
        await comes(c, host, T0 + 65 * MINUTE, boot=THIRD_BOOT)

    tell(tmp_path, story)


def test_a_machine_reinstalled_is_the_host_once_it_is_enrolled_anew(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await comes(c, host, T0, machine=A)
        await is_refused(c, host, T0 + MINUTE, boot=NEXT_BOOT, machine=B)
        await c.db.write(machines.enrolled_anew, host.host_id)
        await c.report(
            await comes(c, host, T0 + 2 * MINUTE, boot=NEXT_BOOT, machine=B),
            snapshot(1, T0 + 2 * MINUTE, boot_id=NEXT_BOOT),
        )
        assert await degraded(c, T0 + 2 * MINUTE) == []
        await is_refused(c, host, T0 + 3 * MINUTE, machine=A)
        # Its boots count from then on: that of the other before does not make two of one.
        await comes(c, host, T0 + 4 * MINUTE, boot=NEXT_BOOT, machine=B)

    tell(tmp_path, story)


def test_it_is_told_for_a_day(tmp_path: Path) -> None:
    async def story(c: Collector) -> None:
        host = await c.enroll()
        await c.report(await comes(c, host, T0, machine=A), snapshot(1, T0))
        await is_refused(c, host, T0, machine=B)
        assert await degraded(c, T0 + 23 * HOUR) == ["identity"]
        assert await degraded(c, T0 + 25 * HOUR) == []

    tell(tmp_path, story)
