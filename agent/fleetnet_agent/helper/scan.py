"""Which processes hold which sockets, read from /proc/PID/fd. Standard library only: the privileged helper runs it.

    1. List the processes.
    2. For each, list /proc/PID/fd and read its links; `socket:[N]` is the socket with inode N.
    3. Only for a process that holds one that was asked for, read what it is: comm, exe, start time.
    4. Of all of these together, argv[0], which may take its time: see `cmdlines.py`. Where it is not to be had, comm.

Processes come and go meanwhile: one that ends is left out. One that may not be read is reported, for it may hold any
socket. Nothing of a command line but argv[0] is read out, and that no further than netstat(8) shows it.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from fleetnet_agent.helper.cmdlines import CMDLINE_BYTES, CommandLines

_LONGEST_TEXT = 512
_NETSTAT_COLUMN = 19  # "PID/program" in netstat(8) of net-tools 2.10: PROGNAME_WIDTH less the end of the string
_DELETED = " (deleted)"  # what the kernel appends to the path of an executable that was replaced


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
        ticks = start_ticks(_read_bytes(f"{at}/stat", 4096))
        comm = _read_bytes(f"{at}/comm", _LONGEST_TEXT)
    except (OSError, ValueError):
        return None
    return FoundProcess(pid, ticks, _text(comm.rstrip(b"\n")), _exe(at), program(pid, comm.rstrip(b"\n")), inodes)


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
    held: set[int] = set()
    directory = os.open(f"{proc}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.listdir(directory):
            try:
                target = os.readlink(name, dir_fd=directory)
            except FileNotFoundError:
                continue  # closed since it was listed
            if target.startswith("socket:["):
                held.add(int(target[8:-1]))
    finally:
        os.close(directory)
    return held


def _exe(at: str) -> str:
    try:
        path = os.readlink(f"{at}/exe")
    except OSError:
        return ""
    return _text(os.fsencode(path.removesuffix(_DELETED)))


def _read_bytes(path: str, at_most: int) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read(at_most) or b""


def _text(raw: bytes) -> str:
    return raw[:_LONGEST_TEXT].decode(errors="replace")
