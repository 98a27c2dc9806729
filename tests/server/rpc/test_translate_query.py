"""Questions are checked, and answers say what is kept."""

from collections.abc import Callable

import pytest
from fleetnet_proto.v1 import query_pb2, sockets_pb2
from fleetnet_server import records
from fleetnet_server.errors import RequestRefused
from fleetnet_server.rpc import known, translate_query

ANSWER = records.SocketAnswer(
    host="web1",
    netns=0,
    protocol=6,
    family=4,
    state=10,
    interface="eth0",
    v6only=None,
    local_address=bytes(4),
    local_port=443,
    remote_address=b"",
    remote_port=0,
    recv_queue=1,
    send_queue=511,
    inode=12_345,
    cookie=77,
    source=1,
    holder=records.Holder(
        None,
        "root",
        "nginx.service",
        "c1",
        1,
        (records.Process(9, 2, "b", "/b", "b"), records.Process(8, 1, "a", "/a", "a")),
    ),
    opened_at_us=5,
    opened_at_is=2,
    closed_at_us=0,
    closed_at_is=0,
    last_seen_us=6,
)


def test_an_empty_question_asks_for_everything_now() -> None:
    assert translate_query.socket_question(query_pb2.ListSocketsRequest()) == records.SocketQuestion(
        records.Selection(max_age_ms=120_000)
    )


def test_a_question_comes_through_whole() -> None:
    message = query_pb2.ListSocketsRequest(
        selection=query_pb2.Selection(host_glob="web*", at_us=7, max_age_ms=8, limit=9),
        states=[sockets_pb2.STATE_LISTEN],
        protocols=[sockets_pb2.PROTOCOL_UDP],
        local_ports=[query_pb2.PortRange(first=1, last=65_535)],
        listeners_only=True,
        exposed_only=True,
        process="nginx",
        unit="nginx.service",
        user="root",
    )
    assert translate_query.socket_question(message) == records.SocketQuestion(
        selection=records.Selection(host_globs=("web*",), at_us=7, max_age_ms=8, limit=9),
        states=(10,),
        protocols=(17,),
        local_ports=((1, 65_535),),
        listeners_only=True,
        exposed_only=True,
        process="nginx",
        unit="nginx.service",
        user="root",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda q: q.local_ports.append(query_pb2.PortRange(first=2, last=1)), "2-1 is no range"),
        (lambda q: q.local_ports.append(query_pb2.PortRange(first=2, last=65_536)), "is no range"),
        (lambda q: q.local_ports.extend([query_pb2.PortRange(first=1, last=1)] * 4_097), "4097 ranges"),
        (lambda q: q.states.append(0), "state 0"),
        (lambda q: q.states.append(99), "state 99"),
        (lambda q: q.protocols.append(1), "protocol 1"),
        (lambda q: setattr(q, "process", "x" * 1_025), "process asked for"),
        (lambda q: setattr(q, "unit", "a\0"), "holds a NUL"),
        (lambda q: setattr(q.selection, "at_us", -1), "not between 1970 and 2100"),
        (lambda q: setattr(q.selection, "at_us", 2**62), "not between 1970 and 2100"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    change: Callable[[query_pb2.ListSocketsRequest], None], words: str
) -> None:
    message = query_pb2.ListSocketsRequest()
    change(message)
    with pytest.raises(RequestRefused, match=words):
        translate_query.socket_question(message)


