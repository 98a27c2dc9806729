"""Names of rows are hashes of what they name: the same for ever, and different for what differs."""

from itertools import product

from fleetnet_server.network import Route
from fleetnet_server.records import Holder, Process, SocketKey
from fleetnet_server.storage import ids, routes
from server.reports import BOOT, PACKET, RAW, SCTP, TCP, UDP, UDPLITE, UNIX, route


def test_rows_that_are_stored_keep_their_names() -> None:
    # As written by the first version: with another hash every open socket would be stored a second time.
    nginx = Process(812, 5, "nginx", "/usr/sbin/nginx", "nginx")
    assert ids.socket_id(BOOT, SocketKey(0, TCP, 4711, 0, b"")) == 8560134926979688907
    assert ids.socket_id(BOOT, SocketKey(4026532001, UDP, 0, 99, b"")) == 837351419530339775
    assert ids.socket_id(BOOT, SocketKey(0, TCP, 0, 0, bytes(12))) == 5040477526758400981
    held = Holder(0, "root", "nginx.service", "", 1, (nginx,))
    assert ids.holder_id(held, [ids.process_id(BOOT, nginx)]) == 7291076896893394790
    assert ids.holder_id(Holder(None, "", "", "c0ffee", 7, ()), []) == 5075069690971273650


def test_each_socket_has_a_name_of_its_own_whatever_its_kind() -> None:
    kinds = (TCP, UDP, SCTP, UDPLITE, RAW, UNIX, PACKET)
    keys = [
        SocketKey(netns, protocol, number if by_cookie else 0, 0 if by_cookie else number, b"")
        for netns, protocol, number, by_cookie in product((0, 1), kinds, (1, 256, 257), (True, False))
    ]
    assert len({ids.socket_id(BOOT, key) for key in keys}) == len(keys)


def test_what_runs_a_container_makes_another_holder() -> None:
    names = {ids.holder_id(Holder(0, "", "", "c0ffee", 1, (), runtime), []) for runtime in ("", "docker", "podman")}
    assert len(names) == 3


def test_each_route_has_a_name_of_its_own() -> None:
    two_ways = Route(4, bytes(4), 0, 254, 1, 4, 0, 0, b"", route(1).next_hops * 2)
    by_itself = Route(4, bytes(4), 0, 254, 1, 4, 0, 0, b"", route(1).next_hops)
    told = [route(1), route(2), route(1, metric=1), route(1, to=bytes(4)), route(1, interface="x"), two_ways, by_itself]
    assert len({routes.name(one) for one in told}) == len(told)
