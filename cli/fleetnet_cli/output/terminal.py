"""Where an answer is written to: a stream, and what it can show."""

import os
import sys
from dataclasses import dataclass
from typing import TextIO

BOLD = "1"
YELLOW = "33"
RED = "31"
GREEN = "32"


class ReaderGoneError(Exception):
    """Whoever read our output has had enough. Not an OSError, for click ends the program on a broken pipe itself."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """A stream with its width in columns (None: it is no terminal, and nothing is cut) and whether it takes colour."""

    stream: TextIO
    width: int | None = None
    colour: bool = False

    def paint(self, text: str, how: str) -> str:
        """`text` in a colour, where colour is wanted."""
        return f"\x1b[{how}m{text}\x1b[0m" if self.colour and text else text

    def write(self, text: str) -> None:
        """Writes as it is; raises ReaderGoneError where nobody reads any more."""
        try:
            self.stream.write(text)
        except BrokenPipeError as error:
            raise ReaderGoneError from error

    def flush(self) -> None:
        """Everything written so far is out; raises as write does."""
        try:
            self.stream.flush()
        except BrokenPipeError as error:
            raise ReaderGoneError from error


def of(stream: TextIO) -> Terminal:
    """What `stream` is. Honours NO_COLOR (no-color.org), TERM=dumb and COLUMNS."""
    if not stream.isatty():
        return Terminal(stream)
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM", "dumb") == "dumb"
    return Terminal(stream, _columns(stream), not plain)


def _columns(stream: TextIO) -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def make_tolerant() -> None:
    """A character that the terminal's encoding lacks is shown as its number instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
