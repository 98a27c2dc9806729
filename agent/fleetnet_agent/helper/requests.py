"""What the agent may ask of the helper about network namespaces, and what it is answered: plain values, nothing else.

(What it may ask about processes is in `scan.py`.) Tuples with names, for `dataclasses` would bring a tenth of all the
memory that the helper takes. Standard library only.
"""

import enum
from typing import NamedTuple


class Kind(enum.StrEnum):
    """What may be opened in a namespace."""

    DIAG = "diag"  # a socket of NETLINK_SOCK_DIAG
    ROUTE = "route"  # a socket of NETLINK_ROUTE
    TABLES = "tables"  # the first, and /proc/net/{protocols,snmp,raw,raw6}: counters, and what some kernels only list
    STATISTICS = "statistics"  # /proc/net/{snmp,snmp6,netstat,dev}, those that are there


TABLE_FILES = ("protocols", "snmp", "raw", "raw6")
STATISTICS_FILES = ("snmp", "snmp6", "netstat", "dev")
MOST_OPENED = 50  # namespaces at once: what is opened stays below SCM_MAX_FD, 253 (include/net/scm.h)
MOST_DESCRIPTORS = MOST_OPENED * (1 + len(TABLE_FILES))
MOST_NAMESPACES = 4096  # in one list
MOST_PIDS = 3  # shown of each
MOST_MOUNTS = 4
LONGEST_PATH = 1024
MOST_BUFFER_BYTES = 2**30  # the kernel doubles what it is asked for and keeps it in an int


class ListNamespaces(NamedTuple):
    """Every network namespace that the helper can find."""


class OpenInside(NamedTuple):
    """Open something in each of these namespaces and pass the descriptors."""

    kind: Kind
    inodes: tuple[int, ...]


class OpenEvents(NamedTuple):
    """Pass a socket that hears of every TCP and UDP socket destroyed in any namespace that has a number."""

    buffer_bytes: int


class Listed(NamedTuple):
    """A network namespace."""

    inode: int
    mounts: tuple[str, ...]  # where it is mounted
    pids: tuple[int, ...]  # some of those that live in it, the lowest
    nsid: int | None  # its number as the helper's own namespace has it; None where it has none


class Listing(NamedTuple):
    """Every network namespace, the helper's own among them."""

    own: int  # inode of the helper's own
    of_process_1: bool | None  # whether that is the one of process 1; None where it could not be told
    namespaces: tuple[Listed, ...]
    numbers: frozenset[int] | None  # all that the helper's namespace has given out; None where they could not be read
    trouble: str  # what could not be done, as one sentence; "" where all could


class Opened(NamedTuple):
    """What was opened."""

    descriptors: tuple[tuple[int, str], ...]  # inode and what it is, for each descriptor that comes along
    refused: tuple[tuple[int, str], ...]  # inode, and why it was not entered


class EventsOpened(NamedTuple):
    """One descriptor comes along."""

    buffer_bytes: int  # as the kernel has set it
