"""`-o json`: one document, written as the answer comes in.

    {"api_version": …, "kind": …, "as_of": …, "coverage": {…, "truncated": …},
     "items": [
      {…},
      {…}
    ]}

`truncated` stands before the items but is known after them. Without a limit nothing is cut and the answer flows; with
one it is kept back until its end, a large one in a file. An answer that breaks off leaves a document that does not
parse.
"""

from collections.abc import Iterator
from itertools import chain
from typing import TypeVar

from fleetnet_cli.output.document import head, text
from fleetnet_cli.output.flow import refuse_cut, write_lines
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Answer, Coverage

Item = TypeVar("Item")

_KEPT_IN_MEMORY_CHARACTERS = 4 << 20


def write(answer: Answer[Item], presentation: Presentation[Item], out: Terminal, limited: bool) -> int:
    """Writes the whole answer; returns how many items it had."""
    items: Iterator[str] = (text(presentation.as_json(item)) for item in answer)
    if not limited:
        found = _write_items(items, _head(presentation.kind, answer.coverage, truncated=False), out)
        refuse_cut(answer, limited=False)
    else:
        import tempfile  # 8 ms, and only a limit needs it

        with tempfile.SpooledTemporaryFile(_KEPT_IN_MEMORY_CHARACTERS, "w+") as kept:
            for item in items:
                kept.write(item + "\n")
            kept.seek(0)
            truncated = answer.end is not None and answer.end.truncated
            heading = _head(presentation.kind, answer.coverage, truncated)
            found = _write_items((line.rstrip("\n") for line in kept), heading, out)
    out.write("\n]}\n" if found else "]}\n")
    return found


def _head(kind: str, coverage: Coverage, truncated: bool) -> str:
    full = head(kind, coverage)
    full["coverage"]["truncated"] = truncated
    return text(full).removesuffix("}") + ',\n "items": ['


def _write_items(items: Iterator[str], heading: str, out: Terminal) -> int:
    # A line ends where the next item begins: only then is it known whether a comma belongs to it.
    lines = (f"{',' if number else ''}\n  {item}" for number, item in enumerate(items))
    return write_lines(chain([heading], lines), out) - 1
