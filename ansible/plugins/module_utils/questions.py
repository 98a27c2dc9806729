# Copyright: the fleetnet authors
# SPDX-License-Identifier: Apache-2.0
"""A question to the collector, asked by the command line `fleetnet`, and how far its answer reaches.

What must stay true: an answer that is not whole says so in words (`Answer.shortfall`), whoever asked; nothing that a
host says becomes an option of the command; what is in the environment for people who type does not narrow a question.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Twins of options that say whom to ask; all other FLEETNET_... variables (FLEETNET_LIMIT, FLEETNET_HOST, ...) would
# change what is asked.
_KEPT_VARIABLES = ("FLEETNET_SERVER", "FLEETNET_CONTEXT", "FLEETNET_TIMEOUT")
_API_VERSION = "fleetnet/v1"
_WHOLE = (0, 1)  # found; nothing found, and every host asked was fresh
_PARTIAL = 3  # `fleetnet help exit-codes`
_NAMED = 5  # stale hosts that a sentence names; the others are counted

CONNECTION_SPEC: dict[str, dict[str, Any]] = {
    "command": {"type": "str", "default": "fleetnet"},
    "server": {"type": "str"},
    "context": {"type": "str"},
    "timeout": {"type": "str"},
}


class AskingError(Exception):
    """There is no answer. The message says what was asked, what happened, and what the command said."""


@dataclass(frozen=True)
class Answer:
    """What one question was answered: items as docs/json describes them."""

    as_of: str  # RFC 3339 in UTC
    items: list[dict[str, Any]]
    coverage: dict[str, Any]
    shortfall: str  # why it is not whole, as a sentence without a full stop; empty where it is whole


def ask(connection: Mapping[str, str | None], kind: str, question: Sequence[str], *positional: str) -> Answer:
    """The answer of this kind (`SocketList`) to `question`: a command and its options, each one word, and what follows
    them. `connection` has the keys of CONNECTION_SPEC. Raises AskingError."""
    named = [f"--{name}={connection[name]}" for name in ("server", "context", "timeout") if connection[name]]
    arguments = [connection["command"] or "fleetnet", *question, *named, "--output=json"]
    if positional:
        arguments += ["--", *positional]  # a port that begins with a dash is no option
    done = _run(arguments)
    if done.returncode not in (*_WHOLE, _PARTIAL):
        raise AskingError(f"`{' '.join(arguments)}` ended with {done.returncode}: {_said(done)}")
    document = _document(done, arguments, kind)
    shortfall = _shortfall(document["coverage"])
    if done.returncode == _PARTIAL and not shortfall:
        shortfall = _said(done)
    return Answer(document["as_of"], document["items"], document["coverage"], shortfall)


def _run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLEETNET_")}
    kept.update({name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ})
    try:
        return subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
            env=kept,
            check=False,
        )
    except OSError as error:
        raise AskingError(
            f"{arguments[0]} cannot be run ({error.strerror}); install the command line here, or say where it is"
        ) from error


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip() or "it said nothing"


def _document(done: subprocess.CompletedProcess[str], arguments: list[str], kind: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(done.stdout)
        if (document["api_version"], document["kind"]) == (_API_VERSION, kind):
            document["as_of"], document["items"], document["coverage"]
            return document
        found = f"a {document['kind']} of {document['api_version']}"
    except (ValueError, KeyError, TypeError):
        found = "no whole document"
    raise AskingError(f"`{' '.join(arguments)}` answered with {found}, not a {kind} of {_API_VERSION}: {_said(done)}")


def _shortfall(coverage: Mapping[str, Any]) -> str:
    """In words, what the coverage says is missing."""
    reasons = []
    stale = [one["host"] for one in coverage.get("hosts_stale", ())]
    if stale:
        names = ", ".join(stale[:_NAMED]) + (f" and {len(stale) - _NAMED} more" if len(stale) > _NAMED else "")
        reasons.append(f"{len(stale)} of {coverage['hosts_asked']} hosts answered from what was last known: {names}")
    if coverage.get("gaps"):
        reasons.append(f"gaps that overlap the time asked about: {coverage['gaps']}")
    if coverage.get("not_kept"):
        kinds = ", ".join(sorted(one["kind"] for one in coverage["not_kept"]))
        reasons.append(f"no longer kept of that time: {kinds}")
    if coverage.get("unseen_holders"):
        reasons.append(f"sockets of which it is not known who holds them: {coverage['unseen_holders']}")
    if coverage.get("unmatched_globs"):
        reasons.append(f"no host is called {', '.join(coverage['unmatched_globs'])}")
    if coverage.get("truncated"):
        reasons.append("cut by a limit, there is more")
    return "; ".join(reasons)
