"""Locks on files, so that two collectors never share a data directory or an admin socket.

A lock is the kernel's (flock) and ends with its process, however that ends; the file itself means nothing.
"""

import contextlib
import fcntl
import os
from pathlib import Path


class LockHeldError(Exception):
    """Another process holds the lock."""


class FileLock:
    """A lock held from construction to `release`. Raises LockHeldError, OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        while True:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(self._descriptor)
                if isinstance(error, BlockingIOError):
                    raise LockHeldError(str(path)) from error
                raise
            # Who held it before may have removed the file between our open and our lock.
            if self._is_the_file():
                return
            os.close(self._descriptor)

    def release(self, remove: bool = False) -> None:
        """Give the lock up. With `remove` the file goes first, while nobody else can hold it."""
        if remove:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        os.close(self._descriptor)

    def _is_the_file(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except FileNotFoundError:
            return False
