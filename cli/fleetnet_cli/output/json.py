"""`-o json`: one document, written as the answer comes in.

    {"api_version": …, "kind": …, "as_of": …, "coverage": {…, "truncated": …},
     "items": [
      {…},
      {…}
    ]}

`truncated` stands before the items but is known after them. Without a limit nothing is cut and the answer flows; with
one it is small, and kept back until its end. An answer that breaks off leaves a document that does not parse.
"""

import json
from collections.abc import Iterator
from typing import TypeVar

from fleetnet_cli import errors, times
from fleetnet_cli.output.presentation import Presentation
from fleetnet_cli.output.terminal import Terminal
from fleetnet_cli.records import Answer, Coverage

Item = TypeVar("Item")

_API_VERSION = "fleetnet/v1"
_ITEMS_A_WRITE = 200


def write(answer: Answer[Item], presentation: Presentation[Item], out: Terminal, limited: bool) -> int:
    """Writes the whole answer; returns how many items it had."""
    items: Iterator[str] = (_text(presentation.as_json(item)) for item in answer)
    if limited:
        items = iter(list(items))
    truncated = limited and answer.end is not None and answer.end.truncated
    out.write(_head(presentation.kind, answer.coverage, truncated))
    found = _write_items(items, out)
    if answer.end is not None and answer.end.truncated and not limited:
        raise errors.BrokenAnswer("the collector cut the answer without having been asked to; ask with --limit")
    out.write("\n]}\n" if found else "]}\n")
    return found


def _head(kind: str, coverage: Coverage, truncated: bool) -> str:
    told = {**_coverage(coverage), "truncated": truncated}
    if coverage.since is not None:
        told["since"] = {"as_of": times.utc(coverage.since.as_of_us), **_coverage(coverage.since)}
    head: dict[str, object] = {
        "api_version": _API_VERSION,
        "kind": kind,
        "as_of": times.utc(coverage.as_of_us),
        "coverage": told,
    }
    return _text(head).removesuffix("}") + ',\n "items": ['


def _coverage(coverage: Coverage) -> dict[str, object]:
    return {
        "hosts_asked": coverage.hosts_asked,
        "hosts_fresh": coverage.hosts_fresh,
        "hosts_stale": [{"host": s.host, "last_seen": times.utc(s.last_seen_us)} for s in coverage.hosts_stale],
        "gaps": coverage.gaps,
        "not_kept": [{"kind": gone.kind, "since": times.utc(gone.since_us)} for gone in coverage.not_kept],
    }


def _write_items(items: Iterator[str], out: Terminal) -> int:
    found = 0
    batch: list[str] = []
    for item in items:
        batch.append(",\n  " if found else "\n  ")
        batch.append(item)
        found += 1
        if found % _ITEMS_A_WRITE == 0:
            out.write("".join(batch))
            batch.clear()
    out.write("".join(batch))
    return found


def _text(value: dict[str, object]) -> str:
    # Everything outside ASCII is escaped by json, so what a terminal would act upon is too, but for DEL.
    return json.dumps(value).replace("\x7f", "\\u007f")
