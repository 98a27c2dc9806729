"""Runs a command for which the kernel refuses its socket diagnostics, as a container's seccomp filter may.

`python tests/agent/without_diag.py COMMAND …`. Standard library only, no privilege needed.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

_SOCKET = {"x86_64": 41, "aarch64": 198}  # asm/unistd.h
_AF_NETLINK, _NETLINK_SOCK_DIAG = 16, 4
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _SKIP_UNLESS_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
_NUMBER_AT, _FAMILY_AT, _PROTOCOL_AT = 0, 16, 32  # of struct seccomp_data, linux/seccomp.h
_REFUSE, _ALLOW = 0x00050000 | errno.EPERM, 0x7FFF0000


class _Program(ctypes.Structure):  # struct sock_fprog, linux/filter.h
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse() -> None:
    """From now on, for this process and what it becomes: socket(AF_NETLINK, …, NETLINK_SOCK_DIAG) is EPERM."""
    wanted = ((_NUMBER_AT, _SOCKET[platform.machine()]), (_FAMILY_AT, _AF_NETLINK), (_PROTOCOL_AT, _NETLINK_SOCK_DIAG))
    steps: list[tuple[int, int, int, int]] = []
    for number, (at, value) in enumerate(wanted):
        steps += [(_LOAD, 0, 0, at), (_SKIP_UNLESS_EQUAL, 0, 2 * (len(wanted) - number) - 1, value)]
    steps += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(steps), code)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program)),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "the filter is refused")


if __name__ == "__main__":
    refuse()
    os.execvp(sys.argv[1], sys.argv[1:])
