"""Named points at which a test has this agent fail; inert unless the environment names them.

`FLEETNET_FAILPOINTS="before-write=kill@7,after-look=trace:/tmp/looks"`: comma-separated NAME=ACTION[@N]; with @N the
action is done the N-th time the point is reached and never again, else every time. The actions:

    kill            SIGKILL to this process: what a power cut is to it
    error           OSError, as of a disk
    sleep:SECONDS   this thread stands still
    trace:FILE      a line is added to FILE: CLOCK_BOOTTIME in microseconds, then the numbers that the point knows
    offset:FILE     of `wall-clock` only: the host's clock is ahead by the number of microseconds that FILE holds

What must stay true: without the variable a point costs one look into an empty dictionary. A service is never under
test: where systemd started this process the variable counts for nothing, and that is said. Whoever can set it for a
process could as well set PYTHONPATH for it, so it gives nobody a power that he did not have.

The collector has the same module (fleetnet_server/failpoints.py): neither may import the other.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

VARIABLE: Final = "FLEETNET_FAILPOINTS"
SERVICE_MARKS: Final = ("INVOCATION_ID", "NOTIFY_SOCKET")  # systemd.exec(5): set for what it starts


@dataclass(slots=True)
class Failpoint:
    """One action at one point."""

    action: Callable[[tuple[int, ...]], None]
    at: int  # 0: every time
    reached: int = 0

    def hit(self, numbers: tuple[int, ...]) -> None:
        """The point was reached."""
        self.reached += 1
        if self.at in (0, self.reached):
            self.action(numbers)


def parse(text: str) -> dict[str, list[Failpoint]]:
    """The points of a variable. Raises ValueError for what it cannot mean."""
    points: dict[str, list[Failpoint]] = {}
    for part in filter(None, text.split(",")):
        name, equals, rest = part.partition("=")
        what, at_sign, count = rest.partition("@")
        action, _, argument = what.partition(":")
        if not equals or action not in _ACTIONS or (at_sign and not count.isdecimal()):
            raise ValueError(f"{part!r} is not NAME=ACTION[@N] with one of the actions {', '.join(_ACTIONS)}")
        points.setdefault(name, []).append(Failpoint(_ACTIONS[action](argument), int(count or 0)))
    return points


def wanted(environment: Mapping[str, str]) -> str:
    """What the variable says; nothing in a service."""
    return "" if any(mark in environment for mark in SERVICE_MARKS) else environment.get(VARIABLE, "")


def reached(name: str, *numbers: int) -> None:
    """This point was reached; `numbers` say where in the work, for a trace."""
    for point in _points.get(name, ()):
        point.hit(numbers)


def clock(clock_us: Callable[[], int]) -> Callable[[], int]:
    """The wall clock, or where a test moves it, one that is ahead by what a file says."""
    path = _clock_file
    return (lambda: clock_us() + int(path.read_text())) if path else clock_us


def notice() -> str:
    """One sentence for the log; empty where the variable is not set."""
    if not os.environ.get(VARIABLE):
        return ""
    if not _points:
        return f"{VARIABLE} is set and ignored, for this process is a service; remove it from the unit's environment"
    return f"{VARIABLE} has this process fail at {', '.join(sorted(_points))}, for a test; unset it otherwise"


def _kill(_argument: str) -> Callable[[tuple[int, ...]], None]:
    return lambda _: os.kill(os.getpid(), signal.SIGKILL)


def _error(_argument: str) -> Callable[[tuple[int, ...]], None]:
    def fail(_: tuple[int, ...]) -> None:
        raise OSError(5, f"a failure that {VARIABLE} asked for")

    return fail


def _sleep(argument: str) -> Callable[[tuple[int, ...]], None]:
    seconds = float(argument)
    return lambda _: time.sleep(seconds)


def _trace(argument: str) -> Callable[[tuple[int, ...]], None]:
    def write(numbers: tuple[int, ...]) -> None:
        now_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
        file = os.open(argument, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, " ".join(map(str, (now_us, *numbers))).encode() + b"\n")  # a line whole or not at all
        os.close(file)

    return write


def _offset(argument: str) -> Callable[[tuple[int, ...]], None]:
    global _clock_file
    _clock_file = Path(argument)
    return lambda _: None


_ACTIONS: Final = {"kill": _kill, "error": _error, "sleep": _sleep, "trace": _trace, "offset": _offset}
_clock_file: Path | None = None
try:
    _points = parse(wanted(os.environ))
except ValueError as error:
    sys.exit(f"fleetnet-agent: {VARIABLE} cannot be used: {error}; unset it")
