"""What can go wrong in a way that a user sees: one sentence each, with what to do, and an exit status.

    AgentError                2  wrong use, or something on this host
    ├── RefusedError          4  the collector said no, or is not the one it should be
    └── UnreachableError      5  no collector answers there

`main` prints the sentence and exits; nothing else turns these into text.
"""


class AgentError(Exception):
    """Something a user can mend; the text is the whole sentence."""

    exit_status = 2


class RefusedError(AgentError):
    """The collector refuses this host, or does not prove to be the collector that the host trusts."""

    exit_status = 4


class UnreachableError(AgentError):
    """Nothing that speaks for a collector answers."""

    exit_status = 5
