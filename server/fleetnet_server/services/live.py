"""What the collector adds to a live look: that the host is one of the fleet, and since when its sockets are open."""

from collections.abc import Mapping, Sequence

from fleetnet_server.errors import HostUnknown
from fleetnet_server.records import PENDING, RETIRED, Host, Socket, SocketAnswer
from fleetnet_server.storage import hosts, ids, namespaces, sockets
from fleetnet_server.storage.database import Connection, Database


class Live:
    """Reads what live looks need to know. Writes nothing."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def host(self, name: str) -> Host:
        """The host of this name. Raises HostUnknown, StorageError."""
        host = await self._db.read(hosts.find, name)
        if host is None or host.status in (PENDING, RETIRED):
            raise HostUnknown(name)
        return host

    async def answers(self, host: Host, boot_id: bytes, seen: Sequence[Socket], look_at_us: int) -> list[SocketAnswer]:
        """The sockets as an answer from history would show them, in their order.

        When and how one was opened is known where history holds it open in the same state between the same addresses,
        else both are 0. Raises StorageError.
        """
        named = [(ids.socket_id(boot_id, socket.key), socket) for socket in seen]
        if not named:
            return []
        begun, called = await self._db.read(_kept, host.host_id, dict(named))
        return [
            _answer(
                socket,
                host=host.name,
                netns_name=called.get((host.host_id, socket.key.netns), ""),
                begun=begun.get(socket_id, (0, 0)),
                look_at_us=look_at_us,
            )
            for socket_id, socket in named
        ]


def _kept(
    conn: Connection, host_id: int, named: Mapping[int, Socket]
) -> tuple[dict[int, tuple[int, int]], dict[tuple[int, int], str]]:
    pairs = {(host_id, socket.key.netns) for socket in named.values()}
    return sockets.begun(conn, host_id, named), namespaces.names(conn, pairs, None)


def _answer(socket: Socket, *, host: str, netns_name: str, begun: tuple[int, int], look_at_us: int) -> SocketAnswer:
    return SocketAnswer(
        host=host,
        netns=socket.key.netns,
        protocol=socket.key.protocol,
        family=socket.family,
        state=socket.state,
        interface=socket.interface,
        v6only=socket.v6only,
        local_address=socket.local_address,
        local_port=socket.local_port,
        remote_address=socket.remote_address,
        remote_port=socket.remote_port,
        recv_queue=socket.recv_queue,
        send_queue=socket.send_queue,
        inode=socket.inode,
        cookie=socket.key.cookie,
        source=socket.source,
        holder=socket.holder,
        opened_at_us=begun[0],
        opened_at_is=begun[1],
        closed_at_us=0,
        closed_at_is=0,
        last_seen_us=look_at_us,
        type=socket.type,
        path=socket.path,
        peer_inode=socket.peer_inode,
        netns_name=netns_name,
    )
