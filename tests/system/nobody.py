"""An agent's looks without any privilege: `python -m system.nobody HELPER_SOCKET INODE`, started as root.

Becomes nobody and tells what it sees of a network namespace, and what the kernel answers when it tries to change
something there by a socket that the helper passed.
"""

import json
import os
import socket
import struct
import sys
from pathlib import Path

from fleetnet_agent.helper.client import HelperClient
from fleetnet_agent.helper.requests import Kind
from fleetnet_agent.host import this_host
from fleetnet_agent.watch import open_watch

_NOBODY = 65534
_RTM_NEWLINK, _NLM_F_REQUEST, _NLM_F_ACK = 16, 1, 4  # linux/rtnetlink.h, linux/netlink.h
_IFF_UP = 1  # linux/if.h


def take_loopback_down(descriptor: int) -> int:
    """As `ip link set lo down` does; the errno of the answer."""
    with socket.socket(fileno=descriptor) as route:
        body = struct.pack("=BxHiII", 0, 0, 1, 0, _IFF_UP)  # ifinfomsg: index 1, flags 0, change IFF_UP
        route.send(struct.pack("=IHHII", 16 + len(body), _RTM_NEWLINK, _NLM_F_REQUEST | _NLM_F_ACK, 1, 0) + body)
        return -int(struct.unpack_from("=i", route.recv(4096), 16)[0])


def main() -> None:
    """Look, try, tell."""
    path, inode = Path(sys.argv[1]), int(sys.argv[2])
    host = this_host()  # now, for nobody may not read the interpreter's own files everywhere
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    watch = open_watch(host, helper_socket=path, namespaces="")
    watch.look()
    rows = [row for row in watch.snapshot().sockets if row.key.netns == inode]
    with HelperClient(path).open(Kind.ROUTE, [inode]) as inside:
        refused = take_loopback_down(inside.take(inode)["route"])
    watch.close()
    print("nobody " + json.dumps({"ports": sorted(row.local_port for row in rows), "refused": refused}), flush=True)


if __name__ == "__main__":
    main()
