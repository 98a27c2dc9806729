"""What a collector does about memory that it does not use any more."""

import asyncio
import subprocess
import sys

import pytest
from fleetnet_server.run import collector, memory
from fleetnet_server.services.health import Health

# More than Python's own allocator takes, and less than malloc maps by itself; every tenth stays.
AFTER_A_BURST = """
from bench.growth import taken_bytes
from fleetnet_server.run import memory
import os

burst = [bytes(4_000) for _ in range(20_000)]
kept = burst[::10]
del burst
before = taken_bytes(os.getpid())
memory.give_back()
print(before, taken_bytes(os.getpid()))
assert set(kept) == {bytes(4_000)}
"""


def test_what_a_burst_has_left_free_between_what_is_in_use_goes_back_to_the_kernel() -> None:
    done = subprocess.run([sys.executable, "-c", AFTER_A_BURST], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 70_000_000
    assert after < before - 50_000_000


def test_a_collector_gives_back_again_and_again_as_long_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    times = 0

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        told: asyncio.Future[str] = loop.create_future()

        def give_back() -> None:
            nonlocal times
            times += 1
            if times == 3:
                loop.call_soon_threadsafe(told.set_result, "SIGTERM")

        monkeypatch.setattr(memory, "give_back", give_back)
        monkeypatch.setattr(memory, "EVERY_S", 0.0)
        await collector._until(told, Health(), ())

    asyncio.run(serve())
    assert times >= 3


SELDOM = """
import gc
from fleetnet_server.run import memory

class Cycle:
    ended = 0
    def __init__(self):
        self.me = self
    def __del__(self):
        Cycle.ended += 1

memory.search_garbage_seldom()
for _ in range(40_000):
    Cycle()  # each with its dictionary
few = Cycle.ended
memory.collect()
all_of_them = Cycle.ended
for _ in range(1_000):
    Cycle()
memory.collect()
print(few, all_of_them, Cycle.ended, len(gc.get_objects()) < 10_000)
"""


def test_garbage_in_cycles_is_found_and_only_where_there_is_much_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", SELDOM], capture_output=True, text=True, check=True)
    few, found, later, small = done.stdout.split()
    assert int(few) < 40_000
    assert int(found) == int(later) == 40_000  # a thousand more are not worth looking for
    assert small == "True"  # what was there before is none of what is looked at
