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


def open_what_is_closed() -> bool:
    """Opens nothing in place of each standard stream that came to us closed (`>&-`): else the first socket would take
    its number, and what a library complains of would go there. Returns whether stdout was open."""
    closed = [number for number in (0, 1, 2) if not _is_open(number)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    # Python has None for them.
    if 0 in closed:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  # for as long as we run
    if 1 in closed:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # likewise
    if 2 in closed:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  # likewise
    return 1 not in closed


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def make_tolerant() -> None:
    """A character that the terminal's encoding lacks is shown as its number instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
