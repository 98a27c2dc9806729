"""How far numbers and texts of a host may go. What cannot be is refused with BadBatch, text is cut with a mark.

What leaves here can be stored by every engine: integers fit 64 bits with a sign, text holds no NUL.
"""

from fleetnet_server.errors import BadBatch

MAX_INTEGER = 2**63 - 1
LAST_US = 4_102_444_800_000_000  # 2100-01-01 UTC: no time is later
# Longest text kept, in characters.
NAME = 64
PATH = 1_024
WORDS = 256
SENTENCE = 512

_CUT_MARK = "…"


def at_most(size: int, most: int, what: str) -> None:
    """Bounds how many of something one batch may hold."""
    if size > most:
        raise BadBatch(f"a batch holds {size} {what}; at most {most} are taken")


def text(told: str, most: int) -> str:
    """Cut to at most so many characters."""
    # PostgreSQL cannot keep NUL in text, and no name of the kernel holds one.
    if len(told) <= most and "\0" not in told:
        return told
    clean = told.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return clean if len(clean) <= most else clean[: most - 1] + _CUT_MARK


def enum(value: int, last: int, what: str) -> int:
    """One of an enumeration that begins with 1."""
    if not 1 <= value <= last:
        raise BadBatch(f"{what} {value} is not known to this collector")
    return value


def small(value: int, most: int, what: str) -> int:
    """A number that is not negative and not above `most`."""
    if value > most:
        raise BadBatch(f"{what} {value} is above {most}")
    return value


def count(value: int, what: str) -> int:
    """A number that is not negative."""
    return small(value, MAX_INTEGER, what)


def time(time_us: int) -> int:
    """A time that must be there."""
    if time_us <= 0:
        raise BadBatch("a time that must be there is missing")
    return min(time_us, LAST_US)


def boot_id(value: bytes) -> bytes:
    """The boot of a host."""
    if len(value) != 16:
        raise BadBatch(f"the boot id has {len(value)} bytes instead of 16")
    return value