def test_a_narrower_question_comes_through_whole() -> None:
    message = query_pb2.FindSocketsRequest(
        sockets=query_pb2.ListSocketsRequest(selection=query_pb2.Selection(at_us=9), user="root"),
        remote=query_pb2.Net(address=bytes([10, 0, 0, 0]), prefix_bits=8),
        remote_port=443,
        opened_since_us=7,
    )
    assert translate_query.narrower_question(message) == records.SocketQuestion(
        selection=records.Selection(at_us=9, max_age_ms=120_000),
        user="root",
        remotes=(records.Net(bytes([10, 0, 0, 0]), 8),),
        remote_ports=((443, 443),),
        opened_since_us=7,
    )
    assert translate_query.narrower_question(query_pb2.FindSocketsRequest()) == records.SocketQuestion(
        records.Selection(max_age_ms=120_000)
    )


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (query_pb2.FindSocketsRequest(remote=query_pb2.Net(address=bytes(4), prefix_bits=33)), "no net"),
        (query_pb2.FindSocketsRequest(remote=query_pb2.Net(address=bytes(16), prefix_bits=129)), "no net"),
        (query_pb2.FindSocketsRequest(remote=query_pb2.Net(address=b"")), "0 bytes"),
        (query_pb2.FindSocketsRequest(remote=query_pb2.Net(address=bytes(5))), "5 bytes"),
        (query_pb2.FindSocketsRequest(remote_port=80), "without a remote address"),
        (query_pb2.FindSocketsRequest(remote=query_pb2.Net(address=bytes(4)), remote_port=65_536), "no port"),
        (query_pb2.FindSocketsRequest(opened_since_us=-1), "not between 1970 and 2100"),
        (query_pb2.FindSocketsRequest(opened_since_us=2**62), "not between 1970 and 2100"),
        (
            query_pb2.FindSocketsRequest(
                sockets=query_pb2.ListSocketsRequest(selection=query_pb2.Selection(at_us=6)), opened_since_us=7
            ),
            "later than the time asked about",
        ),
    ],
)
def test_a_narrower_question_that_makes_no_sense_is_refused(message: query_pb2.FindSocketsRequest, words: str) -> None:
    with pytest.raises(RequestRefused, match=words):
        translate_query.narrower_question(message)


def test_the_narrowest_question_comes_through_whole() -> None:
    message = query_pb2.SeekSocketsRequest(
        sockets=query_pb2.ListSocketsRequest(selection=query_pb2.Selection(host_glob="db*", at_us=9), unit="x.service"),
        host_globs=["web*", "a"],
        opened_since_us=7,
        remotes=[query_pb2.Net(address=bytes(16), prefix_bits=96), query_pb2.Net(address=bytes(4), prefix_bits=32)],
        remote_ports=[query_pb2.PortRange(first=1, last=2), query_pb2.PortRange(first=9, last=9)],
        local=query_pb2.Net(address=bytes([10, 0, 0, 0]), prefix_bits=8),
        container="c0ffee",
    )
    assert translate_query.narrowest_question(message) == records.SocketQuestion(
        selection=records.Selection(host_globs=("db*", "web*", "a"), at_us=9),
        unit="x.service",
        opened_since_us=7,
        remotes=(records.Net(bytes(16), 96), records.Net(bytes(4), 32)),
        remote_ports=((1, 2), (9, 9)),
        local=records.Net(bytes([10, 0, 0, 0]), 8),
        container="c0ffee",
    )
    assert translate_query.narrowest_question(query_pb2.SeekSocketsRequest()) == records.SocketQuestion(
        records.Selection()
    )


def test_hosts_are_sought_by_all_globs_together() -> None:
    message = query_pb2.SeekHostsRequest(
        hosts=query_pb2.ListHostsRequest(selection=query_pb2.Selection(host_glob="db*", limit=3)),
        host_globs=["web*"],
        labels=[query_pb2.Label(key="role", value="web"), query_pb2.Label(key="env")] * 2,
    )
    assert translate_query.hosts_sought(message) == records.Selection(
        host_globs=("db*", "web*"), limit=3, labels=(records.Label("role", "web"), records.Label("env", ""))
    )
    assert translate_query.hosts_sought(query_pb2.SeekHostsRequest()) == records.Selection()


def _apart(count: int) -> list[query_pb2.PortRange]:
    return [query_pb2.PortRange(first=4 * n, last=4 * n + 1) for n in range(count)]


