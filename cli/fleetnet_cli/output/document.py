"""What documents have in common: the head that says what follows and how far it reaches, and text in ASCII alone."""

import json
from typing import Any

from fleetnet_cli import times
from fleetnet_cli.records import Coverage
from fleetnet_cli.text import LONGEST, cut

_API_VERSION = "fleetnet/v1"
_encode = json.JSONEncoder(check_circular=False).encode


def head(kind: str, coverage: Coverage) -> dict[str, Any]:
    """Version, kind, time and coverage; whether the answer was cut is not in it."""
    return {
        "api_version": _API_VERSION,
        "kind": kind,
        "as_of": times.utc(coverage.as_of_us),
        "coverage": _coverage(coverage),
    }


def _coverage(coverage: Coverage) -> dict[str, Any]:
    told: dict[str, Any] = {
        "hosts_asked": coverage.hosts_asked,
        "hosts_fresh": coverage.hosts_fresh,
        "hosts_stale": [{"host": s.host, "last_seen": times.utc(s.last_seen_us)} for s in coverage.hosts_stale],
        "gaps": coverage.gaps,
        "not_kept": [{"kind": gone.kind, "since": times.utc(gone.since_us)} for gone in coverage.not_kept],
        "unseen_holders": coverage.unseen_holders,
        "unmatched_globs": list(coverage.unmatched_globs),
    }
    if coverage.since is not None:
        told["since"] = {"as_of": times.utc(coverage.since.as_of_us), **_coverage(coverage.since)}
    return told


def text(value: dict[str, Any]) -> str:
    """One line of JSON. No text in it is longer than any should be."""
    # Everything outside ASCII is escaped by json, so what a terminal would act upon is too, but for DEL.
    line = _encode(value).replace("\x7f", "\\u007f")
    # A whole item is seldom that long, and to look into each costs more than to write it.
    return line if len(line) <= LONGEST else _encode(_bounded(value)).replace("\x7f", "\\u007f")


def _bounded(value: Any) -> Any:  # noqa: ANN401  # whatever JSON has
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, dict):
        return {key: _bounded(one) for key, one in value.items()}
    return [_bounded(one) for one in value] if isinstance(value, list) else value
