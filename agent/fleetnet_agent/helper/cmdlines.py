"""Reads /proc/PID/cmdline, which may hang: the kernel reads it out of the process's own memory, under the lock of that
memory (fs/proc/base.c, get_mm_cmdline()). A process that is stuck in the kernel with that lock held, on a network or
FUSE file system that does not answer, holds up all who ask for its command line. Standard library only.

    1. A thread reads one after the other; the asker waits.
    2. Where nothing has come for PATIENCE_S, that thread is left alone with what it hangs in, and another goes on
       with the rest.
    3. A process in which a thread hangs is not read again while it does. With MOST_STUCK such threads none is read.

So a process that does this hides its command line and nothing else. All other files that the scan reads are the
kernel's own, and do not hang.
"""

import os
import threading
from collections.abc import Iterable
from typing import Final

PATIENCE_S: Final = 0.3
MOST_STUCK: Final = 4
CMDLINE_BYTES: Final = 511  # what netstat(8) reads of it


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, CMDLINE_BYTES)
    finally:
        os.close(descriptor)


class _Round:
    """What one thread reads. It goes on only as long as the asker has not turned away."""

    def __init__(self, paths: list[str]) -> None:
        self.left = list(reversed(paths))
        self.at = ""
        self.found: dict[str, bytes] = {}
        self.stuck = False
        self.lock = threading.Lock()  # around what both threads change
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._read, name="cmdlines", daemon=True)

    def _read(self) -> None:
        while True:
            with self.lock:
                if self.stuck or not self.left:
                    break
                self.at = self.left.pop()
            try:
                line = _read(self.at)
            except OSError:
                continue  # it ended
            with self.lock:
                if self.stuck:
                    break
                self.found[self.at] = line
        self.over.set()

    def give_up(self, left: int) -> bool:
        """Turn away if no more than that was left before either; whether it hangs."""
        with self.lock:
            self.stuck = len(self.left) == left and not self.over.is_set()
        return self.stuck


class CommandLines:
    """Reads command lines, never waiting long for one."""

    def __init__(self, patience_s: float = PATIENCE_S, most_stuck: int = MOST_STUCK) -> None:
        self._patience_s = patience_s
        self._most_stuck = most_stuck
        self._stuck: list[_Round] = []
        self._one_at_a_time = threading.Lock()

    def read(self, paths: Iterable[str]) -> dict[str, bytes]:
        """The beginning of each of these files, without those that ended or hang."""
        with self._one_at_a_time:
            return self._read(paths)

    def _read(self, paths: Iterable[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        self._stuck = [each for each in self._stuck if each.thread.is_alive()]
        hanging = {each.at for each in self._stuck}
        left = [path for path in paths if path not in hanging]
        while left and len(self._stuck) < self._most_stuck:
            reading = _Round(left)
            self._wait(reading)
            found |= reading.found
            left = list(reversed(reading.left)) if reading.stuck else []
        return found

    def _wait(self, reading: _Round) -> None:
        left = len(reading.left) - 1  # as soon as it is at the first of them
        reading.thread.start()
        while not reading.over.wait(self._patience_s):
            if reading.give_up(left):
                self._stuck.append(reading)
                return
            left = len(reading.left)