_ONE, _WIDE = query_pb2.Net(address=bytes(4), prefix_bits=32), query_pb2.Net(address=bytes(4), prefix_bits=31)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (query_pb2.SeekSocketsRequest(remotes=[_ONE] * 1_025), "1025 nets"),
        (query_pb2.SeekSocketsRequest(remotes=[_WIDE] * 61), "61 nets of more than one address"),
        (query_pb2.SeekSocketsRequest(remote_ports=_apart(257)), "257 ranges of ports that lie apart; at most 256"),
        (
            query_pb2.SeekSocketsRequest(
                sockets=query_pb2.ListSocketsRequest(local_ports=_apart(129)), remote_ports=_apart(128)
            ),
            "257 ranges of ports that lie apart; at most 256",
        ),
        (
            query_pb2.SeekSocketsRequest(remotes=[_WIDE] * 60, remote_ports=_apart(3)),
            "3 ranges of ports, each in 60 nets; at most 128 pairs",
        ),
        (query_pb2.SeekSocketsRequest(remotes=[query_pb2.Net(address=b"")]), "0 bytes"),
        (query_pb2.SeekSocketsRequest(local=query_pb2.Net(address=bytes(4), prefix_bits=33)), "no net"),
        (query_pb2.SeekSocketsRequest(remote_ports=[query_pb2.PortRange(first=2, last=1)]), "2-1 is no range"),
        (query_pb2.SeekSocketsRequest(remote_ports=[query_pb2.PortRange(last=1)] * 4_097), "4097 ranges"),
        (query_pb2.SeekSocketsRequest(host_globs=[""]), "is empty"),
        (query_pb2.SeekSocketsRequest(host_globs=["a"] * 65), "65 patterns"),
        (query_pb2.SeekSocketsRequest(host_globs=["a\0"]), "holds a NUL"),
        (query_pb2.SeekSocketsRequest(labels=[query_pb2.Label(key="Role")]), "'Role' cannot be the key"),
        (query_pb2.SeekSocketsRequest(labels=[query_pb2.Label(key="a", value="b c")]), "'b c' cannot be what"),
        (query_pb2.SeekSocketsRequest(labels=[query_pb2.Label(key="a")] * 65), "65 labels"),
        (
            query_pb2.SeekSocketsRequest(
                sockets=query_pb2.ListSocketsRequest(selection=query_pb2.Selection(host="web1")),
                labels=[query_pb2.Label(key="role")],
            ),
            "one host is asked about",
        ),
        (query_pb2.SeekSocketsRequest(container="x" * 1_025), "container asked for"),
        (query_pb2.SeekSocketsRequest(opened_since_us=-1), "not between 1970 and 2100"),
    ],
)
def test_the_narrowest_question_that_makes_no_sense_is_refused(
    message: query_pb2.SeekSocketsRequest, words: str
) -> None:
    with pytest.raises(RequestRefused, match=words):
        translate_query.narrowest_question(message)


def test_ports_are_put_together_before_they_are_counted() -> None:
    ports = [query_pb2.PortRange(first=port, last=port) for port in (9, *range(1_000, 3_000), 7, 9)]
    ports += [query_pb2.PortRange(first=2_000, last=4_000), query_pb2.PortRange(first=4_001, last=4_001)]
    message = query_pb2.SeekSocketsRequest(
        sockets=query_pb2.ListSocketsRequest(local_ports=ports), remote_ports=ports, remotes=[_WIDE] * 60
    )
    question = translate_query.narrowest_question(message)
    assert question.local_ports == question.remote_ports == ((7, 7), (9, 9), (1_000, 4_001))


def test_what_is_too_much_is_refused_before_each_of_it_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    monkeypatch.setattr(known, "check", looked.append)
    much = [
        query_pb2.SeekSocketsRequest(remotes=[query_pb2.Net()] * 1_025),
        query_pb2.SeekSocketsRequest(remote_ports=[query_pb2.PortRange()] * 4_097),
        query_pb2.SeekSocketsRequest(sockets=query_pb2.ListSocketsRequest(local_ports=[query_pb2.PortRange()] * 4_097)),
        query_pb2.SeekSocketsRequest(host_globs=["a"] * 65),
    ]
    for message in much:
        with pytest.raises(RequestRefused, match="at most"):
            translate_query.narrowest_question(message)
        with pytest.raises(RequestRefused, match="at most"):
            translate_query.watched_question(query_pb2.WatchSocketsRequest(sockets=message))
    with pytest.raises(RequestRefused, match="at most"):
        translate_query.hosts_sought(query_pb2.SeekHostsRequest(host_globs=["a"] * 65))
    assert looked == []
    watched = query_pb2.WatchSocketsRequest(sockets=query_pb2.SeekSocketsRequest(remotes=[_ONE]))
    translate_query.watched_question(watched)
    assert looked == [watched]


