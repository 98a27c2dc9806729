"""Collectors before one database, each of which is killed some times and started again.

They die by SIGKILL, either from outside after so many more batches were acknowledged, or by their own hand at a named
point (fleetnet_server/failpoints.py). All have one CA: its two files are copied, as an administrator has to do.
"""

import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collectors.progress import WITHIN_S, Progress
from server.running import Running

# Where a group is half done, done, committed and not yet acknowledged; and a stream begun that nobody was told of.
POINTS: Final = ("after-hello", "mid-group", "before-commit", "after-commit-before-ack")
_MISTAKES: Final = ("Traceback", "failed inside", "mistake of the collector", "set aside", "two machines")


@dataclass(frozen=True, slots=True)
class Death:
    """How a collector's life ends."""

    point: str  # empty: from outside
    after: int  # the point is reached for this time; from outside: so many more batches acknowledged by anybody

    def __str__(self) -> str:
        return f"{self.point or 'kill'}@{self.after}"


def draw_deaths(draw: random.Random, count: int) -> list[Death]:
    """So many lives end, and how."""
    return [Death(draw.choice(("", *POINTS)), draw.randint(5, 40)) for _ in range(count)]


class Place:
    """One collector: a data directory, and one life after another."""

    def __init__(self, data: Path, database: str, progress: Progress, like: "Place | None" = None) -> None:
        self._data = data
        self._database = database
        self._progress = progress
        self._lives = 0
        self.running: Running | None = None  # None while it is down
        if like is not None:
            data.mkdir(mode=0o700)
            for name in ("ca.pem", "ca.key"):
                shutil.copy(like._data / name, data / name)

    @property
    def name(self) -> str:
        """Of its directory."""
        return self._data.name

    def start(self, death: Death | None = None) -> Running:
        """Begin a life. The database knows it by a name of its own, and so the witness does."""
        self._lives += 1
        name = f"{self.name}.{self._lives}"
        point = f"{death.point}=kill@{death.after}" if death is not None and death.point else ""
        self.running = Running(self._data, f"--database={self._database}&application_name={name}", failpoints=point)
        return self.running

    def live(self, deaths: list[Death]) -> None:
        """Live and die so often, and live on."""
        try:
            for death in deaths:
                running = self.running or self.start(death)
                if death.point:
                    self._await_end(running)
                else:
                    self._progress.await_more(death.after)
                if self._progress.failed.is_set():
                    return
                running.kill()
                self.running = None
            self.running = self.running or self.start()
        except BaseException:
            self._progress.fail()
            raise

    def _await_end(self, running: Running) -> None:
        until_s = time.monotonic() + WITHIN_S
        while running.process.poll() is None and not self._progress.failed.wait(0.01):
            assert time.monotonic() < until_s, f"{self.name} did not die in time"

    def kill(self) -> None:
        """End it, and whoever waits for its end."""
        if self.running is not None:
            self.running.kill()

    def complaints(self) -> list[str]:
        """What it has said, in all its lives, that no killing of others explains."""
        lines = self._data.with_name(f"{self.name}.log").read_text().splitlines()
        return [line for line in lines if any(mark in line for mark in _MISTAKES)]
