"""What a process may do where it runs, tried for real: `python3 probe.py OTHER_PID`, run by a unit in the place of its
program.

A line each on stdout: what was tried, and "done" or the kernel's name for why not. Nothing that it does lasts. Standard
library only, for it is run where nothing of ours can be imported.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import socket
import sys
from collections.abc import Callable

_LIBC = ctypes.CDLL(None, use_errno=True)
# include/uapi/linux/ptrace.h, sched.h, prctl.h, keyctl.h; system calls by their numbers on x86-64 and the newer systems
# alike
_PTRACE_SEIZE = 0x4206
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
_SYS_PIDFD_OPEN, _SYS_PIDFD_GETFD = 434, 438


class _Piece(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))  # struct iovec


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _open(path: str, flags: int = os.O_RDONLY) -> None:
    os.close(os.open(path, flags))


def _socket(family: int, kind: int = socket.SOCK_STREAM, protocol: int = 0) -> None:
    socket.socket(family, kind, protocol).close()


def _foreign_memory(call: str, pid: int) -> None:
    """No bytes: what may not be done is refused all the same, and nothing is harmed where it may."""
    here = ctypes.create_string_buffer(1)
    piece = _Piece(ctypes.cast(here, ctypes.c_void_p), 0)
    _check(getattr(_LIBC, call)(pid, ctypes.byref(piece), 1, ctypes.byref(piece), 1, 0))


def _trace(pid: int) -> None:
    _check(_LIBC.ptrace(_PTRACE_SEIZE, pid, None, None))


def _take_descriptor(pid: int) -> None:
    pidfd = _check(_LIBC.syscall(_SYS_PIDFD_OPEN, pid, 0))
    try:
        os.close(_check(_LIBC.syscall(_SYS_PIDFD_GETFD, pidfd, 0, 0)))
    finally:
        os.close(pidfd)


def _in_a_child(attempt: Callable[[], object]) -> None:
    """What would change this process, done by another that ends with it."""
    child = os.fork()
    if child == 0:
        number = 0
        try:
            attempt()
        except OSError as error:
            number = error.errno or 255
        os._exit(number)
    if number := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise OSError(number, os.strerror(number))


def _write_and_run() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def _make_suid() -> None:
    descriptor = os.memfd_create("suid", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o4755)
    finally:
        os.close(descriptor)


def _create(directory: str) -> None:
    path = f"{directory}/.fleetnet-probe"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL))
    os.unlink(path)


def attempts(pid: int) -> dict[str, Callable[[], object]]:
    """All of them, `pid` being a process of root's."""
    return {
        "read /etc/shadow": lambda: _open("/etc/shadow"),
        "read another's memory by its file": lambda: _open(f"/proc/{pid}/mem"),
        "write another's memory by its file": lambda: _open(f"/proc/{pid}/mem", os.O_RDWR),
        "read another's memory": lambda: _foreign_memory("process_vm_readv", pid),
        "write another's memory": lambda: _foreign_memory("process_vm_writev", pid),
        "trace another": lambda: _in_a_child(lambda: _trace(pid)),
        "take another's descriptor": lambda: _take_descriptor(pid),
        "read another's environment": lambda: _open(f"/proc/{pid}/environ"),
        "signal another": lambda: os.kill(pid, 0),
        "open an IPv4 socket": lambda: _socket(socket.AF_INET),
        "open an IPv6 socket": lambda: _socket(socket.AF_INET6),
        "open a raw socket": lambda: _socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "open a packet socket": lambda: _socket(socket.AF_PACKET, socket.SOCK_RAW),
        "open a netlink socket": lambda: _socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "make a network namespace": lambda: _in_a_child(lambda: _check(_LIBC.unshare(_CLONE_NEWNET))),
        "make a mount namespace": lambda: _in_a_child(lambda: _check(_LIBC.unshare(_CLONE_NEWNS))),
        "make a user namespace": lambda: _in_a_child(lambda: _check(_LIBC.unshare(_CLONE_NEWUSER))),
        "mount": lambda: _in_a_child(lambda: _check(_LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None))),
        "become root": lambda: _in_a_child(lambda: os.setresuid(0, 0, 0)),
        "write and run the same memory": _write_and_run,
        "make a file set-user-id": _make_suid,
        "write to /etc": lambda: _create("/etc"),
        "write to /opt/fleetnet": lambda: _create("/opt/fleetnet"),
        "write to /run": lambda: _create("/run"),
        "write to /home": lambda: _create("/home"),
    }


def main() -> None:
    """Try everything."""
    for name, attempt in attempts(int(sys.argv[1])).items():
        outcome = "done"
        try:
            attempt()
        except OSError as error:
            outcome = errno.errorcode.get(error.errno or 0, str(error))
        with contextlib.suppress(BrokenPipeError):
            print(f"{name}: {outcome}", flush=True)


if __name__ == "__main__":
    main()
