"""What a format must know of a kind of item: its name, its JSON, its columns, and what to say when there is none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Column(Generic[Item]):
    """One column of a table. Cells need not be safe for a terminal; the table sees to that."""

    heading: str
    cell: Callable[[Item], str]
    right: bool = False  # numbers are set against the right edge
    least: int = 0  # how far it may be squeezed on a narrow terminal; 0: not at all
    if_any: bool = False  # shown only where some row has something in it
    leaves: int = 0  # where squeezing is not enough, columns leave: 1 first, then 2, …; 0: never


def _no_note(_item: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Presentation(Generic[Item]):
    """A kind of item, as every format needs it."""

    kind: str
    as_json: Callable[[Item], dict[str, object]]
    columns: tuple[Column[Item], ...]
    nothing: str  # "nothing listens on 443"
    host_of: Callable[[Item], str] = lambda _item: ""
    note: Callable[[Item], str | None] = _no_note  # what must be said of an item beneath the table
    of_hosts: bool = True  # False: about this machine, so how far the answer reaches is no question
