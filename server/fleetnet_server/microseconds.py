"""Times as they are told and stored: whole microseconds since 1970, UTC."""

import datetime
import time


def now() -> int:
    """By this machine's clock."""
    return time.time_ns() // 1_000


def of(moment: datetime.datetime) -> int:
    """Of a moment that says its zone."""
    return int(moment.timestamp() * 1_000_000)
