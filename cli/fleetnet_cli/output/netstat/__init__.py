"""The layouts of netstat(8) as in net-tools 2.10, one module a table: what scripts and eyes are used to.

Ours, but measured against the real one by tests, line for line. Control characters become dots, as later net-tools do
it, so the columns hold.
"""


def dotted(text: str) -> str:
    """A line in which nothing is left that a terminal acts upon."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "." for c in text)
