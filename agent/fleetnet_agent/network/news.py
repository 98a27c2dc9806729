"""The kernel's word that something of the interfaces, addresses or routes of this process's namespace changed.

What changed is not read from it: the tables are, once for many such words. So the buffer is small on purpose, and words
that are lost in a storm of changes are as good as the first. No privilege is needed.
"""

import errno
import os
import socket
from contextlib import suppress

from fleetnet_agent.network.dump import SOL_NETLINK, open_own
from fleetnet_agent.sources.source import RefusedError

NETLINK_ADD_MEMBERSHIP = 1  # include/uapi/linux/netlink.h
# include/uapi/linux/rtnetlink.h
RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE = 1, 5, 7, 9, 11
RTNLGRP_NEXTHOP = 32
GROUPS = (RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE)

BUFFER_BYTES = 32 * 1024
_DRAINED_AT_MOST = 256  # words at once: more than fit the buffer


class News:
    """Joined to the groups. Never blocks. Not thread-safe."""

    def __init__(self) -> None:
        """Raises SourceError; RefusedError where the kernel or the container does not let the groups be joined."""
        self._socket = open_own()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            self._socket.bind((0, 0))
            for group in GROUPS:
                self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)
        except OSError as error:
            self._socket.close()
            raise RefusedError(f"the kernel's word of changes is refused: {os.strerror(error.errno or 0)}") from error
        # It tells of next hop objects that are replaced under their routes; a kernel before 5.3 has neither.
        with suppress(OSError):
            self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_NEXTHOP)

    def heard(self) -> bool:
        """True if anything changed since the last time this was asked, or may have."""
        something = False
        for _ in range(_DRAINED_AT_MOST):
            try:
                # One byte, and the rest of the word is gone: of none, Python would not even ask the kernel.
                self._socket.recv(1, socket.MSG_DONTWAIT)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EINTR):
                    return something
                # ENOBUFS: words were lost. Whatever else it is, reading once more is never wrong.
            something = True
        return something

    def close(self) -> None:
        """Leave the groups."""
        self._socket.close()
