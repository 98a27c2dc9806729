"""Answers of any length flow through: what is held of them does not grow with their number, in any format."""

import io
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli.long_answers import PAGE_ITEMS, asked
from fleetnet_cli import wire
from fleetnet_cli.output import csv, json, name, ndjson, sockets, table
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Coverage, End, Selection, Socket
from fleetnet_cli.services import parse

from cli import fleet


@dataclass(slots=True)
class Answer:
    """So many sockets, made as they are taken."""

    items: int
    coverage: Coverage
    end: End | None = None

    def __iter__(self) -> Iterator[Socket]:
        messages = fleet.listeners() + fleet.connections()
        yield from map(wire.socket, itertools.islice(itertools.cycle(messages), self.items))
        self.end = End(self.items)


class Nowhere(io.StringIO):
    """Takes text and keeps none of it."""

    def write(self, text: str) -> int:
        return len(text)


WRITERS: dict[str, Callable[[Answer, Presentation[Socket], Terminal], object]] = {
    "table": lambda a, p, out: table.write(a, p, out, quiet=False, asked_at=False, asked=Selection()),
    "wide": lambda a, p, out: table.write(a, p, out, quiet=False, asked_at=False, asked=Selection(), wide=True),
    "json": lambda a, p, out: json.write(a, p, out, limited=False),
    "json --limit": lambda a, p, out: json.write(a, p, out, limited=True),
    "ndjson": lambda a, p, out: ndjson.write(a, p, out, limited=False),
    "csv": csv.write,
    "name": name.write,
}


@pytest.mark.parametrize("output", WRITERS)
def test_two_thousand_items_more_take_no_more_memory(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "_KEPT_IN_MEMORY_CHARACTERS", 1 << 16)

    def most_held(items: int) -> int:
        answer = Answer(items, Coverage(as_of_us=fleet.AS_OF_US, hosts_asked=1, hosts_fresh=1))
        presentation = sockets.presentation(parse(fleet.SERVICES), "nothing", sockets.connection_columns())
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        WRITERS[output](answer, presentation, Terminal(Nowhere()))
        return tracemalloc.get_traced_memory()[1] - before

    tracemalloc.start()
    try:
        most_held(20)  # what is remembered of texts and times is remembered now
        # Of a table the first thousand rows decide on the columns.
        few, many = most_held(1200), most_held(3200)
    finally:
        tracemalloc.stop()
    # An item that is held takes 500 bytes as a row, and more as anything else.
    assert many < few + 2000 * 150


def test_a_program_that_reads_lines_gets_each_of_a_long_answer_in_constant_memory(tmp_path: Path) -> None:
    short, long = 20, 400
    few = asked(tmp_path / "short.sock", short, "ndjson")
    many = asked(tmp_path / "long.sock", long, "ndjson")
    assert (few.lines, many.lines) == (short * PAGE_ITEMS + 2, long * PAGE_ITEMS + 2)
    assert many.last == f'{{"kind": "End", "items": {long * PAGE_ITEMS}, "complete": true}}\n'
    # The 40,000 items are 40 MB as lines and more as anything else; gRPC holds a few pages ahead.
    assert many.most_held_kb < few.most_held_kb + 12_000
