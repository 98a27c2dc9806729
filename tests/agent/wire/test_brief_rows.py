"""Brief sockets packed by hand are what protobuf makes of the same messages, byte for byte."""

from typing import cast

from agent.scripted_watch import holder
from fleetnet_agent.records import Brief, Family, Protocol
from fleetnet_agent.wire.brief_rows import packer, varint
from fleetnet_proto.v1 import report_pb2, sockets_pb2
from hypothesis import given
from hypothesis import strategies as st

HOLDER = holder()

addresses = st.sampled_from([(Family.IPV4, 4), (Family.IPV6, 16)]).flatmap(
    lambda kind: st.tuples(
        st.just(kind[0]), st.binary(min_size=kind[1], max_size=kind[1]), st.binary(min_size=kind[1], max_size=kind[1])
    )
)
ports = st.integers(0, 65_535)


def as_protobuf_has_it(brief: Brief, holder: int) -> bytes:
    key = sockets_pb2.SocketKey(
        netns=brief.netns, protocol=cast("sockets_pb2.Protocol", brief.protocol), cookie=brief.cookie
    )
    socket = sockets_pb2.Socket(
        key=key,
        family=cast("sockets_pb2.Family", brief.family),
        state=sockets_pb2.STATE_CLOSE,
        local_address=brief.local_address,
        local_port=brief.local_port,
        remote_address=brief.remote_address,
        remote_port=brief.remote_port,
        interface=brief.interface,
        holder=holder,
        source=sockets_pb2.SOURCE_DIAG,
        opened_at_us=brief.at_us,
        opened_at_is=sockets_pb2.OPENED_AT_IS_UNSEEN,
    )
    closed = sockets_pb2.ClosedSocket(key=key, closed_at_us=brief.at_us, closed_at_is=sockets_pb2.CLOSED_AT_IS_EXACT)
    return report_pb2.Batch(opened=[socket], closed=[closed]).SerializeToString()


@given(
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.sampled_from([Protocol.TCP, Protocol.UDP]),
    st.integers(1, 2**64 - 1),  # no socket has the cookie 0
    addresses,
    st.booleans(),
    ports,
    ports,
    st.text(max_size=15).filter(str.isascii),
    st.integers(0, 70_000),
)
def test_a_row_is_what_protobuf_makes_of_it(
    at_us: int,
    netns: int,
    protocol: Protocol,
    cookie: int,
    kind: tuple[Family, bytes, bytes],
    has_peer: bool,
    local_port: int,
    remote_port: int,
    interface: str,
    position: int,
) -> None:
    family, local, remote = kind
    peer = (remote, remote_port) if has_peer else (b"", 0)
    brief = Brief(at_us, netns, protocol, cookie, family, local, local_port, *peer, interface, HOLDER)
    pack = packer(lambda name: name)
    expected = as_protobuf_has_it(brief, position)
    assert pack(brief, position) == expected
    assert pack(brief, position) == expected, "what is remembered of the row before changes nothing"


def test_rows_after_one_another_do_not_borrow_from_one_another() -> None:
    pack = packer(lambda name: name[:3])
    one = Brief(5, 0, Protocol.TCP, 7, Family.IPV4, bytes(4), 80, b"", 0, "eth0", HOLDER)
    others = [
        one._replace(at_us=6),
        one._replace(netns=4),
        one._replace(protocol=Protocol.UDP),
        one._replace(interface="veth"),
    ]
    for brief in (one, *others, one):
        for position in (0, 1):
            expected = as_protobuf_has_it(brief._replace(interface=brief.interface[:3]), position)
            assert pack(brief, position) == expected


@given(st.integers(1, 2**64 - 1))
def test_a_number_is_written_as_protobuf_writes_it(number: int) -> None:
    assert b"\x18" + varint(number) == sockets_pb2.SocketKey(cookie=number).SerializeToString()
