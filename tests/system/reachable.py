"""Listeners of every kind that a packet may or may not reach: `python -m system.reachable SOCKET …`, and says `ready`.

A socket is a word or several with commas between them, such as `tcp,10.0.0.1,80` or `udp6,::,53,device=eth1`: a kind,
an address, a port, and then any of v6only, device=NAME (SO_BINDTODEVICE), free (IP_FREEBIND) and silent (UDP that
answers nothing). Kinds are tcp, tcp6, mptcp, sctp and udp, udp6; those that the kernel does not have are left out, and
`ready` is followed by the ports that are open.
"""

import selectors
import socket
import sys

_IP_FREEBIND = 15  # linux/in.h
_IPPROTO_MPTCP = 262  # linux/in.h
_BACKLOG = 16
_KINDS = {
    "tcp": (socket.AF_INET, socket.SOCK_STREAM, 0),
    "tcp6": (socket.AF_INET6, socket.SOCK_STREAM, 0),
    "mptcp": (socket.AF_INET, socket.SOCK_STREAM, _IPPROTO_MPTCP),
    "sctp": (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP),
    "udp": (socket.AF_INET, socket.SOCK_DGRAM, 0),
    "udp6": (socket.AF_INET6, socket.SOCK_DGRAM, 0),
}


def opened(kind: str, address: str, port: int, options: list[str]) -> socket.socket:
    """One of them, bound and, where it is one that listens, listening."""
    made = socket.socket(*_KINDS[kind])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, "v6only" in options)
    for option in options:
        name, _, value = option.partition("=")
        if name == "device":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, value.encode())
        if name == "free":
            made.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
    made.bind(socket.getaddrinfo(address, port, made.family, made.type)[0][4])
    if made.type == socket.SOCK_STREAM:
        made.listen(_BACKLOG)
    return made


def main() -> None:
    """Open them, and answer."""
    answering, kept = selectors.DefaultSelector(), []
    for told in sys.argv[1:]:
        kind, address, port, *options = told.split(",")
        try:
            one = opened(kind, address, int(port), options)
        except OSError:
            if kind not in ("mptcp", "sctp"):
                raise
            continue
        kept.append(one)
        if "silent" not in options:
            answering.register(one, selectors.EVENT_READ)
    print("ready", *sorted({one.getsockname()[1] for one in kept}), flush=True)
    while True:
        for key, _ in answering.select():
            _answer(key.fileobj)


def _answer(one: object) -> None:
    assert isinstance(one, socket.socket)
    if one.type == socket.SOCK_STREAM:
        one.accept()[0].close()
    else:
        one.sendto(b"here", one.recvfrom(2048)[1])


if __name__ == "__main__":
    main()
