"""Rows of history and of former_holders by when they ended, along an index of each that tells one ten minutes from
another and no more.

Why no more: what a host ends in ten minutes has one key then, which PostgreSQL notes once for all of it: 9 bytes a row,
where the exact time took 36 to 44 (of former_holders 7 to 13, where it took up to 68). An engine finds the ten minutes
by the index and the time in them by looking.

What must stay true: each condition on when a row ended stands beside the one here that follows from it, for without
that an engine goes through all that is kept of a host; and the order is that of the index first.
"""

from typing import Final

from sqlalchemy import BigInteger, BindParameter, Column, ColumnElement, TextClause, literal, literal_column

from fleetnet_server.storage.schema import ENDED_IN, UNTIL_IN, former_holders, history

_SPAN_US: Final = 600_000_000  # as in ENDED_IN and UNTIL_IN


def _word_for_word(expression: TextClause, of: Column[int]) -> ColumnElement[int]:
    """What an index is of: else no engine would use it."""
    return literal_column(expression.text.replace(of.name, f"{of.table.name}.{of.name}"), BigInteger)


_IN = _word_for_word(ENDED_IN, history.c.closed_at_us)
_FORMER_IN = _word_for_word(UNTIL_IN, former_holders.c.until_us)
_SPAN: ColumnElement[int] = literal_column(str(_SPAN_US), BigInteger)

# The oldest end first, and the latest.
OLDEST_FIRST: Final = (_IN, history.c.closed_at_us)
LATEST_FIRST: Final = (_IN.desc(), history.c.closed_at_us.desc())
# Of former_holders by the ten minutes alone: so nothing has to be sorted.
OLDEST_FORMER_FIRST: Final = _FORMER_IN


def since(us: int | BindParameter[int]) -> ColumnElement[bool]:
    """True of every row that ended at a time or later, and of some more."""
    return _span(us) <= _IN


def until(us: int | BindParameter[int]) -> ColumnElement[bool]:
    """True of every row that ended at a time or before, and of some more."""
    return _span(us) >= _IN


def former_since(us: int) -> ColumnElement[bool]:
    """True of every row of former_holders whose time ended at a time or later, and of some more."""
    return _span(us) <= _FORMER_IN


def former_until(us: int) -> ColumnElement[bool]:
    """True of every row of former_holders whose time ended at a time or before, and of some more."""
    return _span(us) >= _FORMER_IN


def at(us: BindParameter[int]) -> ColumnElement[bool]:
    """True of every row that ended at a time, and of some more."""
    return _span(us) == _IN


def _span(us: int | BindParameter[int]) -> ColumnElement[int]:
    if isinstance(us, int):
        # As engines divide: towards 0.
        return literal(us // _SPAN_US if us >= 0 else -(-us // _SPAN_US), BigInteger)
    return us.op("/", return_type=BigInteger())(_SPAN)
