"""Signals that end a run: the first makes it end in good order, the others find it ending already.

What must stay true: a signal never comes between the start of something and its entry among what is to be ended.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_held = False
_came: int | None = None


def install() -> None:
    """From now on a signal raises SystemExit in the main thread, once."""
    for number in _ENDING:
        signal.signal(number, _end)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """What comes in here takes effect at its end."""
    global _held
    _held = True
    try:
        yield
    finally:
        _held = False
    if _came is not None:
        raise SystemExit(128 + _came)  # as a shell has it


def _end(number: int, _frame: FrameType | None) -> None:
    global _came
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    _came = number
    if not _held:
        raise SystemExit(128 + number)
