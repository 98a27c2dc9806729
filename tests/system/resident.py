"""A program that has sockets in a network namespace: `python -m system.resident [--inside PATH]`.

With PATH it opens them in the namespace that is mounted there, and itself lives where it was started. The line
`short N` on its standard input makes N connections that are reset at once; it tells the ports of their clients.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys

from system.zoo import connect, listen

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1  # linux/sockios.h, linux/if.h
_RESET = struct.pack("ii", 1, 0)


def enter(namespace: int) -> None:
    """Go to the namespace that this descriptor leads to."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def bring_loopback_up() -> None:
    """As `ip link set lo up` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def make_short(listener: socket.socket, count: int) -> list[int]:
    """Connections that live for a moment; the clients' ports."""
    ports = []
    for _ in range(count):
        client, accepted = connect(listener, "127.0.0.1")
        ports.append(client.getsockname()[1])
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        client.close()
        accepted.close()
    return ports


def main() -> None:
    """Open, tell, and do as told."""
    home = open("/proc/self/ns/net")  # noqa: SIM115 - closed below
    if len(sys.argv) > 1:
        with open(sys.argv[2]) as elsewhere:
            enter(elsewhere.fileno())
    bring_loopback_up()
    inode = os.stat("/proc/thread-self/ns/net").st_ino
    listener = listen(socket.AF_INET, "127.0.0.1")
    kept = [listener, *connect(listener, "127.0.0.1"), listen(socket.AF_INET, "0.0.0.0", device="lo")]
    kept.append(listen(socket.AF_INET6, "::1"))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    left, accepted = connect(listener, "127.0.0.1")
    left.close()
    accepted.recv(1)
    accepted.close()  # leaves a TIME_WAIT at the client's end
    if len(sys.argv) > 1:
        enter(home.fileno())
    home.close()
    print("resident " + json.dumps({"inode": inode, "port": listener.getsockname()[1]}), flush=True)
    for line in sys.stdin:
        if len(sys.argv) > 1:
            with open(sys.argv[2]) as elsewhere:
                enter(elsewhere.fileno())
        print("short " + json.dumps(make_short(listener, int(line.split()[1]))), flush=True)
    del kept, datagrams


if __name__ == "__main__":
    main()
