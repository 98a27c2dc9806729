"""`-o table` and `-o wide`: aligned columns, then a line that says how far the answer reaches.

The first rows decide how wide the columns are, and which of those that are seldom needed are there; the rest flows. A
later row that needs one more gets a heading anew. On a narrow terminal columns are squeezed, and where
that is not enough the least important are left out, so that a row stays a line; in a pipe or a file, and with
`-o wide`, nothing is cut.
All text is made safe here, in one place.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TypeVar

from fleetnet_cli.errors import BrokenAnswer
from fleetnet_cli.output import coverage
from fleetnet_cli.output.presentation import Column, Presentation
from fleetnet_cli.output.terminal import BOLD, YELLOW, Terminal
from fleetnet_cli.records import Answer, Selection
from fleetnet_cli.text import fit, visible, width
from fleetnet_cli.times import zone_name

Item = TypeVar("Item")

_ROWS_THAT_DECIDE = 1000
_ROWS_A_WRITE = 200
_GUTTER = "  "
EMPTY = "-"


def write(
    answer: Answer[Item],
    presentation: Presentation[Item],
    out: Terminal,
    *,
    quiet: bool,
    asked_at: bool,
    asked: Selection,
    wide: bool = False,
) -> int:
    """Writes the whole answer; returns how many items it had."""
    if wide:
        presentation = replace(presentation, columns=presentation.wide or presentation.columns)
    rows = _Rows(answer, presentation)
    found = _write_rows(rows, presentation.columns, replace(out, width=None) if wide else out, heading=not quiet)
    if rows.broken is not None:
        raise rows.broken
    if not quiet and not presentation.of_hosts:
        coverage.write_notes(rows.notes, out)
    elif not quiet:
        zone_shown = found > 0 and any(f"({zone_name()})" in c.heading for c in presentation.columns)
        coverage.write(
            answer, out, found=found, nothing=presentation.nothing, asked_at=asked_at, zone_shown=zone_shown,
            asked=asked, notes=rows.notes,
        )  # fmt: skip
    return found


class _Rows:
    """Items as rows of safe text. Where the answer breaks off the rows end, so that what came is still shown."""

    def __init__(self, answer: Answer[Item], presentation: Presentation[Item]) -> None:
        self._rows = self._made(answer, presentation)
        self._of_items: dict[str, None] = {}
        self._tally = presentation.tally
        self._tallied = 0
        self.broken: BrokenAnswer | None = None

    @property
    def notes(self) -> list[str]:
        """What must be said of the rows so far."""
        together = [self._tally.sentence(self._tallied)] if self._tally and self._tallied else []
        return [*together, *self._of_items]

    def __iter__(self) -> Iterator[tuple[bool, list[str]]]:
        return self._rows

    def _made(self, answer: Answer[Item], presentation: Presentation[Item]) -> Iterator[tuple[bool, list[str]]]:
        stale = {s.host for s in answer.coverage.hosts_stale}
        cells = [c.cell for c in presentation.columns]
        tally = presentation.tally
        try:
            for item in answer:
                if (note := presentation.note(item)) is not None:
                    self._of_items[note] = None
                self._tallied += tally is not None and tally.has(item)
                yield presentation.host_of(item) in stale, [visible(cell(item)) or EMPTY for cell in cells]
        except BrokenAnswer as error:
            self.broken = error


def _write_rows(rows: _Rows, columns: Sequence[Column[Item]], out: Terminal, *, heading: bool) -> int:
    flowing = iter(rows)
    first = list(islice(flowing, _ROWS_THAT_DECIDE))
    if not first:
        return 0
    deciding = [row for _, row in first]
    shape = form(deciding, columns, out.width, heading)
    if heading:
        out.write(out.paint(shape.line([c.heading for c in columns]), BOLD) + "\n")
    found = 0
    batch: list[str] = []
    for stale, row in chain(first, flowing):
        if any(row[i] != EMPTY for i in shape.absent):
            shape = form([*deciding, row], columns, out.width, heading)
            batch.extend([shape.line([c.heading for c in columns])] if heading else [])
        line = shape.line(row)
        batch.append(out.paint(line, YELLOW) if stale else line)
        found += 1
        if len(batch) >= _ROWS_A_WRITE:
            out.write("\n".join(batch) + "\n")
            batch.clear()
    if batch:
        out.write("\n".join(batch) + "\n")
    return found


@dataclass(frozen=True, slots=True)
class _Cell:
    """Where a column of the items goes, and how wide it is there."""

    position: int
    width: int
    right: bool
    cut: bool  # longer text is cut and not let overflow


@dataclass(frozen=True, slots=True)
class Form:
    """A line's layout: the columns that have room."""

    cells: list[_Cell]
    absent: frozenset[int]  # columns that had nothing to show

    def line(self, row: Sequence[str]) -> str:
        """One row, without its line end."""
        shown = []
        for cell in self.cells:
            text = fit(row[cell.position], cell.width) if cell.cut else row[cell.position]
            padding = " " * (cell.width - width(text))
            shown.append(padding + text if cell.right else text + padding)
        return _GUTTER.join(shown).rstrip()


def form(rows: list[list[str]], columns: Sequence[Column[Item]], available: int | None, heading: bool) -> Form:
    """The layout in which these rows fit, as far as so many columns of a terminal (None: any) allow."""
    absent = frozenset(i for i, c in enumerate(columns) if c.if_any and all(row[i] == EMPTY for row in rows))
    widths = {
        i: max(*(width(row[i]) for row in rows), len(column.heading) if heading else 0)
        for i, column in enumerate(columns)
        if i not in absent
    }
    if available is not None:
        _make_fit(widths, columns, available)
    return Form(
        [_Cell(i, w, columns[i].right, available is not None and columns[i].least > 0) for i, w in widths.items()],
        absent,
    )


def _make_fit(widths: dict[int, int], columns: Sequence[Column[Item]], available: int) -> None:
    """Squeezes what may be squeezed, the widest first; lets columns leave where even that is not enough."""
    leaving = sorted((i for i in widths if columns[i].leaves), key=lambda i: columns[i].leaves)
    least = {i: min(w, columns[i].least or w) for i, w in widths.items()}
    while leaving and _total(least) > available:
        gone = leaving.pop(0)
        del widths[gone], least[gone]
    while _total(widths) > available:
        can_give = [i for i in widths if widths[i] > least[i]]
        if not can_give:
            return
        widths[max(can_give, key=lambda i: widths[i])] -= 1


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + len(_GUTTER) * (len(widths) - 1)
