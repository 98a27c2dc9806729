"""`-o ndjson`: a line with the coverage, an item a line, and a last line that says that these are all.

    {"api_version": …, "kind": …, "as_of": …, "coverage": {…}}
    {…}
    {"kind": "End", "items": 1, "complete": true}

Without the last line the answer broke off. `complete` is false where `--limit` has cut it, which is known at the end
and not at the beginning. Each line stands alone, and no more than a few are held at a time.
"""

from collections.abc import Iterator
from itertools import chain
from typing import TypeVar

from fleetnet_cli.output.document import head, text
from fleetnet_cli.output.flow import refuse_cut, write_lines
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Answer

Item = TypeVar("Item")


def write(answer: Answer[Item], presentation: Presentation[Item], out: Terminal, limited: bool) -> int:
    """Writes the whole answer; returns how many items it had."""
    items: Iterator[str] = (text(presentation.as_json(item)) + "\n" for item in answer)
    found = write_lines(chain([text(head(presentation.kind, answer.coverage)) + "\n"], items), out) - 1
    refuse_cut(answer, limited=limited)
    truncated = answer.end is not None and answer.end.truncated
    out.write(text({"kind": "End", "items": found, "complete": not truncated}) + "\n")
    return found
