"""What a format must know of a kind of item: its name, its JSON, its columns, and what to say when there is none.

A new command gives one to asking.show() and has every format. It must give

- `kind`, its own or one that there is, with its schema in docs/json/KIND.json;
- `as_json`: every item has the same keys in the same order, all of them in the schema; null is where there is nothing;
- `columns` and `nothing`;

and should give

- `host_of`: for `-o name`, and for the colour of a stale host's rows;
- `fields`: the keys of `as_json` in its order, those of an object as `timer.kind`. Without them `-o csv` takes the
  first item's, and has no header where nothing is found, which scripts rely on;
- `cells`: what `-o csv` makes of a list of objects;
- `wide`: more columns for `-o wide`, where no cell is shortened either;
- `name_of`: where the bare name of an item is not its host's.

A command for which a format makes no sense tells options.takes_common() which ones do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")

FORMATS = ("table", "wide", "json", "ndjson", "csv", "name")
NAMELESS = FORMATS[:-1]  # of items that have no name which a program could take
OF_AUDIT = ("junit", "sarif")  # beside these
OF_MAP = ("dot", "mermaid")  # likewise
OF_TEXTS = ("table", "wide", "json", "ndjson")


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
class Tally(Generic[Item]):
    """Items that have something about them which is said once, of all of them together."""

    has: Callable[[Item], bool]
    sentence: Callable[[int], str]  # of so many, one at least


@dataclass(frozen=True, slots=True)
class Presentation(Generic[Item]):
    """A kind of item, as every format needs it."""

    kind: str
    as_json: Callable[[Item], dict[str, object]]
    columns: tuple[Column[Item], ...]
    nothing: str  # "nothing listens on 443"
    host_of: Callable[[Item], str] = lambda _item: ""
    note: Callable[[Item], str | None] = _no_note  # what must be said of an item beneath the table
    tally: Tally[Item] | None = None  # likewise, of all that have it
    wide: tuple[Column[Item], ...] = ()  # in place of `columns`; (): these, uncut
    fields: tuple[str, ...] = ()  # (): those of the first item
    cells: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)  # by field, from its value in the JSON
    name_of: Callable[[Item], str] | None = None  # None: host_of
    of_hosts: bool = True  # False: about this machine, so how far the answer reaches is no question
