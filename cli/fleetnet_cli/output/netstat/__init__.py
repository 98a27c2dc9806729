"""The layouts of netstat(8) as in net-tools 2.10, one module a table: what scripts and eyes are used to.

Ours, but measured against the real one by tests, line for line. Control characters become dots, as later net-tools do
it, so the columns hold; and so does what nobody sees, for with it two names would look like one.
"""

from fleetnet_cli.text import is_seen


def dotted(text: str) -> str:
    """A line in which nothing is left that a terminal acts upon."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if is_seen(c) else "." for c in text)
