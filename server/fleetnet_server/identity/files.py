"""Files that appear whole or not at all, and are never readable by others, not even for a moment.

Only one process writes a data directory (it holds the directory's lock), so the temporary name is fixed, and what a
killed process left behind under it is simply written anew.
"""

import contextlib
import os
from pathlib import Path


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `content`, on disk before this returns. Raises OSError, and then leaves the old file."""
    fresh = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    # O_EXCL and the mode in the same call: between creating and chmod nobody gets to read a key.
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
    _sync_directory(path.parent)


def write_pair(key_file: Path, key: bytes, certificate: bytes) -> None:
    """Replace a private key, and then its certificate beside it (the same name, ending in .pem): what vouches for a key
    is never on the disk without it. Raises OSError."""
    write_private(key_file, key)
    write_private(key_file.with_suffix(".pem"), certificate, mode=0o644)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
