"""Counting sockets by what they have in common: the whole is counted, and whom a socket talks to is told."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest
from fleetnet_cli import wire
from fleetnet_cli.counting import BY, count, each_once, parse_by
from fleetnet_cli.errors import UsageError
from fleetnet_cli.records import Count, Owner, RemoteEnd, Socket
from hypothesis import given
from hypothesis import strategies as st

from cli import fleet

CONNECTION = wire.socket(fleet.connections()[1])
NGINX, POSTGRES = (Owner(pid, name, "", 0, name) for pid, name in ((7, "nginx"), (8, "postgres")))


def talks(host: str, owner: Owner, local_port: int, address: str, remote_port: int) -> Socket:
    return replace(
        CONNECTION, host=host, owners=(owner,), local_port=local_port, remote_address=address, remote_port=remote_port
    )


def told(sockets: Iterable[Socket], by: tuple[str, ...] = BY) -> list[Count]:
    return count(sockets, by, 1)


def test_many_connections_of_one_process_to_one_service_are_one_line() -> None:
    many = [talks("web1", NGINX, 20_000 + n, "10.0.0.5", 5432) for n in range(2_000)]
    assert told(many) == [Count(2_000, 1, "web1", "nginx", RemoteEnd("10.0.0.5", port=5432))]


def test_many_connections_that_a_service_took_are_one_line_of_its_port() -> None:
    many = [talks("db1", POSTGRES, 5432, "10.0.0.7", 20_000 + n) for n in range(2_000)]
    assert told(many) == [Count(2_000, 1, "db1", "postgres", RemoteEnd("10.0.0.7", local_port=5432))]


def test_of_two_hosts_that_serve_one_another_both_are_told() -> None:
    taken = [talks("db1", POSTGRES, 5432, "10.0.0.7", port) for port in (40_000, 40_001, 40_002)]
    made = talks("db1", NGINX, 50_000, "10.0.0.7", 443)
    assert told([*taken, made]) == [
        Count(3, 1, "db1", "postgres", RemoteEnd("10.0.0.7", local_port=5432)),
        Count(1, 1, "db1", "nginx", RemoteEnd("10.0.0.7", port=443)),
    ]


def test_one_connection_alone_is_to_the_lower_port() -> None:
    assert told([talks("a", NGINX, 40_000, "::1", 443)])[0].remote == RemoteEnd("::1", port=443)
    assert told([talks("a", NGINX, 443, "::1", 40_000)])[0].remote == RemoteEnd("::1", local_port=443)


def test_an_ipv4_address_and_its_mapped_form_are_one_end() -> None:
    both = [talks("web1", NGINX, n, address, 80) for n, address in ((1024, "10.0.0.5"), (1025, "::ffff:10.0.0.5"))]
    ends = [replace(one, family="ipv4") for one in both]
    assert [c.remote for c in told(ends, ("remote",))] == [RemoteEnd("10.0.0.5", port=80)]
    assert told(ends, ("remote",))[0].count == 2


def test_a_socket_without_a_peer_is_counted_as_one() -> None:
    alone = replace(CONNECTION, remote_address="", remote_port=0)
    assert told([alone], ("remote",)) == [Count(1, 1, remote=RemoteEnd(""))]


def test_a_socket_that_came_to_be_in_several_states_counts_once_and_for_its_process() -> None:
    one = replace(talks("a", NGINX, 40_000, "10.0.0.5", 80), cookie=7)
    left = replace(one, state="TIME_WAIT", owners=(), inode=0)
    again = replace(one, cookie=8)
    elsewhere = replace(one, host="b")
    assert list(each_once([left, one, left, again, elsewhere])) == [one, again, elsewhere]
    # Cookies begin anew at each boot. A UDP socket may take other addresses while it lives.
    booted = replace(one, remote_port=81)
    for protocol, sockets in (("tcp", 2), ("sctp", 2), ("udp", 1)):
        assert len(list(each_once([replace(s, protocol=protocol) for s in (one, booted)]))) == sockets
    # Without a cookie the inode tells two apart, and without that their addresses.
    assert len(list(each_once([replace(s, cookie=0) for s in (one, one, replace(one, inode=9))]))) == 2
    alike = [replace(s, cookie=0, inode=0) for s in (one, one, replace(one, remote_port=81))]
    assert len(list(each_once(alike))) == 2


_SOCKETS = st.lists(
    st.builds(
        talks,
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([NGINX, POSTGRES]),
        st.sampled_from([80, 443, 40_000, 40_001]),
        st.sampled_from(["10.0.0.5", "10.0.0.6", "::1"]),
        st.sampled_from([80, 5432, 50_000, 50_001]),
    ),
    max_size=30,
).map(lambda sockets: sorted(sockets, key=lambda socket: socket.host))


@given(_SOCKETS, st.sampled_from([("host",), ("process",), ("remote",), ("host", "process"), BY]))
def test_each_socket_is_counted_once_and_the_highest_comes_first(sockets: list[Socket], by: tuple[str, ...]) -> None:
    counted = told(sockets, by)
    assert sum(one.count for one in counted) == len(sockets)
    assert [one.count for one in counted] == sorted((one.count for one in counted), reverse=True)
    plain = Counter((s.host * ("host" in by), s.owners[0].name * ("process" in by)) for s in sockets)
    found: Counter[tuple[str, str]] = Counter()
    for one in counted:
        found[one.host, one.process] += one.count
    assert found == plain
    assert all(1 <= one.hosts <= one.count for one in counted)
    if by == ("process",):
        assert {c.process: c.hosts for c in counted} == {
            name: len({s.host for s in sockets if s.owners[0].name == name}) for name in {c.process for c in counted}
        }


def test_what_to_count_by_is_one_word_or_several_in_one_order() -> None:
    assert parse_by("remote") == ("remote",)
    assert parse_by("remote,host") == ("host", "remote")
    with pytest.raises(UsageError, match='--by hosts: count by host, process or remote; did you mean "host"'):
        parse_by("hosts")
    with pytest.raises(UsageError, match="count by host, process or remote"):
        parse_by("host,")
