"""The questions on the admin socket, against a real database."""

from collections.abc import Iterator

import grpc
import pytest
from fleetnet_proto.v1 import network_pb2, query_pb2, query_pb2_grpc, sockets_pb2
from server.agents import DEADLINE_S, ReportStream
from server.running import Running

from server import messages


@pytest.fixture(scope="module")
def queries(collector: Running) -> Iterator[query_pb2_grpc.QueryServiceStub]:
    """A fleet of two hosts, one of which has reported."""
    collector.join("db1")
    with collector.channel(collector.join("web1")) as channel, collector.admin() as admin:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        listeners = [messages.listener(port) for port in (443, *range(20_000, 20_600))]
        stream.send(batch=messages.batch(1, *listeners, snapshot=True))
        stream.await_ack(1)
        told = messages.batch(2, messages.listener(8080))
        told.opened[0].key.netns = 4026532001
        told.namespaces.add(netns=0, interfaces=[network_pb2.Interface(index=1, name="lo", mtu=65_536, link=True)])
        told.namespaces.add(netns=4026532001, name="blue", container="c0ffee", runtime="podman")
        told.namespaces[0].routes.add(family=sockets_pb2.FAMILY_IPV4, destination=bytes(4), table=254, type=1)
        stream.send(batch=told)
        stream.await_ack(2)
        yield query_pb2_grpc.QueryServiceStub(admin)
        stream.close()


def sockets(
    queries: query_pb2_grpc.QueryServiceStub, question: query_pb2.ListSocketsRequest
) -> list[query_pb2.ListSocketsResponse]:
    return list(queries.ListSockets(question, timeout=DEADLINE_S))


def test_an_answer_is_coverage_then_pages_then_the_end(queries: query_pb2_grpc.QueryServiceStub) -> None:
    answer = sockets(queries, query_pb2.ListSocketsRequest())
    assert [part.WhichOneof("part") for part in answer] == ["coverage", *["page"] * (len(answer) - 2), "end"]
    assert len(answer) > 3
    coverage = answer[0].coverage
    assert (coverage.hosts_asked, coverage.hosts_fresh) == (2, 1)
    assert [stale.host for stale in coverage.hosts_stale] == ["db1"]
    items = [item for part in answer for item in part.page.items]
    assert [item.local_port for item in items] == [443, *range(20_000, 20_600), 8080]
    assert answer[-1].end == query_pb2.End(items=602, truncated=False)


def test_a_port_is_found_with_its_owner(queries: query_pb2_grpc.QueryServiceStub) -> None:
    question = query_pb2.ListSocketsRequest(local_ports=[query_pb2.PortRange(first=443, last=443)], listeners_only=True)
    (item,) = (item for part in sockets(queries, question) for item in part.page.items)
    assert (item.host, item.netns, item.unit, item.uid, item.send_queue) == ("web1", "host", "nginx.service", 0, 511)
    assert [(owner.pid, owner.name) for owner in item.owners] == [(812, "nginx")]
    assert (item.scope, item.exposure) == (query_pb2.ADDRESS_SCOPE_ANY, query_pb2.EXPOSURE_YES)


def test_a_limit_cuts_and_says_so(queries: query_pb2_grpc.QueryServiceStub) -> None:
    question = query_pb2.ListSocketsRequest(selection=query_pb2.Selection(limit=3))
    answer = sockets(queries, question)
    assert sum(len(part.page.items) for part in answer) == 3
    assert answer[-1].end == query_pb2.End(items=3, truncated=True)


