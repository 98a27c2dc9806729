"""Names of IP's protocols (/etc/protocols), both ways: what a raw socket is for.

As with services, of two names the first counts, but for netstat(8), which takes the last.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

PATH = Path("/etc/protocols")


@dataclass(frozen=True, slots=True)
class Protocols:
    """Names and numbers."""

    numbers: dict[str, int]  # by name or alias, in lower case
    names: dict[int, str]  # the first name
    last_names: dict[int, str]


def parse(text: str) -> Protocols:
    """The content of a protocols(5) file; lines that are none are passed over, as the C library does."""
    numbers: dict[str, int] = {}
    names: dict[int, str] = {}
    last_names: dict[int, str] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2 or not (words[1].isascii() and words[1].isdigit()) or int(words[1]) > 0xFF:
            continue
        number = int(words[1])
        for name in (words[0], *words[2:]):
            numbers.setdefault(name.lower(), number)
        names.setdefault(number, words[0])
        last_names[number] = words[0]
    return Protocols(numbers, names, last_names)


def load() -> Protocols:
    """This machine's protocols; none where there is no such file."""
    return _load(PATH)


@functools.cache
def _load(path: Path) -> Protocols:
    try:
        return parse(path.read_text(errors="replace"))
    except OSError:
        return parse("")
