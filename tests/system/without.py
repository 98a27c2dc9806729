"""Runs the agent's commands on a host from which something is taken away:

    python -m system.without [TAKEN …] -- once -o json      (`helper` runs the helper)

TAKEN, in the order given:
    diag:ERRNO            NETLINK_SOCK_DIAG sockets are refused, with that error
    netlink:ERRNO         netlink sockets of any kind are
    unmounted:PATH        everything that is mounted there, or below, for this process alone
    hidden:PATH           an empty directory is mounted over a directory, /dev/null over a file
    proc:OPTIONS          another /proc: hidepid=2 (a user's own processes only), subset=pid (processes and no more)
    capability:NAME,…     these are dropped for good: sys_ptrace, dac_read_search, net_admin, …
    user:UID              becomes that user, without any capability

In one process and without a shell, for a user other than root often cannot execute this Python. An agent's command is
run once before, and its output thrown away, so that all it imports is there. Standard library and the agent only.
"""

import contextlib
import ctypes
import errno
import io
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import psutil  # noqa: F401 - the agent loads it where netlink is refused, too late for a user who cannot read it
from fleetnet_agent.helper.main import main as helper
from fleetnet_agent.main import main as agent

LIBC = ctypes.CDLL(None, use_errno=True)

# linux/prctl.h, linux/seccomp.h, linux/bpf_common.h, linux/capability.h, sched.h, sys/mount.h
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 22, 24, 38
SECCOMP_MODE_FILTER, SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW = 2, 0x00050000, 0x7FFF0000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
SYSCALL_AT, FIRST_ARGUMENT_AT, THIRD_ARGUMENT_AT = 0, 16, 32  # in struct seccomp_data, low words first
CAPABILITY_VERSION_3 = 0x20080522
CAPABILITIES = {"dac_override": 1, "dac_read_search": 2, "net_admin": 12, "sys_ptrace": 19, "sys_admin": 21}
CLONE_NEWNS, MNT_DETACH, MS_REC, MS_PRIVATE, MS_BIND = 0x20000, 2, 0x4000, 0x40000, 0x1000
NETLINK_SOCK_DIAG = 4
SYS_SOCKET = {"x86_64": 41, "aarch64": 198}[os.uname().machine]


def called(result: int) -> None:
    """Raises OSError where a call to the C library failed."""
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def refuse_sockets(error: str, protocol: int | None) -> None:
    """From now on socket(AF_NETLINK, …, protocol) fails; any of AF_NETLINK, where no protocol is named."""
    number = getattr(errno, error)
    steps = [(LOAD_WORD, 0, 0, SYSCALL_AT), (JUMP_IF_EQUAL, 0, 5, SYS_SOCKET)]
    steps += [(LOAD_WORD, 0, 0, FIRST_ARGUMENT_AT), (JUMP_IF_EQUAL, 0, 3, socket.AF_NETLINK)]
    if protocol is None:
        steps += [(LOAD_WORD, 0, 0, FIRST_ARGUMENT_AT), (JUMP_IF_EQUAL, 0, 1, socket.AF_NETLINK)]
    else:
        steps += [(LOAD_WORD, 0, 0, THIRD_ARGUMENT_AT), (JUMP_IF_EQUAL, 0, 1, protocol)]
    steps += [(RETURN, 0, 0, SECCOMP_RET_ERRNO | number), (RETURN, 0, 0, SECCOMP_RET_ALLOW)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    whole = struct.pack("H6xQ", len(steps), ctypes.addressof(program))
    called(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    called(LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, whole, 0, 0))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    called(LIBC.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()))


def have_own_mounts() -> None:
    """What is mounted from now on is so for this process alone."""
    called(LIBC.unshare(CLONE_NEWNS))
    mount("none", "/", "none", MS_REC | MS_PRIVATE)


def unmount(path: str) -> None:
    """Everything mounted at or below the path is gone."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    below = [at for at in (line.split()[4] for line in lines) if at == path or at.startswith(f"{path}/")]
    for at in reversed(below):
        called(LIBC.umount2(at.encode(), MNT_DETACH))


def hide(path: str) -> None:
    """Nothing is to be read there."""
    if Path(path).is_dir():
        mount("none", path, "tmpfs", 0, "mode=0755")
    else:
        mount("/dev/null", path, "none", MS_BIND)


def drop(names: str) -> None:
    """These capabilities are gone, and no program that is executed gets them back."""
    bits = {CAPABILITIES[name] for name in names.split(",")}
    for bit in bits:
        called(LIBC.prctl(PR_CAPBSET_DROP, bit, 0, 0, 0))
    header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
    kept = ctypes.create_string_buffer(24)
    called(LIBC.capget(header, kept))
    words = list(struct.unpack("6I", kept.raw[:24]))  # effective, permitted, inheritable; low, then high
    for place in range(3):
        words[place] &= ~sum(1 << bit for bit in bits)
    called(LIBC.capset(header, struct.pack("6I", *words)))


def become(uid: str) -> None:
    """That user, and still allowed to look at itself."""
    os.setgroups([])
    os.setresgid(int(uid), int(uid), int(uid))
    os.setresuid(int(uid), int(uid), int(uid))
    called(LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))


TAKEN: dict[str, Callable[[str], None]] = {
    "diag": lambda error: refuse_sockets(error, NETLINK_SOCK_DIAG),
    "netlink": lambda error: refuse_sockets(error, None),
    "unmounted": unmount,
    "hidden": hide,
    "proc": lambda options: mount("proc", "/proc", "proc", 0, options),
    "capability": drop,
    "user": become,
}


def main() -> int:
    """Take away, then run."""
    at = sys.argv.index("--")
    command, *rest = sys.argv[at + 1 :]
    if command != "helper":
        with contextlib.redirect_stdout(io.StringIO()):
            agent([command, *rest])
    have_own_mounts()
    for name, _, argument in (taken.partition(":") for taken in sys.argv[1:at]):
        TAKEN[name](argument)
    return helper(rest) if command == "helper" else agent([command, *rest])


if __name__ == "__main__":
    sys.exit(main())
