"""Service names of /etc/services, both ways.

Parsed here, because getservbyname(3) cannot say what the nearest name is, and 300 lines are read in a
millisecond. Where two lines give a port a name, the first counts, as for getservbyport(3); netstat(8) takes the last.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

PATH = Path("/etc/services")


@dataclass(frozen=True, slots=True)
class Services:
    """Names and ports; a protocol is "tcp" or "udp"."""

    ports: dict[str, frozenset[int]]  # by name or alias, over both protocols
    names: dict[tuple[int, str], str]  # the first name
    last_names: dict[tuple[int, str], str]

    def name(self, port: int, protocol: str) -> str | None:
        """What the service on this port is called."""
        return self.names.get((port, protocol))


def parse(text: str) -> Services:
    """The content of a services(5) file; lines that are none are passed over, as the C library does."""
    ports: dict[str, set[int]] = {}
    names: dict[tuple[int, str], str] = {}
    last_names: dict[tuple[int, str], str] = {}
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) < 2:
            continue
        number, _, protocol = words[1].partition("/")
        if protocol not in ("tcp", "udp") or not (number.isascii() and number.isdigit()) or int(number) > 0xFFFF:
            continue
        port = int(number)
        for name in (words[0], *words[2:]):
            ports.setdefault(name.lower(), set()).add(port)
        names.setdefault((port, protocol), words[0])
        last_names[port, protocol] = words[0]
    return Services({k: frozenset(v) for k, v in ports.items()}, names, last_names)


def load() -> Services:
    """This machine's services; none where there is no such file."""
    return _load(PATH)


@functools.cache
def _load(path: Path) -> Services:
    try:
        return parse(path.read_text(errors="replace"))
    except OSError:
        return parse("")
