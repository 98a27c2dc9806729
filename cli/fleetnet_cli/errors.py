"""What can go wrong for somebody at a terminal. Each error is one sentence with a way out, and knows its exit status.

    CliError
    ├── UsageError          the question cannot be understood              2
    ├── UnknownHost         no such host in this fleet                     2
    ├── CollectorFailed     the collector could not answer this            2
    │   └── CollectorTooOld it does not know the question                  2
    ├── HostAway            its agent is needed for this, and away         2
    ├── TooSoon             it was looked at a moment ago                  2
    ├── OutputFailed        the answer could not be written                2
    ├── BrokenAnswer        the answer broke off before its end            3
    ├── NotKept             of the past this is not known                  3
    ├── NotAuthorised       the collector, or its socket, refuses          4
    └── Unreachable         no collector there, or it says nothing         5

Nothing else may reach the user as an error; the border is main.py.
"""

from fleetnet_cli import exits


class CliError(Exception):
    """One sentence: what, why, what to do."""

    exit_status = exits.FAILED


class UsageError(CliError):
    """The question cannot be understood."""


class UnknownHost(CliError):  # noqa: N818  # named for what it says to the user
    """No such host in this fleet."""

    def __init__(self, host: str, close: str | None = None) -> None:
        guess = f', did you mean "{close}"?' if close else ";"
        super().__init__(f'no host "{host}" in this fleet{guess} "fleetnet hosts" lists them')
        self.host = host


class CollectorFailed(CliError):  # noqa: N818  # likewise
    """The collector could not answer this."""


class CollectorTooOld(CollectorFailed):
    """It does not know the question."""


class HostAway(CliError):  # noqa: N818  # likewise
    """Its agent is needed for this, and away or silent."""

    def __init__(self, host: str, why: str, way_out: str = "ask again when it is back") -> None:
        super().__init__(f"{host} {why}: {way_out}")
        self.host = host
        self.why = why


class TooSoon(CliError):  # noqa: N818  # likewise
    """It was looked at a moment ago."""


class OutputFailed(CliError):  # noqa: N818  # likewise
    """The answer could not be written."""


class BrokenAnswer(CliError):  # noqa: N818  # likewise
    """The answer broke off before its end; what was shown is not all."""

    exit_status = exits.PARTIAL


class NotKept(CliError):  # noqa: N818  # likewise
    """Of the past this is not known."""

    exit_status = exits.PARTIAL


class NotAuthorised(CliError):  # noqa: N818  # likewise
    """The collector, or its socket, refuses."""

    exit_status = exits.DENIED


class Unreachable(CliError):  # noqa: N818  # likewise
    """No collector there, or it says nothing."""

    exit_status = exits.UNREACHABLE


def nearest(word: str, known: list[str]) -> str | None:
    """The known word that `word` was probably meant to be."""
    import difflib  # only an error needs it

    folded = {k.lower(): k for k in known}
    matches = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return folded[matches[0]] if matches else None


def suggestion(word: str, known: list[str]) -> str:
    """`; did you mean "…"?`, or nothing where nothing is near."""
    close = nearest(word, known)
    return f'; did you mean "{close}"?' if close else ""
