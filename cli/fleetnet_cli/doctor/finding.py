"""One thing that was looked at, and how it was found."""

from dataclasses import dataclass

from fleetnet_cli import exits
from fleetnet_cli.errors import CliError, NotAuthorised, Unreachable

OK, WARNING, PROBLEM = "ok", "warning", "problem"
_STATUSES = {OK: exits.FOUND, WARNING: exits.WARNED, PROBLEM: exits.FAILED}


@dataclass(frozen=True, slots=True)
class Finding:
    """What of, how it is, in words, and what to do: empty where nothing is to be done."""

    topic: str
    verdict: str
    words: str
    todo: str = ""
    status: int = exits.FOUND  # of the program, if this is the worst that was found


def found(topic: str, verdict: str, words: str, todo: str = "") -> Finding:
    """A finding with the exit status of its verdict."""
    return Finding(topic, verdict, words, todo, _STATUSES[verdict])


def failed(topic: str, error: CliError) -> Finding:
    """A problem that other commands would end with: its sentence says what to do behind the semicolon."""
    words, _, todo = str(error).rpartition("; ")
    on_the_way = isinstance(error, NotAuthorised | Unreachable)
    return Finding(
        topic, PROBLEM, words or todo, todo if words else "", error.exit_status if on_the_way else exits.FAILED
    )