def test_a_question_with_something_in_it_that_is_not_known_is_refused_and_not_half_answered() -> None:
    unheard_of = b"\xfa\x3f\x01x"  # field 1023, of one byte
    for message in (
        query_pb2.SeekSocketsRequest.FromString(unheard_of),
        query_pb2.SeekSocketsRequest(
            sockets=query_pb2.ListSocketsRequest(selection=query_pb2.Selection.FromString(unheard_of))
        ),
        query_pb2.SeekSocketsRequest(remotes=[_ONE, query_pb2.Net.FromString(unheard_of)]),
    ):
        with pytest.raises(RequestRefused, match=r"does not know field 1023 of its .*; upgrade fleetnet-server"):
            translate_query.narrowest_question(message)
    with pytest.raises(RequestRefused, match="does not know field 1023 of its Selection"):
        translate_query.hosts_sought(
            query_pb2.SeekHostsRequest(
                hosts=query_pb2.ListHostsRequest(selection=query_pb2.Selection.FromString(unheard_of))
            )
        )


def test_all_of_a_coverage_is_told() -> None:
    coverage = records.Coverage(
        as_of_us=9,
        hosts_asked=4,
        hosts_fresh=3,
        hosts_stale=(records.StaleHost("db3", 7),),
        gaps=2,
        not_kept=(records.NotKept(query_pb2.KEPT_BRIEF, 5),),
        unseen_holders=6,
        unmatched_globs=("db9",),
        unmatched_labels=(records.Label("role", "web"),),
    )
    told = translate_query.coverage(coverage)
    assert told == query_pb2.Coverage(
        as_of_us=9,
        hosts_asked=4,
        hosts_fresh=3,
        hosts_stale=[query_pb2.StaleHost(host="db3", last_seen_us=7)],
        gaps=2,
        not_kept=[query_pb2.NotKept(kind=query_pb2.KEPT_BRIEF, since_us=5)],
        unseen_holders=6,
        unmatched_globs=["db9"],
        unmatched_labels=[query_pb2.Label(key="role", value="web")],
    )
    assert {field.name for field, _ in told.ListFields()} == set(query_pb2.Coverage.DESCRIPTOR.fields_by_name)


def item_of(answer: records.SocketAnswer) -> query_pb2.SocketItem:
    (page,) = translate_query.socket_pages([answer])
    (item,) = page.items
    return item


def test_the_owners_of_a_holder_are_made_once_for_all_its_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[records.Holder] = []
    real = translate_query.owner_items

    def noted(holder: records.Holder) -> list[query_pb2.OwnerItem]:
        made.append(holder)
        return real(holder)

    monkeypatch.setattr(translate_query, "owner_items", noted)
    pages = list(translate_query.socket_pages([ANSWER._replace(local_port=port) for port in range(9)]))
    assert made == [ANSWER.holder]
    assert [[owner.pid for owner in item.owners] for page in pages for item in page.items] == [[8, 9]] * 9


def test_an_answer_comes_through_with_owners_by_pid_and_absent_things_absent() -> None:
    item = item_of(ANSWER)
    assert (item.host, item.netns, item.local_port, item.cookie) == ("web1", "host", 443, 77)
    assert [owner.pid for owner in item.owners] == [8, 9]
    assert not item.HasField("uid")
    assert not item.HasField("v6only")
    assert item.scope == query_pb2.ADDRESS_SCOPE_ANY
    assert item.exposure == query_pb2.EXPOSURE_YES


def test_zero_is_not_absent() -> None:
    root = ANSWER._replace(v6only=False, holder=ANSWER.holder._replace(uid=0))
    item = item_of(root)
    assert item.HasField("uid")
    assert item.HasField("v6only")


