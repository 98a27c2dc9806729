"""What an answer costs whoever asks: `python -m bench.answers` (or `make bench-answers`).

First what a row takes in each format, from records to text, a hundred thousand of them in this process, the best of
three tries; beside it what the row takes to be read from the wire. Then the program itself, which asks a collector in
this process that makes its pages as they are taken: ten thousand rows beside a page of a hundred, and a million as
lines.
"""

import argparse
import io
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.fleet import AS_OF_US, SERVICES, connections, listeners
from cli.long_answers import PAGE_ITEMS, asked
from fleetnet_cli import wire
from fleetnet_cli.output import csv, json, name, ndjson, sockets, table
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Coverage, End, Selection, Socket
from fleetnet_cli.services import parse

from bench.measures import Bar

_SMALL_PAGES: Final = 20


class _Nowhere(io.StringIO):
    def write(self, text: str) -> int:
        return len(text)


@dataclass(frozen=True, slots=True)
class _Answer:
    """So many sockets that are here already."""

    items: int
    coverage: Coverage
    end: End

    def __iter__(self) -> Iterator[Socket]:
        sample = [wire.socket(m) for m in listeners() + connections()]
        return itertools.islice(itertools.cycle(sample), self.items)


_WRITERS: Final[dict[str, Callable[[_Answer, Presentation[Socket], Terminal], object]]] = {
    "table": lambda a, p, out: table.write(a, p, out, quiet=False, asked_at=False, asked=Selection()),
    "wide": lambda a, p, out: table.write(a, p, out, quiet=False, asked_at=False, asked=Selection(), wide=True),
    "json": lambda a, p, out: json.write(a, p, out, limited=False),
    "ndjson": lambda a, p, out: ndjson.write(a, p, out, limited=False),
    "csv": csv.write,
    "name": name.write,
}


def _row_us(rows: int, tries: int, work: Callable[[], object]) -> float:
    """Microseconds of CPU a row."""
    taken_s = []
    for _ in range(tries):
        before_s = time.process_time()
        work()
        taken_s.append(time.process_time() - before_s)
    return min(taken_s) / rows * 1e6


def rendering(rows: int, tries: int) -> Iterator[str]:
    """A line for each format."""
    messages = list(itertools.islice(itertools.cycle(listeners() + connections()), rows))
    read_us = _row_us(rows, tries, lambda: [None for _ in map(wire.socket, messages)])
    yield f"  {'read from the wire':<20} {read_us:6.1f} µs a row"
    answer = _Answer(rows, Coverage(as_of_us=AS_OF_US, hosts_asked=1, hosts_fresh=1), End(rows))
    presentation = sockets.presentation(parse(SERVICES), "nothing", sockets.connection_columns())
    for output, write in _WRITERS.items():
        us = _row_us(rows, tries, lambda write=write: write(answer, presentation, Terminal(_Nowhere())))  # type: ignore[misc]  # bound now
        yield f"  {output:<20} {us:6.1f} µs a row"


def beside_a_page(directory: Path, output: str, tries: int) -> Bar:
    """Ten thousand rows beside the first hundred, each by the program from its start to its end."""

    def taken_s(pages: int) -> float:
        return min(asked(directory / "admin.sock", pages, output).taken_s for _ in range(tries))

    page_s, all_s = taken_s(1), taken_s(10_000 // PAGE_ITEMS)
    print(f"  {output:<20} {page_s * 1000:6.0f} ms a page of 100, {all_s * 1000:.0f} ms 10,000 rows")
    return Bar(f"10,000 rows as {output} to a page of 100, the program", 3, all_s / page_s, "times")


def as_lines(directory: Path, rows: int) -> list[Bar]:
    """Very many rows as ndjson."""
    few = asked(directory / "admin.sock", _SMALL_PAGES, "ndjson")
    many = asked(directory / "admin.sock", rows // PAGE_ITEMS, "ndjson")
    assert many.lines == rows + 2
    print(
        f"  {rows:,} rows as ndjson: first line after {many.first_line_s * 1000:.0f} ms, all in {many.taken_s:.1f} s "
        f"(the collector shares the machine), {many.most_held_kb / 1024:.0f} MiB at most; "
        f"{_SMALL_PAGES * PAGE_ITEMS:,} rows {few.most_held_kb / 1024:.0f} MiB"
    )
    return [
        Bar(f"memory that {rows:,} rows take beyond 2,000", 12, (many.most_held_kb - few.most_held_kb) / 1024, "MiB"),
        Bar(f"first line of {rows:,} rows to that of 2,000", 2, many.first_line_s / few.first_line_s, "times"),
    ]


def main() -> None:
    """Prints the figures, then the bars."""
    parser = argparse.ArgumentParser(prog="bench.answers", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000, help="rendered in each format (default 100,000)")
    parser.add_argument("--lines", type=int, default=1_000_000, help="rows as ndjson (default 1,000,000)")
    parser.add_argument("--tries", type=int, default=3, help="of which the best counts (default 3)")
    asked_for = parser.parse_args()
    for line in rendering(asked_for.rows, asked_for.tries):
        print(line, flush=True)
    with tempfile.TemporaryDirectory() as directory:
        bars = [beside_a_page(Path(directory), output, asked_for.tries) for output in ("table", "json")]
        bars += as_lines(Path(directory), asked_for.lines)
    for bar in bars:
        print(bar.line())


if __name__ == "__main__":
    main()
