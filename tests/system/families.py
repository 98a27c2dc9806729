"""Sockets of every family that this kernel has: `python -m system.families DIRECTORY`.

Says `open` when all are, and holds them until its standard input ends. Names in the file system are in DIRECTORY.
"""

import socket
import sys
from pathlib import Path

IPPROTO_UDPLITE = 136  # linux/in.h
_ETH_P_IP, _ETH_P_ALL = 0x0800, 3  # linux/if_ether.h
_BACKLOG = 3


def unix(directory: Path) -> list[socket.socket]:
    """Streams, datagrams and SOCK_SEQPACKET; pathnames, abstract names and none; waiting connections and bytes."""
    held = []
    for number, kind in enumerate((socket.SOCK_STREAM, socket.SOCK_SEQPACKET)):
        for name in (str(directory / f"listener{number}"), f"\0families-{directory.name}-{number}"):
            listener, client, waiting = (socket.socket(socket.AF_UNIX, kind) for _ in range(3))
            listener.bind(name)
            listener.listen(_BACKLOG)
            client.connect(name)
            accepted = listener.accept()[0]
            waiting.connect(name)
            accepted.send(b"unread")
            held += [listener, client, accepted, waiting]
    receiver, sender, lonely = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(3))
    receiver.bind(str(directory / "datagrams"))
    sender.connect(str(directory / "datagrams"))
    sender.send(b"unread")
    lonely.bind(f"\0families-{directory.name}-lonely")
    pairs = [socket.socketpair(socket.AF_UNIX, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
    return [*held, receiver, sender, lonely, *(end for pair in pairs for end in pair), socket.socket(socket.AF_UNIX)]


def raw() -> list[socket.socket]:
    """Of both families, bound and connected; the last for any protocol."""
    four = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    four.bind(("127.0.0.1", 0))
    six = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    six.connect(("::1", 0))
    return [four, six, socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)]


def packet() -> list[socket.socket]:
    """Bound to an interface, and to none; the second sees everything that goes by."""
    bound = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_IP))
    bound.bind(("lo", _ETH_P_IP))
    return [bound, socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))]


def udplite() -> list[socket.socket]:
    """Of both families, bound and connected; none where the kernel has no such sockets."""
    try:
        four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, IPPROTO_UDPLITE)
    except OSError:
        return []
    four.bind(("127.0.0.1", 0))
    six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, IPPROTO_UDPLITE)
    six.connect(("::1", 9))
    return [four, six]


def udp() -> list[socket.socket]:
    """Of both families, bound and connected."""
    four, six = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    four.bind(("127.0.0.1", 0))
    six.connect(("::1", 9))
    return [four, six]


def main() -> None:
    """Open, hold."""
    held = [*unix(Path(sys.argv[1])), *raw(), *packet(), *udplite(), *udp()]
    print(f"open {len(held)}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