@pytest.mark.parametrize(
    ("changes", "scope", "exposure"),
    [
        ({"local_address": b"\x7f\0\0\1"}, query_pb2.ADDRESS_SCOPE_LOOPBACK, query_pb2.EXPOSURE_NO),
        ({"interface": "lo"}, query_pb2.ADDRESS_SCOPE_ANY, query_pb2.EXPOSURE_NO),
        ({"netns": 4_026_532_000}, query_pb2.ADDRESS_SCOPE_ANY, query_pb2.EXPOSURE_UNKNOWN),
        ({"protocol": 132}, query_pb2.ADDRESS_SCOPE_ANY, query_pb2.EXPOSURE_YES),
        ({"protocol": 136, "state": 7}, query_pb2.ADDRESS_SCOPE_ANY, query_pb2.EXPOSURE_YES),
        ({"protocol": 255, "state": 7}, query_pb2.ADDRESS_SCOPE_ANY, query_pb2.EXPOSURE_YES),
        ({"state": 1}, query_pb2.ADDRESS_SCOPE_UNSPECIFIED, query_pb2.EXPOSURE_UNSPECIFIED),
        ({"protocol": 17, "state": 7}, query_pb2.ADDRESS_SCOPE_ANY, query_pb2.EXPOSURE_YES),
        (
            {"protocol": 17, "state": 1, "remote_address": bytes(4), "remote_port": 53},
            query_pb2.ADDRESS_SCOPE_UNSPECIFIED,
            query_pb2.EXPOSURE_UNSPECIFIED,
        ),
    ],
)
def test_only_a_listener_has_a_scope(changes: dict[str, object], scope: int, exposure: int) -> None:
    item = item_of(ANSWER._replace(**changes))  # type: ignore[arg-type]  # of the right kinds, above
    assert (item.scope, item.exposure) == (scope, exposure)


def test_a_question_about_namespaces_comes_through_whole() -> None:
    message = query_pb2.ListNamespacesRequest(
        selection=query_pb2.Selection(host="web1", limit=3), own_only=True, without_interfaces=True, without_routes=True
    )
    assert translate_query.namespace_question(message) == records.NamespaceQuestion(
        records.Selection(host="web1", limit=3), True, True, True
    )


@pytest.mark.parametrize("protocol", [6, 17, 132, 136, 255, 256, 257])
def test_every_protocol_of_the_wire_may_be_asked_for(protocol: sockets_pb2.Protocol) -> None:
    message = query_pb2.ListSocketsRequest(protocols=[protocol])
    assert translate_query.socket_question(message).protocols == (protocol,)


def test_what_is_told_of_a_unix_socket_and_a_container_comes_through() -> None:
    holder = ANSWER.holder._replace(runtime="docker")
    unix = ANSWER._replace(
        protocol=256, family=1, local_address=b"", type=5, path=b"\0x\xff", peer_inode=9, holder=holder
    )
    item = item_of(unix)
    assert (item.type, item.path, item.peer_inode, item.runtime) == (5, b"\0x\xff", 9, "docker")
    assert (item.scope, item.exposure) == (query_pb2.ADDRESS_SCOPE_UNSPECIFIED, query_pb2.EXPOSURE_UNSPECIFIED)


def test_a_namespace_other_than_the_hosts_own_is_its_name_or_its_number() -> None:
    named = item_of(ANSWER._replace(netns=4_026_532_000, netns_name="blue"))
    assert (named.netns, named.netns_inode) == ("blue", 4_026_532_000)
    assert item_of(ANSWER._replace(netns=4_026_532_000)).netns == "4026532000"


def test_pages_stay_small_whatever_the_owners_weigh_and_keep_the_order() -> None:
    owners = tuple(records.Process(pid, 1, "n" * 64, "/" * 1_024, "p" * 64) for pid in range(1, 200))
    heavy = ANSWER._replace(holder=ANSWER.holder._replace(owners=owners))
    answers = [heavy._replace(local_port=port) for port in range(50)]
    pages = list(translate_query.socket_pages(answers))
    assert len(pages) > 1
    assert all(page.ByteSize() < 2 * 1024 * 1024 for page in pages)
    assert [item.local_port for page in pages for item in page.items] == list(range(50))
    assert list(translate_query.socket_pages([])) == []
