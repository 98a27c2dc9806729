"""What a Python process holds, counted by itself once its garbage is collected: see `sitecustomize.py` beside this.

Memory comes and goes with garbage and with what malloc keeps; what a process holds is nearly the same number after the
same work, however busy the machine.
"""

import itertools
import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.growth import descriptors

_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Held:
    """At one moment."""

    blocks: int  # of Python's allocator: an object is one or a few
    types: dict[str, int]  # objects that the collector of garbage knows, by type
    bytes: int  # that malloc has given out, to all but Python's allocator
    descriptors: int

    @property
    def lasting(self) -> int:
        """Blocks, but for what comes and goes by itself: weak references, of which sets of them are tidied now and
        then, and timers that were called off, of which asyncio keeps up to a hundred and as many as are still to
        come; each is a handle, its context and its arguments."""
        timers = self.types.get("asyncio.events.TimerHandle", 0)
        return self.blocks - self.types.get("weakref.ReferenceType", 0) - 3 * timers


@dataclass(frozen=True, slots=True)
class Growth:
    """From one lap of the same work to the next."""

    blocks: int
    bytes: int
    descriptors: int
    most: tuple[tuple[str, int], ...]  # of which types there are more, for whoever reads of a test that failed

    @classmethod
    def between(cls, before: Held, after: Held) -> Self:
        """What there is more of."""
        more = ((name, count - before.types.get(name, 0)) for name, count in after.types.items())
        most = sorted(more, key=lambda one: one[1], reverse=True)[:10]
        return cls(
            after.lasting - before.lasting,
            after.bytes - before.bytes,
            after.descriptors - before.descriptors,
            tuple(most),
        )

    @classmethod
    def least(cls, laps: Sequence[Held]) -> Self:
        """Of each kind the least of any two laps that follow one another: what grows in every one of them."""
        each = [cls.between(before, after) for before, after in itertools.pairwise(laps)]
        return cls(
            min(one.blocks for one in each),
            min(one.bytes for one in each),
            min(one.descriptors for one in each),
            min((one.most for one in each), key=lambda most: sum(count for _, count in most)),
        )


class Inside:
    """A process to be looked into, which is to be started with `environment`."""

    def __init__(self, directory: Path) -> None:
        self._told = directory / "inside"

    @property
    def environment(self) -> dict[str, str]:
        """What the process has to be told."""
        return {"PYTHONPATH": str(Path(__file__).parent), "INSIDE": str(self._told)}

    def look(self, pid: int) -> Held:
        """What it holds now."""
        self._told.unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR1)
        deadline_s = time.monotonic() + _WITHIN_S
        while not self._told.exists():
            if time.monotonic() > deadline_s:
                raise TimeoutError("the process did not count what it holds")
            time.sleep(0.01)
        told = json.loads(self._told.read_text())
        return Held(told["blocks"], told["types"], told["bytes"], descriptors(pid))
