"""A host that is revoked while it reports: its stream ends soon, whichever collector it has, and it stores no more."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import admin_pb2, query_pb2, report_pb2, report_pb2_grpc
from server.agents import DEADLINE_S, Identity, ReportStream, ended_with, request_for
from server.people import administration
from server.running import Running, ports_of

from server import messages

# What is promised is 2 s. A machine that does much else may take longer to come round to it, and no test may fail of
# that; what it took is printed.
BOUND_S = 2.0
_BUSY = 10


def revoke(collector: Running, *names: str) -> list[admin_pb2.HostStanding]:
    """Keep hosts out, told to this collector."""
    with collector.admin() as channel:
        request = admin_pb2.RevokeHostsRequest(hosts=names)
        return list(administration(channel).RevokeHosts(request, timeout=DEADLINE_S).hosts)


class _Host:
    """A host that reports to one of the collectors, for as long as it may."""

    def __init__(self, identity: Identity, channel: grpc.Channel) -> None:
        self.identity = identity
        self.stream = ReportStream(channel)
        self.stream.open(messages.hello())
        self._told = 0
        self.tell(1)
        self.stream.await_ack(1)

    def tell(self, batches: int) -> None:
        """Send batches, each of which tells of one more listener, and wait for nothing."""
        for _ in range(batches):
            self._told += 1
            said = messages.batch(self._told, messages.listener(self._told), snapshot=self._told == 1)
            self.stream.send(batch=said)


def _refused(collector: Running, identity: Identity) -> None:
    """Neither a stream is opened to it nor its certificate renewed."""
    with collector.channel(identity) as channel:
        stream = ReportStream(channel)
        stream.send(hello=messages.hello())
        assert ended_with(stream) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "the host of this certificate is not in the fleet, or was revoked; enroll it again",
        )
        stream.close()
        renewal = report_pb2.RenewRequest(csr=request_for(ec.generate_private_key(ec.SECP256R1())))
        with pytest.raises(grpc.RpcError) as refused:
            report_pb2_grpc.ReportServiceStub(channel).Renew(renewal, timeout=DEADLINE_S)
        assert isinstance(refused.value, grpc.Call)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def _revoked_while_they_report(collectors: list[Running], here: Running) -> None:
    with ExitStack() as held:
        hosts = []
        for number, collector in enumerate(collectors):
            identity = collector.join(f"web{number}")
            hosts.append(_Host(identity, held.enter_context(collector.channel(identity))))
        well = _Host(joined := here.join("well"), held.enter_context(here.channel(joined)))
        for host in (*hosts, well):
            host.tell(20)
        names = [host.identity.host for host in hosts]
        standing = revoke(here, *names)
        assert [(one.host, one.status) for one in standing] == [(n, query_pb2.HOST_STATUS_REVOKED) for n in names]
        since_s = time.monotonic()
        stored = {name: ports_of(here, name) for name in names}
        for host in (*hosts, well):
            host.tell(20)
        for host in hosts:
            code, words = ended_with(host.stream)
            took_s = time.monotonic() - since_s
            assert (code, "was revoked" in words) == (grpc.StatusCode.UNAUTHENTICATED, True)
            print(f"{host.identity.host}: its stream ended after {took_s:.2f} s")
            assert took_s < _BUSY * BOUND_S
        assert {name: ports_of(here, name) for name in names} == stored
        for collector, host in zip(collectors, hosts, strict=True):
            _refused(collector, host.identity)
        well.stream.await_ack(41)
        assert ports_of(here, "well") == list(range(1, 42))
        well.stream.close()


def test_a_revoked_host_stores_no_more_and_its_stream_ends(data: Path) -> None:
    running = Running(data)
    _revoked_while_they_report([running], running)
    again = running.join("web0")
    with running.channel(again) as channel:
        stream = ReportStream(channel)
        # What was stored of the same agent stands.
        assert stream.open(messages.hello()).committed_sequence >= 1
        stream.close()
    assert running.terminate() == 0


def test_the_silent_stream_of_a_machine_ends_in_whose_place_another_has_joined(data: Path) -> None:
    _another_joins(running := Running(data), running)
    assert running.terminate() == 0


def test_another_joins_in_the_place_of_a_silent_one_by_another_collector(
    side_by_side: Callable[[int], list[Running]],
) -> None:
    _another_joins(*side_by_side(2))


def _another_joins(there: Running, here: Running) -> None:
    """As the host that has a stream to one collector, by the other."""
    with ExitStack() as held:
        former = _Host(identity := there.join("web1"), held.enter_context(there.channel(identity)))
        well = _Host(identity := there.join("web2"), held.enter_context(there.channel(identity)))
        identity = here.join("web1")  # and opens no stream, which would end the former as well
        code, words = ended_with(former.stream)
        assert (code, "was revoked" in words) == (grpc.StatusCode.UNAUTHENTICATED, True)
        now = _Host(identity, held.enter_context(here.channel(identity)))
        for one in (now, well):
            one.tell(1)
            one.stream.await_ack(2)
        for one in (now, well):
            one.stream.close()


def test_revoked_hosts_also_quiet_ones_are_cut_off_by_each_of_three_collectors_of_one_database(
    side_by_side: Callable[[int], list[Running]],
) -> None:
    collectors = side_by_side(3)
    _revoked_while_they_report(collectors, collectors[0])
    quiet = collectors[2].join("quiet")
    with collectors[2].channel(quiet) as channel:
        host = _Host(quiet, channel)
        revoke(collectors[1], "quiet")
        since_s = time.monotonic()
        assert ended_with(host.stream)[0] is grpc.StatusCode.UNAUTHENTICATED
        took_s = time.monotonic() - since_s
        print(f"quiet: its stream ended after {took_s:.2f} s")
        assert took_s < _BUSY * BOUND_S
