"""TIME and DURATION as people write them, and times as people read them.

TIME is RFC 3339 (`2026-03-01T14:00:00Z`), `10m ago`, `1h30m ago`, `yesterday 14:00`, `today`, `14:00`, `now`, or
seconds since 1970 (`@1772373600`). Without a zone it is local time. Inside the program a time is microseconds since
1970 UTC, a duration microseconds.
"""

import functools
import re
import time
from datetime import date, datetime, timedelta, timezone

from fleetnet_cli.errors import UsageError

SECOND_US = 1_000_000

# Every spelling of a unit, with its length in microseconds.
_UNITS_US = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1000),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), SECOND_US),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60 * SECOND_US),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600 * SECOND_US),
    **dict.fromkeys(("d", "day", "days"), 86400 * SECOND_US),
    **dict.fromkeys(("w", "week", "weeks"), 7 * 86400 * SECOND_US),
}
_DURATION_PART = re.compile(r"([0-9]{1,12})\s*([a-z]+)\s*", re.ASCII)
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_SECONDS = re.compile(r"@([0-9]{5,11})(?:\.([0-9]{1,9}))?", re.ASCII)  # since 1970, as date(1) takes them
_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})"
    r"(?:[t ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?\s*(z|[+-]\d{2}:\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)
# A clock set a moment apart from the collector's must not turn "now" into the future.
_FUTURE_ALLOWED_US = 5 * SECOND_US


def now_us() -> int:
    """The time on this machine."""
    return time.time_ns() // 1000


def parse_duration(text: str) -> int:
    """`2m`, `1h30m`, `90 seconds` as microseconds, at least one millisecond; UsageError otherwise."""
    total = _duration(text)
    if total is None or total < 1000:
        seconds = text.strip()
        unit_forgotten = seconds.isdigit() and seconds.strip("0")
        hint = f'; did you mean "{seconds}s"?' if unit_forgotten else "; write it as 90s, 2m, 1h30m or 7d"
        raise UsageError(f'"{text}" is not a length of time{hint}')
    return total


def _duration(text: str) -> int | None:
    rest, total = text.strip().lower(), 0
    if not rest:
        return None
    while rest:
        match = _DURATION_PART.match(rest)
        if match is None or match[2] not in _UNITS_US:
            return None
        total += int(match[1]) * _UNITS_US[match[2]]
        rest = rest[match.end() :]
    return total


def parse_time(text: str, now: int) -> int:
    """A TIME that lies in the past, given the present; UsageError otherwise."""
    try:
        at_us = _parse_time(" ".join(text.split()).lower(), now)
    except (ValueError, OverflowError, OSError):
        at_us = None
    if at_us is None or at_us <= 0:
        if meant := _probably(text.strip()):
            raise UsageError(f'"{text}" is not a time; did you mean "{meant}"?')
        forms = '"2026-03-01 14:00", "2026-03-01T14:00:00Z", "10m ago", "yesterday 14:00"'
        raise UsageError(f'"{text}" is not a time; write it like one of {forms}')
    if at_us > now + _FUTURE_ALLOWED_US:
        raise UsageError(f'"{text}" lies in the future; only the past can be asked about')
    return at_us


def _probably(text: str) -> str | None:
    """What a length of time, or a bare number, was probably meant to be; None for anything else."""
    if _SECONDS.fullmatch(f"@{text}"):
        return f"@{text}"
    return f"{text} ago" if _duration(text) else None


def _parse_time(text: str, now: int) -> int | None:
    if text == "now":
        return now
    if text.endswith(" ago"):
        length_us = _duration(text.removesuffix(" ago"))
        return None if length_us is None else now - length_us
    if seconds := _SECONDS.fullmatch(text):
        return int(seconds[1]) * SECOND_US + int((seconds[2] or "0").ljust(6, "0")[:6])
    today = datetime.fromtimestamp(now / SECOND_US).date()  # noqa: DTZ006 RUF100  # local time is meant
    word, _, clock = text.partition(" ")
    if word == "yesterday":
        return _on_day(today - timedelta(days=1), clock or "00:00")
    if word == "today":
        return _on_day(today, clock or "00:00")
    if _CLOCK.fullmatch(text):
        return _on_day(today, text)
    return _rfc3339(text)


def _on_day(day: date, clock: str) -> int | None:
    match = _CLOCK.fullmatch(clock)
    if match is None:
        return None
    local = datetime(day.year, day.month, day.day, int(match[1]), int(match[2]), int(match[3] or 0))
    return _microseconds(local)


def _rfc3339(text: str) -> int | None:
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(g or 0) for g in match.groups()[:6])
    fraction_us = int((match[7] or "0").ljust(6, "0")[:6])
    return _microseconds(datetime(year, month, day, hour, minute, second, fraction_us, tzinfo=_zone(match[8])))


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text == "z":
        return timezone.utc  # noqa: UP017  # beside timezone(…) below, the same word
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))
    return timezone(-offset if text[0] == "-" else offset)


def _microseconds(moment: datetime) -> int:
    # astimezone takes a moment without a zone as local time. The difference is exact, timestamp() is a float.
    since_1970 = moment.astimezone(timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017  # likewise
    return since_1970 // timedelta(microseconds=1)


@functools.lru_cache(maxsize=4096)  # when a host was last seen, and a process began, is said in many rows
def utc(at_us: int) -> str | None:
    """RFC 3339 in UTC with microseconds, for programs; None where there is no time."""
    if at_us == 0:
        return None
    seconds, fraction_us = divmod(at_us, SECOND_US)
    return f"{_utc_second(seconds)}.{fraction_us:06d}Z"


@functools.lru_cache(maxsize=4096)
def _utc_second(seconds: int) -> str:
    # Many rows share a second, and formatting is the costly part of a row.
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "9999-12-31T23:59:59"  # no clock says this; it must not end an answer


@functools.lru_cache(maxsize=4096)
def local_second(seconds: int) -> str:
    """Local date and time to the second, without the zone."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "9999-12-31 23:59:59"  # likewise


def local(at_us: int) -> str:
    """Local date and time, without the zone; "-" where there is no time."""
    return local_second(at_us // SECOND_US) if at_us else "-"


def zone_name() -> str:
    """The local zone as a heading shows it: "UTC", or both names where clocks change, "CET/CEST"."""
    return "/".join(dict.fromkeys(time.tzname))


def age(length_us: int) -> str:
    """A length of time in one unit, as a person would say it: "40 s", "12 min", "3 h", "2 d"."""
    seconds = max(length_us, 0) // SECOND_US
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size * (2 if unit == "d" else 1):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