def test_a_question_may_be_narrowed_to_another_end_or_to_what_began(queries: query_pb2_grpc.QueryServiceStub) -> None:
    def found(**narrower: object) -> int:
        asked = query_pb2.ListSocketsRequest(listeners_only=True)
        question = query_pb2.FindSocketsRequest(sockets=asked, **narrower)  # type: ignore[arg-type]  # fields of it
        return sum(len(part.page.items) for part in queries.FindSockets(question, timeout=DEADLINE_S))

    [first] = sockets(queries, query_pb2.ListSocketsRequest(selection=query_pb2.Selection(limit=1)))[1].page.items
    assert found() == 602
    assert found(opened_since_us=first.opened_at_us) >= 1
    assert found(opened_since_us=first.opened_at_us + 3_600_000_000) == 0
    # A listener has no other end.
    assert found(remote=query_pb2.Net(address=bytes(4))) == 0


def test_a_question_may_be_narrowed_by_all_that_there_is(queries: query_pb2_grpc.QueryServiceStub) -> None:
    def found(**narrower: object) -> int:
        question = query_pb2.SeekSocketsRequest(**narrower)  # type: ignore[arg-type]  # fields of it
        return sum(len(part.page.items) for part in queries.SeekSockets(question, timeout=DEADLINE_S))

    assert found() == found(host_globs=["db?", "web?"]) == 602
    assert found(host_globs=["db?", "nobody"]) == found(container="c0ffee") == 0
    # They listen on 0.0.0.0, and so in each net of IPv4.
    assert found(local=query_pb2.Net(address=bytes([10, 0, 0, 0]), prefix_bits=8)) == 602
    assert found(local=query_pb2.Net(address=b"\x20\x01" + bytes(14), prefix_bits=16)) == 0
    assert found(remotes=[query_pb2.Net(address=bytes(4))]) == found(remote_ports=[query_pb2.PortRange(last=9)]) == 0


def test_the_largest_question_is_read_and_what_is_larger_is_not(queries: query_pb2_grpc.QueryServiceStub) -> None:
    ports = [query_pb2.PortRange(first=port, last=port) for port in range(20_000, 65_536, 12)]
    ports = [*ports, *ports][:4_096]
    question = query_pb2.SeekSocketsRequest(
        sockets=query_pb2.ListSocketsRequest(local_ports=ports),
        remote_ports=ports,
        remotes=[query_pb2.Net(address=b"\x20" + n.to_bytes(15), prefix_bits=128) for n in range(1_024)],
        host_globs=["w" * 253] * 64,
    )
    assert list(queries.SeekSockets(question, timeout=DEADLINE_S))[-1].HasField("end")
    question.remotes.extend([query_pb2.Net()] * 200_000)
    with pytest.raises(grpc.RpcError) as refused:
        list(queries.SeekSockets(question, timeout=DEADLINE_S))
    assert isinstance(refused.value, grpc.Call)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_hosts_may_be_sought_by_several_names(queries: query_pb2_grpc.QueryServiceStub) -> None:
    def found(*globs: str) -> list[str]:
        answer = queries.SeekHosts(query_pb2.SeekHostsRequest(host_globs=globs), timeout=DEADLINE_S)
        return [item.host for part in answer for item in part.page.items]

    assert found("web*", "d*1", "nobody") == found() == ["db1", "web1"]
    assert found("web*", "nobody") == ["web1"]


def test_hosts_are_listed_by_name_with_their_facts(queries: query_pb2_grpc.QueryServiceStub) -> None:
    answer = list(queries.ListHosts(query_pb2.ListHostsRequest(), timeout=DEADLINE_S))
    db1, web1 = (item for part in answer for item in part.page.items)
    assert (db1.host, db1.fresh, db1.connected, db1.last_seen_us) == ("db1", False, False, 0)
    assert (web1.host, web1.fresh, web1.connected, web1.sockets, web1.listeners) == ("web1", True, True, 602, 602)
    assert web1.os == "Debian GNU/Linux 12 (bookworm)"
    assert answer[-1].HasField("end")


