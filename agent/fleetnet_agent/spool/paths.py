"""Where the spool is, and setting it aside. Needs no SQLite: an agent that keeps nothing does not load it."""

import contextlib
from pathlib import Path
from typing import Final

NAME: Final = "spool.db"
DAMAGED: Final = "spool.damaged"


def is_there(directory: Path) -> bool:
    """True if something is kept."""
    return (directory / NAME).exists()


def there(directory: Path) -> tuple[int, int] | None:
    """Bytes on disk, and when they were written last, microseconds since 1970 UTC; None where nothing is kept."""
    found = [path.stat() for path in all_of(directory / NAME) if path.exists()]
    if not found:
        return None
    return sum(one.st_size for one in found), max(one.st_mtime_ns for one in found) // 1000


def all_of(path: Path) -> list[Path]:
    """The file, and what SQLite has beside it."""
    return [path, *(path.with_name(path.name + ending) for ending in ("-wal", "-shm", "-journal"))]


def set_aside(directory: Path) -> None:
    """A damaged file waits under another name for somebody to look at it; one of them at most."""
    path = directory / NAME
    with contextlib.suppress(OSError):
        path.replace(directory / DAMAGED)
    for one in all_of(path):
        with contextlib.suppress(OSError):
            one.unlink()
