"""`-o csv`: RFC 4180 with a header, an item a row, columns named as the fields of the JSON.

A field that is an object is a column for each of its own (`timer.kind`), a list is words with spaces between them, and
what is null is empty. Text is made safe twice: for a terminal, and for a spreadsheet, which would take what begins with
= + - @ for a formula: before it stands an apostrophe. Numbers are as they are.
"""

import csv
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeVar

from fleetnet_cli.output.flow import write_lines
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Answer
from fleetnet_cli.text import visible

Item = TypeVar("Item")
_Cell = Callable[[Any], str]

# At the beginning, or where a spreadsheet set to semicolons would begin a cell, also a quoted one; wide signs are
# formulas to some, too. Tab and CR, which lead into a formula as well, are numbers by then.
_FORMULA = re.compile(r"""(^|;)(?=[ "]*[=+\-@\uff1d\uff0b\uff0d\uff20])""")


class _Line:
    """Takes what csv writes and hands it back."""

    def write(self, line: str) -> str:
        return line


def write(answer: Answer[Item], presentation: Presentation[Item], out: Terminal) -> int:
    """Writes a header and all rows; returns how many rows."""
    return max(write_lines(_lines(answer, presentation), out) - 1, 0)


def _lines(answer: Answer[Item], presentation: Presentation[Item]) -> Iterator[str]:
    row = csv.writer(_Line()).writerow
    items: Iterator[dict[str, Any]] = (presentation.as_json(item) for item in answer)
    fields = presentation.fields
    if not fields:
        # What has not said its fields shows them by its first item.
        first = next(items, None)
        if first is None:
            return
        fields = tuple(_names(first))
        items = chain([first], items)
    yield row(fields)
    columns = [_column(name, presentation.cells) for name in fields]
    for item in items:
        yield row([cell(item.get(field)) for field, cell in columns])


def _names(item: Mapping[str, object]) -> Iterator[str]:
    for field, value in item.items():
        yield from (f"{field}.{inner}" for inner in value) if isinstance(value, dict) else (field,)


def _column(name: str, cells: Mapping[str, _Cell]) -> tuple[str, _Cell]:
    """The field of an item that a column is of, and what its cell is made of that."""
    field, _, inner = name.partition(".")
    own = cells.get(name)
    cell: _Cell = _cell if own is None else lambda value: "" if value is None else _cell(own(value))
    if inner:
        return field, lambda value: "" if value is None else cell(value.get(inner))
    return field, cell


def _cell(value: Any) -> str:  # noqa: ANN401  # whatever JSON has
    if value is None:
        return ""
    if isinstance(value, str):
        return _seen_before(value) if len(value) < _WORTH_REMEMBERING else safe(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return safe(" ".join(map(str, value))) if isinstance(value, list) else str(value)


def safe(text: str) -> str:
    """Text that neither a terminal nor a spreadsheet acts upon."""
    return _FORMULA.sub(r"\1'", visible(text))


# Most texts of a row are those of the row before, and to look at each anew is most of what a row costs.
_WORTH_REMEMBERING = 100
_seen_before = functools.lru_cache(maxsize=4096)(safe)
