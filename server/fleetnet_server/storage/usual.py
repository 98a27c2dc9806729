"""What most rows of sockets have in common: it is left empty in the tables, where it then takes no room.

What must stay true: the usual is never stored as what it is, so that two rows are alike where their columns are;
whoever reads such a column for more than writing it down again, or asks for it, does so by `told` or `last_seen`.
"""

from typing import Any, Final

from sqlalchemy import ColumnElement, LargeBinary, Table, Text, func, literal_column

from fleetnet_server.storage.metadata import NoBytes
from fleetnet_server.storage.schema import history

TCP: Final = 6  # IANA
IPV4: Final = 4
DIAG: Final = 1  # Source of the wire
_NUMBERS: Final = {
    "protocol": TCP,
    "family": IPV4,
    "source": DIAG,
    "inode": 0,
    "netns": 0,
    "recv_queue": 0,
    "send_queue": 0,
    "peer_inode": 0,
    "scope": 0,
    "type": 0,
}
_TEXTS: Final = ("interface", "path")  # of which there is none
COLUMNS: Final = (*_NUMBERS, *_TEXTS)


def told(table: Table, name: str) -> ColumnElement[Any]:
    """A column of current or history, under its name, with the usual where it is empty."""
    column = table.c[name]
    return func.coalesce(column, _usual(column)).label(name) if name in COLUMNS else column


def is_so(table: Table, name: str, value: int) -> ColumnElement[bool]:
    """Whether a column of numbers has this value, in words of which an engine has counted how many rows they mean."""
    column = table.c[name]
    return column.is_(None) if _NUMBERS[name] == value else column == value


def last_seen() -> ColumnElement[int]:
    """The last look that confirmed a row of history, under its name."""
    return func.coalesce(history.c.last_seen_us, history.c.closed_at_us).label("last_seen_us")


def _usual(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Written into the statement, so that nobody has to hand it over."""
    if column.key in _NUMBERS:
        return literal_column(str(_NUMBERS[column.key]), column.type)
    return NoBytes() if isinstance(column.type, LargeBinary) else literal_column("''", Text)
