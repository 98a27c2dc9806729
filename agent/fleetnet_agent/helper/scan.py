"""Which processes hold which sockets, read from /proc/PID/fd. Standard library only: the privileged helper runs it.

    1. List the processes.
    2. For each, read the links of /proc/PID/fd; `socket:[N]` is the socket with inode N.
    3. Only for a process that holds one that was asked for, read what it is: name, exe, start time.
    4. Of all of these together, argv[0], which may take its time: see `cmdlines.py`. Where it is not to be had, comm.

Processes come and go meanwhile: one that ends is left out. One that may not be read is reported, for it may hold any
socket. Nothing of a command line but argv[0] is read out, and that no further than netstat(8) shows it.
"""

import contextlib
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from fleetnet_agent.helper.cmdlines import CMDLINE_BYTES, CommandLines

_LONGEST_TEXT = 512
_NETSTAT_COLUMN = 19  # "PID/program" in netstat(8) of net-tools 2.10: PROGNAME_WIDTH less the end of the string
_DELETED = " (deleted)"  # what the kernel appends to the path of an executable that was replaced


_SOCKET = b"socket:["  # and the inode, and a bracket: net/socket.c, sockfs_dname()
_NAMES = tuple(b"%d" % number for number in range(256))  # of descriptors; most processes have no more

_COMMAND_LINES = CommandLines()  # one for the process, for so are the threads that may hang


class Question(NamedTuple):
    """What to scan. None means all."""

    inodes: frozenset[int] | None = None
    pids: frozenset[int] | None = None
    skip: frozenset[int] = frozenset()  # pids not to read


class FoundProcess(NamedTuple):
    """A process that holds sockets, as /proc shows it."""

    pid: int
    start_ticks: int  # field 22 of /proc/PID/stat: clock ticks from boot to its start
    name: str
    exe: str
    program: str
    inodes: tuple[int, ...]  # of those asked for


class Answer(NamedTuple):
    """What a scan found."""

    processes: tuple[FoundProcess, ...]  # only those that hold something asked for
    pids: tuple[int, ...]  # all that there are, read or not
    unreadable: tuple[int, ...]  # of those that were to be read, the ones that may not be


def scan(proc: Path, question: Question) -> Answer:
    """Answer a question from /proc at `proc`. Raises OSError only if the processes cannot even be listed."""
    pids = [int(name) for name in os.listdir(proc) if name.isdecimal()]
    found: list[FoundProcess] = []
    unreadable: list[int] = []
    for pid in pids:
        if pid in question.skip or (question.pids is not None and pid not in question.pids):
            continue
        try:
            process = _read(proc, pid, question.inodes)
        except PermissionError:
            unreadable.append(pid)
        except OSError:
            continue  # it ended
        else:
            if process is not None:
                found.append(process)
    return Answer(_with_programs(proc, found), tuple(pids), tuple(unreadable))


def describe(proc: Path, pid: int, inodes: tuple[int, ...] = ()) -> FoundProcess | None:
    """What a process is; None if it is there no longer."""
    found = _describe(proc, pid, inodes)
    return None if found is None else _with_programs(proc, [found])[0]


def _describe(proc: Path, pid: int, inodes: tuple[int, ...]) -> FoundProcess | None:
    at = f"{proc}/{pid}"
    try:
        stat = _read_bytes(f"{at}/stat", 4096)
        ticks = start_ticks(stat)
    except (OSError, ValueError):
        return None
    comm = stat[stat.find(b"(") + 1 : stat.rfind(b")")]  # as in /proc/PID/comm
    return FoundProcess(pid, ticks, _text(comm), _exe(at), program(pid, comm), inodes)


def _with_programs(proc: Path, found: list[FoundProcess]) -> tuple[FoundProcess, ...]:
    if not found:
        return ()
    lines = _COMMAND_LINES.read(f"{proc}/{process.pid}/cmdline" for process in found)
    programs = {int(path.rsplit("/", 2)[1]): line for path, line in lines.items()}
    return tuple(
        process._replace(program=program(process.pid, programs[process.pid])) if process.pid in programs else process
        for process in found
    )


def start_ticks(stat: bytes) -> int:
    """Field 22 of /proc/PID/stat. Raises ValueError. The name before it, in brackets, may hold anything."""
    fields = stat[stat.rfind(b")") + 1 :].split()
    if len(fields) < 20:
        raise ValueError("a /proc/PID/stat without a start time")
    return int(fields[19])


def program(pid: int, cmdline: bytes) -> str:
    """What netstat(8) shows behind "PID/": of an absolute path the last component, of anything else all of argv[0].

    net-tools 2.10, netstat.c, prg_cache_load(). What setproctitle(3) wrote counts as argv[0], blanks and all.
    """
    first = cmdline[:CMDLINE_BYTES].split(b"\0", 1)[0]
    shown = first[first.rfind(b"/") + 1 :] if first.startswith(b"/") else first
    return _text(shown[: _NETSTAT_COLUMN - len(f"{pid}/")])


def _read(proc: Path, pid: int, inodes: Collection[int] | None) -> FoundProcess | None:
    held = _sockets_of(proc, pid)
    if inodes is not None:
        held &= set(inodes)
    return _describe(proc, pid, tuple(sorted(held))) if held else None


def _sockets_of(proc: Path, pid: int) -> set[int]:
    """Inodes of the sockets of a process. Raises PermissionError, or another OSError once it has ended."""
    directory = os.open(f"{proc}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        links = _links_by_count(directory)
        if not links:
            links = _links_by_list(directory)
    finally:
        os.close(directory)
    return {int(link[8:-1]) for link in links if link[:8] == _SOCKET}


def _links_by_count(directory: int) -> list[bytes] | None:
    """What the descriptors of a process are, without a list of them, which costs a third of it all. None where they
    must be listed, or nobody can say.

    The kernel tells how many there are (st_size, since Linux 6.2) and gives out the lowest number that is free. Where
    as many are found as there are, these are all, unless some came and others went meanwhile.
    """
    count = os.fstat(directory).st_size
    links: list[bytes] = []
    readlink = os.readlink
    for name in _names(0, count):  # this runs for every descriptor of the host
        try:
            links.append(readlink(name, dir_fd=directory))
        except FileNotFoundError:
            continue
    if len(links) < count // 2:  # too many are free
        return None
    for name in _names(count, 2 * count):
        if len(links) == count:
            break
        with contextlib.suppress(FileNotFoundError):
            links.append(readlink(name, dir_fd=directory))
    return links if len(links) == count == os.fstat(directory).st_size else None


def _links_by_list(directory: int) -> list[bytes]:
    """The same of a list of them. Raises OSError once the process has ended."""
    links: list[bytes] = []
    for name in map(os.fsencode, os.listdir(directory)):
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            links.append(os.readlink(name, dir_fd=directory))
    return links


def _names(first: int, last: int) -> Iterable[bytes]:
    return _NAMES[first:last] if last <= len(_NAMES) else map(b"%d".__mod__, range(first, last))


def _exe(at: str) -> str:
    try:
        path = os.readlink(f"{at}/exe")
    except OSError:
        return ""
    return _text(os.fsencode(path.removesuffix(_DELETED)))


def _read_bytes(path: str, at_most: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, at_most)
    finally:
        os.close(descriptor)


def _text(raw: bytes) -> str:
    return raw[:_LONGEST_TEXT].decode(errors="replace")
