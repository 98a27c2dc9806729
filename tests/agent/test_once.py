"""The document that `once` prints: kinds of sockets that have no addresses."""

import dataclasses

import pytest
from agent.scripted_watch import tcp
from fleetnet_agent.once import document
from fleetnet_agent.records import Family, Protocol, Snapshot, Socket, SocketKey, SocketType


def unix(path: bytes = b"", **fields: object) -> Socket:
    base = dataclasses.replace(
        tcp(1),
        key=SocketKey(0, Protocol.UNIX, 1),
        family=Family.UNIX,
        local_address=b"",
        local_port=0,
        remote_address=b"",
        remote_port=0,
        type=SocketType.DGRAM,
        path=path,
    )
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]  # fields of Socket, by their names


def item(socket: Socket) -> dict[str, object]:
    (only,) = document(Snapshot(1, (socket,), ()))["items"]
    assert isinstance(only, dict)
    return only


def test_a_unix_socket_has_type_path_and_peer_and_no_addresses() -> None:
    one = item(unix(b"/run/a", peer_inode=5))
    assert (one["protocol"], one["family"], one["type"]) == ("unix", "unix", "dgram")
    assert (one["path"], one["peer_inode"]) == ("/run/a", 5)
    assert [one[key] for key in ("local_address", "local_port", "remote_address", "remote_port")] == [None] * 4


def test_a_packet_socket_has_the_number_of_its_protocol_as_port() -> None:
    one = item(unix(key=SocketKey(0, Protocol.PACKET, 1), family=Family.PACKET, local_port=0x0800, interface="eth0"))
    assert (one["protocol"], one["family"], one["local_port"], one["interface"]) == ("packet", "packet", 2048, "eth0")


def test_other_sockets_have_neither_type_nor_path() -> None:
    one = item(tcp(1))
    assert (one["type"], one["path"], one["peer_inode"]) == (None, None, None)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"", None),
        (b"\0/tmp/.X11-unix/X0", "@/tmp/.X11-unix/X0"),
        (b"\0a\0b", "@a\\x00b"),
        (b"/tmp/a\x1b[2Jb\n", "/tmp/a\\x1b[2Jb\\n"),
        (b"/tmp/\xff", "/tmp/\\xff"),
        ("/tmp/\u202etxt".encode(), "/tmp/\\u202etxt"),
        ("/tmp/ü".encode(), "/tmp/ü"),
    ],
)
def test_a_hostile_name_is_escaped(path: bytes, shown: str | None) -> None:
    assert item(unix(path))["path"] == shown


def test_the_order_is_the_same_whatever_kinds_there_are() -> None:
    rows = (unix(b"/b"), unix(b"/a"), tcp(2), unix(b"/a", key=SocketKey(0, Protocol.UNIX, cookie=0, inode=3)))
    assert document(Snapshot(1, rows, ()))["items"] == document(Snapshot(1, rows[::-1], ()))["items"]
