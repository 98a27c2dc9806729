"""A collector that runs deletes what is too old by itself, and says so to all who ask how it does."""

import asyncio
import re
import time
from pathlib import Path

from fleetnet_server.storage import kept
from server.monitored import metrics
from server.reports import TIME_WAIT, Collector, S, difference, gone, hello, snapshot, sock
from server.running import Running, run, wait_for

DAY = 86_400 * S


async def leave(data: Path) -> None:
    """What a collector has stored: two TIME_WAITs, one of which ended ten days ago, and a listener that did too."""
    now_us = time.time_ns() // 1_000
    first_us = now_us - 11 * DAY
    c = Collector(f"sqlite:///{data / 'fleetnet.db'}")
    try:
        session = await c.connect(await c.enroll(at_us=first_us), hello(first_us), first_us)
        told = (sock(1, first_us, TIME_WAIT), sock(2, first_us, TIME_WAIT), sock(3, first_us))
        await c.report(session, snapshot(1, first_us, *told))
        for sequence, cookies, at_us in ((2, (1, 3), now_us - 10 * DAY), (3, (2,), now_us - S)):
            await c.report(session, difference(sequence, at_us, closed=tuple(gone(n, at_us) for n in cookies)))
    finally:
        await c.db.close()


def test_what_is_too_old_is_gone_soon_after_the_start_and_the_doctor_says_where_it_should_be(used: Path) -> None:
    asyncio.run(leave(used))
    running = Running(used, "--keep-sockets-days=forever")
    try:
        line = re.search(r'event="deleted what is too old".*', running.await_log("deleted what is too old"))
        assert line
        assert line[0].endswith(" brief=1")
        counted = wait_for(
            lambda: told if (told := metrics(running))["fleetnet_retention_ended_timestamp_seconds"] else None, "an end"
        )
        assert counted["fleetnet_deleted_rows_total|brief"] == 1
        assert counted["fleetnet_kept_since_timestamp_seconds|brief"] < time.time() - 9 * 86_400
        assert counted["fleetnet_kept_since_timestamp_seconds|listeners"] == 0
        status, said = run("doctor", f"--data={used}", "--keep-sockets-days=forever")
        assert status == 0, said
        assert re.search(
            r"^ok +history of brief is kept for 1 d; what had ended by \S+ \S+ UTC has been deleted$", said, re.M
        )
        assert re.search(r"^ok +history of sockets is kept for ever$", said, re.M)
    finally:
        running.kill()

    # As if no round had come to its end for days.
    async def set_back() -> None:
        c = Collector(f"sqlite:///{used / 'fleetnet.db'}")
        await c.db.write(kept.set_back, 1, time.time_ns() // 1_000 - 4 * DAY)
        await c.db.close()

    asyncio.run(set_back())
    status, said = run("doctor", f"--data={used}", "--keep-sockets-days=forever")
    assert status == 2
    (problem,) = (line for line in said.splitlines() if line.startswith("problem"))
    assert "history of brief is kept for 1 d" in problem
    assert "has not been looked through: see that the collector has run for an hour, and its log" in problem
