"""What the agent says on stderr: one plain line per event, and one per change of a situation.

An agent without its collector tries again for days; its log must tell when that began, why, and when it ended, and no
more. Text from elsewhere is made printable, for a line must stay a line.
"""

import sys
from typing import TextIO

PROGRAM = "fleetnet-agent"
LONGEST = 1_000  # characters of a line


class Log:
    """Lines on one stream, stderr unless told otherwise."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out
        self._situations: dict[str, str] = {}

    def say(self, text: str) -> None:
        """One line."""
        print(f"{PROGRAM}: {printable(text)}", file=self._out or sys.stderr, flush=True)

    def situation(self, topic: str, text: str) -> None:
        """One line, unless it is what was last said on this topic."""
        if self._situations.get(topic) != text:
            self._situations[topic] = text
            self.say(text)

    def settled(self) -> None:
        """All is well again: whatever goes wrong next is news."""
        self._situations.clear()


def printable(text: str) -> str:
    """Text from elsewhere on one line: nothing in it that a terminal would act upon, and cut."""
    cut = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return "".join(letter if letter.isprintable() else "?" for letter in cut)
