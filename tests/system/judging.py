"""An answer held against the ledger of what is truly open."""

from collections.abc import Iterator
from typing import Any

from system.ledger import Entry

_NAMING = ("protocol", "family", "local_address", "local_port", "remote_address", "remote_port")


def judge(items: list[dict[str, Any]], entries: list[Entry]) -> list[str]:
    """What is wrong with an answer, one sentence each: every entry is to be there once, as it is, and nothing else."""
    by_name: dict[object, list[dict[str, Any]]] = {}
    for item in items:
        by_name.setdefault(tuple(item[field] for field in _NAMING), []).append(item)
    wrong = []
    for entry in entries:
        shown = by_name.pop(entry.name, [])
        if len(shown) == 1:
            wrong += [f"{entry.kind}: {said}" for said in _deviations(shown[0], entry)]
        else:
            wrong.append(f"{entry.kind} is shown {len(shown)} times: {entry}")
    return wrong + [f"shown but not opened: {items}" for items in by_name.values()]


def _deviations(item: dict[str, Any], entry: Entry) -> Iterator[str]:
    expected: dict[str, object] = {"state": entry.state, "interface": entry.interface}
    for judged in ("owner_status", "uid", "unit", "v6only"):
        if (value := getattr(entry, judged)) is not None:
            expected[judged] = value
    for field, value in expected.items():
        if item[field] != value:
            yield f"{field} is {item[field]!r}, not {value!r}"
    if (pids := tuple(owner["pid"] for owner in item["owners"])) != entry.pids:
        yield f"owners are {pids}, not {entry.pids}"
