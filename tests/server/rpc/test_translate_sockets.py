"""The one condition that lets sockets through quickly takes none that the rules refuse."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from fleetnet_proto.v1 import sockets_pb2
from fleetnet_server import records
from fleetnet_server.errors import BadBatch
from fleetnet_server.rpc import translate_sockets
from hypothesis import given
from hypothesis import strategies as st

from server import messages

LOOK_US = 1_767_323_045_000_000
HOLDERS = [translate_sockets.holder(messages.holder(), [translate_sockets.process(messages.process())])]
T = TypeVar("T")
# What each field may hold and just may not; the first is plain. The rest of a socket does not matter to any rule.
EDGES: dict[str, Sequence[object]] = {
    "family": sorted({*sockets_pb2.Family.values(), 5, -1}),
    "state": (1, 11, 0, 12, -1),
    "local_address": (bytes(4), bytes(16), b"", bytes(5)),
    "remote_address": (b"", bytes(4), bytes(16), bytes(5)),
    "local_port": (0, 1, 65_535, 65_536),
    "remote_port": (0, 1, 65_535, 65_536),
    "inode": (0, 2**63 - 1, 2**63),
    "source": (1, 3, 0, 4, -1),
    "holder": (0, 1),
    "opened_at_us": (0, 1, LOOK_US + 1, -1),
    "opened_at_is": (0, 1, 4, 5, -1),
    "type": (0, 3, 4, 5, 6, -1),
    "path": (b"", bytes(108), bytes(109)),
    "peer_inode": (0, 1, 2**63 - 1, 2**63),
}
OF_KEY: dict[str, Sequence[object]] = {
    "protocol": sorted({*sockets_pb2.Protocol.values(), 1, -1}),
    "cookie": (1, 0, 2**63 - 1, 2**63),
    "inode": (0, 1, 2**63),
    "netns": (0, 2**63 - 1, 2**63),
    "four_tuple": (b"", bytes(12), bytes(36)),
}
# As agents tell them: protocol, family, bytes of an address.
KINDS = ((6, 4, 4), (6, 6, 16), (17, 4, 4), (132, 6, 16), (136, 4, 4), (255, 6, 16), (256, 1, 0), (257, 17, 0))


@st.composite
def told(draw: st.DrawFn) -> sockets_pb2.Socket:
    """A socket that is right but for some fields, if at all."""
    protocol, family, size = draw(st.sampled_from(KINDS))
    message = messages.listener(0, cookie=9)
    message.key.protocol, message.family = protocol, family  # type: ignore[assignment]  # numbers of the enumerations
    message.local_address = bytes(size)
    if size and draw(st.booleans()):
        message.remote_address, message.remote_port = bytes(size), 9
    for target, edges in ((message, EDGES), (message.key, OF_KEY)):
        for name in draw(st.lists(st.sampled_from(sorted(edges)), max_size=2)):
            setattr(target, name, draw(st.sampled_from(edges[name])))
    return message


def outcome(read: Callable[[], T]) -> T | str:
    """What was read, or why it was refused."""
    try:
        return read()
    except BadBatch as error:
        return str(error)


@given(told())
def test_what_is_let_through_quickly_is_what_the_rules_let_through(message: sockets_pb2.Socket) -> None:
    by_the_rules = outcome(lambda: translate_sockets.judged(message, HOLDERS))
    assert outcome(lambda: translate_sockets.socket(message, HOLDERS, LOOK_US).key) == by_the_rules


@given(told())
def test_every_field_of_a_socket_comes_through(message: sockets_pb2.Socket) -> None:
    got = outcome(lambda: translate_sockets.socket(message, HOLDERS, LOOK_US))
    if isinstance(got, str):
        return
    assert got == records.Socket(
        key=translate_sockets.key_of(message.key),
        family=message.family,
        state=message.state,
        local_address=message.local_address,
        local_port=message.local_port,
        remote_address=message.remote_address,
        remote_port=message.remote_port,
        interface=message.interface,
        v6only=message.v6only if message.HasField("v6only") else None,
        recv_queue=message.recv_queue,
        send_queue=message.send_queue,
        inode=got.key.inode or message.inode,
        source=message.source,
        holder=HOLDERS[message.holder],
        opened_at_us=min(max(message.opened_at_us, 1), LOOK_US) if message.opened_at_us else LOOK_US,
        opened_at_is=message.opened_at_is or sockets_pb2.OPENED_AT_IS_SEEN,
        type=message.type,
        path=message.path,
        peer_inode=message.peer_inode,
    )
