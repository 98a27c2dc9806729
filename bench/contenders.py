"""What is measured: each reads all TCP sockets once and says how much CPU it took."""

import ipaddress
import os
import resource
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.tcp import Tcp

YARDSTICK = "ss -tan"
OURS = "fleetnet: dump + difference"


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to read the table; `cpu_s` runs it once and returns user and system seconds."""

    name: str
    cpu_s: Callable[[], float]


COMMANDS = (YARDSTICK, "ss -tanp", "netstat -tanp")


def missing() -> list[str]:
    """Commands that this machine does not have."""
    return [line for line in COMMANDS if shutil.which(line.split()[0]) is None]


def contenders() -> list[Contender]:
    """All of them that this machine has, ours first."""
    table = our_table()
    table.look()  # a difference needs a look before it
    return [
        Contender(OURS, partial(_of_function, table.look)),
        *(_command(line) for line in COMMANDS if line not in missing()),
        Contender("psutil.net_connections", partial(_of_function, partial(psutil.net_connections, "tcp"))),
        Contender("/proc/net/tcp*, in Python", partial(_of_function, read_proc)),
    ]


def our_table() -> DiagTable:
    """The agent's TCP table as the agent itself makes it."""
    diag = DiagSocket()
    return DiagTable(Tcp(diag), partial(diag.find, protocol=Tcp.protocol))


def read_proc() -> list[tuple[str, int, str, int, int, int]]:
    """The kernel's text files parsed the usual way: addresses, ports, state, inode."""
    sockets = []
    for name in ("tcp", "tcp6"):
        for line in (Path("/proc/self/net") / name).read_text().splitlines()[1:]:
            fields = line.split()
            local, remote = fields[1].split(":"), fields[2].split(":")
            sockets.append(
                (
                    _address(local[0]),
                    int(local[1], 16),
                    _address(remote[0]),
                    int(remote[1], 16),
                    int(fields[3], 16),
                    int(fields[9]),
                )
            )
    return sockets


def _address(text: str) -> str:
    raw = bytes.fromhex(text)
    words = struct.unpack(f">{len(raw) // 4}I", raw)
    return str(ipaddress.ip_address(struct.pack(f"={len(words)}I", *words)))


def _command(line: str) -> Contender:
    return Contender(line, partial(command_cpu_s, line.split()))


def _of_function(function: Callable[[], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    function()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def command_cpu_s(arguments: list[str]) -> float:
    """User and system seconds of a command, from its start to its end."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # so that Popen knows that it was waited for
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed with status {process.returncode}")
    return usage.ru_utime + usage.ru_stime
