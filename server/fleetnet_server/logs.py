"""The collector's log: one line of key=value per event, to stderr.

Text that came from a host is escaped and cut here, whoever logs it, so that a process name can neither forge a line
nor speak to a terminal. Secrets are never handed to the log in the first place.
"""

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

_MAX_CHARACTERS = 300
# A line of each kind at most this often; what was left out is counted on the next one.
_QUIET_S = 10.0


def configure() -> None:
    """Send everything, the few lines of our libraries included, to stderr in one form."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _in_order,
            _escape,
            structlog.processors.LogfmtRenderer(bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Foreign()], level=logging.WARNING, force=True)


class Sparing:
    """A log for events that a stranger can cause: each kind at most every ten seconds, with a count of the rest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def warning(self, event: str, kind: str, **details: object) -> None:
        """Log `event`, or count it. `kind` comes from a closed set, for the kinds are remembered."""
        now = self._clock()
        if now - self._last.get(kind, now - _QUIET_S) < _QUIET_S:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._last[kind] = now
        if count := self._left_out.pop(kind, 0):
            details["left_out"] = count
        structlog.get_logger().warning(event, **details)


class _Foreign(logging.Handler):
    """Lines of libraries, in our form. A traceback is said as what failed and where, on the same line."""

    def emit(self, record: logging.LogRecord) -> None:
        details: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            details.update(failure(record.exc_info[1]))
        structlog.get_logger().log(record.levelno, record.getMessage(), **details)


def failure(error: BaseException) -> dict[str, object]:
    """What failed and where, for the line about an error that nobody expected."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""
    return {"error": f"{type(error).__name__}: {error}", "where": where}


def _in_order(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    first = {key: event.pop(key) for key in ("at", "level", "event") if key in event}
    return {**first, **event}


def _escape(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: escaped(value) if isinstance(value, str) else value for key, value in event.items()}


def escaped(text: str) -> str:
    """`text` with everything unprintable as its Python escape, and cut."""
    cut = text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in cut
    )
