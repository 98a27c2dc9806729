"""Rows of history by when they ended, along an index that tells one ten minutes from another and no more.

Why no more: what a host ends in ten minutes has one key then, which PostgreSQL notes once for all of it: 9 bytes a row,
where the exact time took 36 to 44. An engine finds the ten minutes by the index and the time in them by looking.

What must stay true: each condition on when a row ended stands beside the one here that follows from it, for without
that an engine goes through all that is kept of a host; and the order is that of the index first.
"""

from typing import Final

from sqlalchemy import BigInteger, BindParameter, ColumnElement, literal, literal_column

from fleetnet_server.storage.schema import ENDED_IN, history

_SPAN_US: Final = 600_000_000  # as in ENDED_IN
# Word for word what the index is of: else no engine would use it.
_IN: ColumnElement[int] = literal_column(ENDED_IN.text.replace("closed_at_us", "history.closed_at_us"), BigInteger)
_SPAN: ColumnElement[int] = literal_column(str(_SPAN_US), BigInteger)

# The oldest end first, and the latest.
OLDEST_FIRST: Final = (_IN, history.c.closed_at_us)
LATEST_FIRST: Final = (_IN.desc(), history.c.closed_at_us.desc())


def since(us: int | BindParameter[int]) -> ColumnElement[bool]:
    """True of every row that ended at a time or later, and of some more."""
    return _span(us) <= _IN


def until(us: int | BindParameter[int]) -> ColumnElement[bool]:
    """True of every row that ended at a time or before, and of some more."""
    return _span(us) >= _IN


def at(us: BindParameter[int]) -> ColumnElement[bool]:
    """True of every row that ended at a time, and of some more."""
    return _span(us) == _IN


def _span(us: int | BindParameter[int]) -> ColumnElement[int]:
    if isinstance(us, int):
        # As engines divide: towards 0.
        return literal(us // _SPAN_US if us >= 0 else -(-us // _SPAN_US), BigInteger)
    return us.op("/", return_type=BigInteger())(_SPAN)