def test_namespaces_are_told_with_what_is_in_them(queries: query_pb2_grpc.QueryServiceStub) -> None:
    answer = list(queries.ListNamespaces(query_pb2.ListNamespacesRequest(), timeout=DEADLINE_S))
    assert [part.WhichOneof("part") for part in answer] == ["coverage", "page", "end"]
    assert (answer[0].coverage.hosts_asked, answer[0].coverage.hosts_fresh) == (2, 1)
    own, blue = answer[1].page.items
    assert (own.host, own.netns, own.namespace.netns, own.namespace.interfaces[0].name) == ("web1", "host", 0, "lo")
    assert [route.table for route in own.namespace.routes] == [254]
    assert list(own.interfaces_since_us) == list(own.routes_since_us) == [own.opened_at_us]
    assert (blue.netns, blue.namespace.netns, blue.namespace.runtime) == ("blue", 4026532001, "podman")
    assert answer[2].end == query_pb2.End(items=2, truncated=False)


def test_namespaces_may_be_asked_for_without_what_is_in_them(queries: query_pb2_grpc.QueryServiceStub) -> None:
    question = query_pb2.ListNamespacesRequest(own_only=True, without_interfaces=True, without_routes=True)
    (item,) = (i for part in queries.ListNamespaces(question, timeout=DEADLINE_S) for i in part.page.items)
    assert (item.netns, len(item.namespace.interfaces), len(item.namespace.routes)) == ("host", 0, 0)


def test_a_socket_of_another_namespace_is_shown_under_its_name(queries: query_pb2_grpc.QueryServiceStub) -> None:
    question = query_pb2.ListSocketsRequest(local_ports=[query_pb2.PortRange(first=8080, last=8080)])
    (item,) = (item for part in sockets(queries, question) for item in part.page.items)
    assert (item.netns, item.netns_inode, item.exposure) == ("blue", 4026532001, query_pb2.EXPOSURE_UNKNOWN)


def test_an_unknown_host_is_an_error_and_not_an_empty_answer(queries: query_pb2_grpc.QueryServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        sockets(queries, query_pb2.ListSocketsRequest(selection=query_pb2.Selection(host="nobody")))
    assert isinstance(refused.value, grpc.Call)
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert '"nobody"' in (refused.value.details() or "")


def test_a_question_that_makes_no_sense_is_refused(queries: query_pb2_grpc.QueryServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        sockets(queries, query_pb2.ListSocketsRequest(local_ports=[query_pb2.PortRange(first=9, last=1)]))
    assert isinstance(refused.value, grpc.Call)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_answer_that_is_broken_off_does_not_hold_up_the_next(queries: query_pb2_grpc.QueryServiceStub) -> None:
    for _ in range(40):
        call = queries.ListSockets(query_pb2.ListSocketsRequest(), timeout=DEADLINE_S)
        next(call)
        call.cancel()
    assert sockets(queries, query_pb2.ListSocketsRequest())[-1].HasField("end")


def test_what_happened_is_told_from_the_start_of_the_agent_on(queries: query_pb2_grpc.QueryServiceStub) -> None:
    asked = query_pb2.ListSocketsRequest(selection=query_pb2.Selection(host="web1"))
    answer = list(queries.ListLives(query_pb2.ListLivesRequest(sockets=asked, since_us=1), timeout=DEADLINE_S))
    assert answer[0].coverage.hosts_asked == 1
    items = [item for part in answer for item in part.page.items]
    assert sum(item.HasField("socket") for item in items) == 602
    assert sum(item.HasField("agent_start") for item in items) == 1
    assert answer[-1].end == query_pb2.End(items=603, truncated=False)


def test_what_happened_on_a_host_that_nobody_knows_is_not_found(queries: query_pb2_grpc.QueryServiceStub) -> None:
    asked = query_pb2.ListSocketsRequest(selection=query_pb2.Selection(host="nobody"))
    with pytest.raises(grpc.RpcError) as refused:
        list(queries.ListLives(query_pb2.ListLivesRequest(sockets=asked, since_us=1), timeout=DEADLINE_S))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
