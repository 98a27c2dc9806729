"""The kernel's texts of counters and statistics, read from a namespace's /proc/net or from descriptors of its files.

Thin on purpose; what the texts mean is in `statistics.py`. What is not there (a kernel without IPv6) is left out.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fleetnet_agent.sources.source import SourceError

LONGEST_BYTES: Final = 8 * 1024 * 1024  # /proc/net/dev has some 120 bytes for an interface
_AT_ONCE: Final = 64 * 1024


def read_files(net: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Those of the files that are there, by name; `net` is the /proc/net of a namespace. Raises SourceError."""
    texts: dict[str, str] = {}
    for name in names:
        try:
            descriptor = os.open(net / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SourceError(f"{net / name} cannot be read: {os.strerror(error.errno or 0)}") from error
        try:
            texts |= read_descriptors({name: descriptor})
        finally:
            os.close(descriptor)
    return texts


def read_descriptors(descriptors: Mapping[str, int]) -> dict[str, str]:
    """The same of files that are open; they stay the caller's. Raises SourceError."""
    return {
        name: read_descriptor(name, descriptor).decode("utf-8", "surrogateescape")  # as names of interfaces are
        for name, descriptor in descriptors.items()
    }


def read_descriptor(name: str, descriptor: int) -> bytes:
    """All of one file of /proc/net that is open, and stays the caller's. Raises SourceError."""
    read = bytearray()
    try:
        while (part := os.pread(descriptor, _AT_ONCE, len(read))) and len(read) <= LONGEST_BYTES:
            read += part
    except OSError as error:
        raise SourceError(f"/proc/net/{name} cannot be read: {os.strerror(error.errno or 0)}") from error
    if len(read) > LONGEST_BYTES:
        raise SourceError(f"/proc/net/{name} has more than {LONGEST_BYTES} bytes")
    return bytes(read)
