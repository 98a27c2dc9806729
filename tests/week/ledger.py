"""What an agent writes down of itself, a line at once: a kill leaves whole lines.

`began`, then for each look a `Line`, and for each batch that is put, or put again with another number, a `Batch`.
"""

import functools
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from fleetnet_agent.spool import paths

T = TypeVar("T")

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Line:
    """A look; what is counted, is since the agent began."""

    look_us: int
    spool_bytes: int
    log_bytes: int  # SQLite's, beside it
    rss_bytes: int
    statements: int
    commits: int
    reads: int  # of packs
    merges: int
    drops: int

    @classmethod
    def of(cls, line: str) -> Self:
        """Read from the ledger."""
        return cls(*map(int, line.split()))

    def __str__(self) -> str:
        return " ".join(map(str, astuple(self)))


@dataclass(frozen=True, slots=True, order=True)
class Batch:
    """A batch that waits for its acknowledgement."""

    sequence: int
    kind: str
    size_bytes: int

    @classmethod
    def of(cls, line: str) -> Self:
        """Read from the ledger."""
        _, sequence, kind, size_bytes = line.split()
        return cls(int(sequence), kind, int(size_bytes))

    def __str__(self) -> str:
        return f"put {self.sequence} {self.kind} {self.size_bytes}"


class Ledger:
    """The file, and what is counted."""

    def __init__(self, path: Path, directory: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._spool = directory / paths.NAME
        self._counted = Counter[str]()
        self.write("began")

    def looked(self, look_us: int) -> None:
        """In the looks' thread."""
        rss_bytes = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
        spool_bytes, log_bytes = map(_size, paths.all_of(self._spool)[:2])
        counts = [self._counted[name] for name in ("run", "transaction", "read", "merge", "drop_oldest")]
        self.write(Line(look_us, spool_bytes, log_bytes, rss_bytes, *counts))

    def write(self, line: object) -> None:
        """A line whole or not at all."""
        os.write(self._file, f"{line}\n".encode())

    def count(self, owner: type, *names: str) -> None:
        """Count the calls of these methods from now on."""
        for name in names:
            setattr(owner, name, self._counting(name, getattr(owner, name)))

    def _counting(self, name: str, function: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(function)
        def counted(*arguments: Any, **named: Any) -> T:
            self._counted[name] += 1
            return function(*arguments, **named)

        return counted


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
