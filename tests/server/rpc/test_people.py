"""Who gets through to questions and administration over the network: people, as far as their role goes."""

import datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from fleetnet_proto.v1 import admin_pb2, people_pb2, people_pb2_grpc, query_pb2, query_pb2_grpc
from fleetnet_server.identity import ca, tokens
from fleetnet_server.rpc import gate
from google.protobuf.descriptor import MethodDescriptor
from server.agents import DEADLINE_S, Identity, ReportStream, ended_with, new_request
from server.people import (
    OPERATOR,
    VIEWER,
    administration,
    ask,
    change_role,
    enroll_person,
    log_in,
    person_token,
    refused,
    renew,
    revoke,
)
from server.rpc.test_peers import not_let_in
from server.running import Running

from server import forged, messages

DENIED, UNKNOWN = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
ALICE = "spiffe://fleetnet/person/alice"

_METHODS = [
    method
    for file in (query_pb2, admin_pb2, people_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def called(channel: grpc.Channel, method: MethodDescriptor) -> tuple[grpc.StatusCode, str]:
    """How a call with an empty request ends that is refused."""
    kind: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = kind(f"/{method.containing_service.full_name}/{method.name}")
    with pytest.raises(grpc.RpcError) as error:
        list(call(b"", timeout=DEADLINE_S))
    return refused(error)


@pytest.fixture(scope="module")
def web1(collector: Running) -> Identity:
    return collector.join("web1")


@pytest.mark.parametrize("method", _METHODS, ids=lambda method: str(method.name))
def test_a_host_may_neither_ask_nor_administer(collector: Running, web1: Identity, method: MethodDescriptor) -> None:
    with collector.channel(web1) as channel:
        code, words = called(channel, method)
    assert code is DENIED
    assert "hosts may not ask" in words


def test_a_viewer_may_ask_and_may_not_administer(collector: Running) -> None:
    viewer = log_in(collector, "viewer")
    assert ask(collector, viewer) >= 2
    with collector.channel(viewer) as channel:
        for method in admin_pb2.DESCRIPTOR.services_by_name["AdminService"].methods:
            code, words = called(channel, method)
            assert code is DENIED
            assert "viewer is a viewer, and this takes an operator" in words


def test_an_operator_may_ask_and_administer(collector: Running) -> None:
    operator = log_in(collector, "operator", OPERATOR)
    assert ask(collector, operator) >= 2
    with collector.channel(operator) as channel:
        request = admin_pb2.CreateTokenRequest(host="by-operator")
        assert administration(channel).CreateToken(request, timeout=DEADLINE_S).token.startswith("fnt1.")
        people = administration(channel).ListPeople(people_pb2.ListPeopleRequest(), timeout=DEADLINE_S).people
    [item] = [one for one in people if one.person == "operator"]
    assert (item.role, item.revoked) == (OPERATOR, False)
    end = x509.load_pem_x509_certificate(operator.certificate_pem).not_valid_after_utc
    assert item.certificate_until_us == int(end.timestamp()) * 1_000_000
    assert "by=spiffe://fleetnet/person/operator" in collector.await_log("host=by-operator")


def test_a_person_may_not_report(collector: Running) -> None:
    with collector.channel(log_in(collector, "reporter", OPERATOR)) as channel:
        stream = ReportStream(channel)
        stream.send(hello=messages.hello())
        code, words = ended_with(stream)
    assert code is UNKNOWN
    assert "not that of a host" in words


def test_tls_itself_keeps_a_servers_certificate_out_of_everything(collector: Running) -> None:
    server = forged.certificate(collector, (ALICE,), purposes=(ExtendedKeyUsageOID.SERVER_AUTH,))
    with collector.channel(server) as channel:
        assert not_let_in(channel)
        for method in _METHODS:
            assert called(channel, method)[0] is grpc.StatusCode.UNAVAILABLE


CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


@pytest.mark.parametrize(
    ("uris", "purposes", "words"),
    [
        ((), (CLIENT,), "exactly one name"),
        ((ALICE, "spiffe://fleetnet/person/bob"), (CLIENT,), "exactly one name"),
        ((ALICE, "spiffe://fleetnet/host/web1"), (CLIENT,), "exactly one name"),
        ((ALICE,), (CLIENT, ExtendedKeyUsageOID.SERVER_AUTH), "not for client authentication alone"),
        (("spiffe://fleetnet/person/ALICE",), (CLIENT,), "not that of a person"),
        (("spiffe://elsewhere/person/alice",), (CLIENT,), "not that of a person"),
        (("spiffe://fleetnet/person/never-logged-in",), (CLIENT,), "not known here"),
        ((ALICE,), (CLIENT,), "a newer certificate has taken this one's place"),
    ],
    ids=["common name", "two people", "person and host", "purposes", "capitals", "elsewhere", "unknown", "serial"],
)
def test_a_certificate_of_our_ca_that_is_not_a_persons_is_refused(
    collector: Running, uris: tuple[str, ...], purposes: tuple[x509.ObjectIdentifier, ...], words: str
) -> None:
    log_in(collector, "alice", OPERATOR)
    with pytest.raises(grpc.RpcError) as error:
        ask(collector, forged.certificate(collector, uris, purposes=purposes))
    code, said = refused(error)
    assert code is UNKNOWN
    assert words in said


def test_tls_itself_keeps_people_of_another_ca_and_of_the_past_out(collector: Running, tmp_path: Path) -> None:
    foreign = ca.open_authority(tmp_path, datetime.datetime.now(datetime.UTC))
    for identity in (
        forged.certificate(collector, (ALICE,), authority=foreign),
        forged.certificate(collector, (ALICE,), days=-1),
    ):
        with pytest.raises(grpc.RpcError) as error:
            ask(collector, identity)
        assert refused(error)[0] is grpc.StatusCode.UNAVAILABLE


def test_another_role_counts_from_the_next_call_on(collector: Running) -> None:
    carol = log_in(collector, "carol", OPERATOR)
    with collector.channel(carol) as channel:
        administration(channel).ListPeople(people_pb2.ListPeopleRequest(), timeout=DEADLINE_S)
        change_role(collector, "carol", VIEWER)
        with pytest.raises(grpc.RpcError) as error:
            administration(channel).ListPeople(people_pb2.ListPeopleRequest(), timeout=DEADLINE_S)
        assert refused(error)[0] is DENIED
        change_role(collector, "carol", OPERATOR)
        administration(channel).ListPeople(people_pb2.ListPeopleRequest(), timeout=DEADLINE_S)


def watch(channel: grpc.Channel) -> Any:
    """What is watched, once its beginning is there."""
    call = query_pb2_grpc.QueryServiceStub(channel).WatchSockets(query_pb2.WatchSocketsRequest())
    assert next(call).WhichOneof("part") == "coverage"
    return call


def test_who_is_revoked_is_told_in_the_midst_of_watching_and_not_let_in_again(collector: Running) -> None:
    dave = log_in(collector, "dave")
    with collector.channel(dave) as channel:
        call = watch(channel)
        revoke(collector, "dave")
        with pytest.raises(grpc.RpcError) as error:
            list(call)
    assert refused(error) == (
        UNKNOWN, "the person of this certificate is not known here, or was revoked; log in with a new token",
    )  # fmt: skip
    with pytest.raises(grpc.RpcError) as error:
        ask(collector, dave)
    assert refused(error)[0] is UNKNOWN


def test_a_revoked_person_has_no_token_left_and_comes_back_with_a_new_one(collector: Running) -> None:
    log_in(collector, "erin")
    kept_back, _ = tokens.decode(person_token(collector, "erin"))
    revoke(collector, "erin")
    with pytest.raises(grpc.RpcError) as error:
        enroll_person(collector, kept_back, new_request())
    assert refused(error)[0] is UNKNOWN
    assert ask(collector, log_in(collector, "erin")) >= 2


def test_a_renewed_certificate_takes_the_place_of_the_one_before_once_it_was_shown(collector: Running) -> None:
    first = log_in(collector, "frank")
    lost = renew(collector, first)
    second = renew(collector, first)  # the answer before was lost: the first still is good
    with pytest.raises(grpc.RpcError) as error:
        ask(collector, lost)
    assert "a newer certificate" in refused(error)[1]
    assert ask(collector, first) >= 2
    assert ask(collector, second) >= 2
    with pytest.raises(grpc.RpcError) as error:
        ask(collector, first)
    assert "a newer certificate" in refused(error)[1]
    names = x509.load_pem_x509_certificate(second.certificate_pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert [name.value for name in names.value] == ["spiffe://fleetnet/person/frank"]


def test_a_login_ends_the_certificate_before(collector: Running) -> None:
    stolen = log_in(collector, "grace")
    log_in(collector, "grace")
    with pytest.raises(grpc.RpcError) as error:
        ask(collector, stolen)
    assert "a newer certificate" in refused(error)[1]
    with pytest.raises(grpc.RpcError) as error:
        renew(collector, stolen)
    assert refused(error)[0] is UNKNOWN


def test_the_token_of_a_person_lets_no_host_in_nor_the_other_way_round_and_is_not_used_up_by_it(
    collector: Running,
) -> None:
    for_person, _ = tokens.decode(person_token(collector, "heidi"))
    for_host, _ = tokens.decode(collector.token("heidi"))
    with pytest.raises(grpc.RpcError) as as_host:
        collector.enroll(for_person, new_request())
    with pytest.raises(grpc.RpcError) as as_person:
        enroll_person(collector, for_host, new_request())
    assert refused(as_host) == refused(as_person)
    assert refused(as_host)[0] is UNKNOWN
    assert enroll_person(collector, for_person, new_request()).person == "heidi"
    assert collector.enroll(for_host, new_request()).host == "heidi"
    with pytest.raises(grpc.RpcError) as again:
        enroll_person(collector, for_person, new_request())
    assert refused(again) == refused(as_host)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (people_pb2.CreatePersonTokenRequest(person="Ivan", role=VIEWER), "cannot be the name of a person"),
        (people_pb2.CreatePersonTokenRequest(person="i" * 65, role=VIEWER), "at most 64"),
        (people_pb2.CreatePersonTokenRequest(person="ivan"), "viewer or operator"),
        (people_pb2.CreatePersonTokenRequest(person="ivan", role=VIEWER, ttl_s=1), "cannot live 1 s"),
    ],
)
def test_a_token_for_a_person_is_well_formed_or_not_made(
    collector: Running, request_: people_pb2.CreatePersonTokenRequest, words: str
) -> None:
    with collector.admin() as channel, pytest.raises(grpc.RpcError) as error:
        administration(channel).CreatePersonToken(request_, timeout=DEADLINE_S)
    assert refused(error)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert words in refused(error)[1]


def test_who_never_logged_in_can_neither_be_changed_nor_revoked(collector: Running) -> None:
    with pytest.raises(grpc.RpcError) as error:
        change_role(collector, "nobody", VIEWER)
    assert refused(error)[0] is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as error:
        revoke(collector, "nobody")
    assert refused(error)[0] is grpc.StatusCode.NOT_FOUND


def test_nobody_renews_on_the_admin_socket(collector: Running) -> None:
    with collector.admin() as channel, pytest.raises(grpc.RpcError) as error:
        people_pb2_grpc.PersonServiceStub(channel).RenewPerson(people_pb2.RenewPersonRequest(), timeout=DEADLINE_S)
    assert refused(error)[0] is grpc.StatusCode.UNIMPLEMENTED


def test_one_person_asks_so_many_questions_at_once_and_others_are_not_kept_waiting(collector: Running) -> None:
    judy, mallory = log_in(collector, "judy"), log_in(collector, "mallory")
    with collector.channel(mallory) as first, collector.channel(mallory) as second:
        calls = [watch(first) for _ in range(gate.MOST_CALLS_OF_ONE)]
        with pytest.raises(grpc.RpcError) as error:
            watch(second)
        assert refused(error)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "end one, and ask again" in refused(error)[1]
        assert ask(collector, judy) >= 2
        for call in calls:
            call.cancel()


def test_a_question_may_be_no_longer_than_on_the_admin_socket(collector: Running) -> None:
    kim = log_in(collector, "kim")
    selection = query_pb2.Selection(host_glob="x" * (gate.MOST_QUESTION_BYTES + 1))
    with collector.channel(kim) as channel, pytest.raises(grpc.RpcError) as error:
        list(collector.queries(channel).ListHosts(query_pb2.ListHostsRequest(selection=selection), timeout=DEADLINE_S))
    assert refused(error)[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert "at most 262144 are read" in refused(error)[1]


def test_hosts_go_on_reporting_while_somebody_does_not_read_a_large_answer(collector: Running, web1: Identity) -> None:
    slow, slower = log_in(collector, "slow"), log_in(collector, "slower")
    with (
        collector.channel(web1) as reports,
        collector.channel(slow) as questions,
        collector.channel(slower) as more_questions,
    ):
        stream = ReportStream(reports)
        stream.open(messages.hello())
        # Some megabytes, of which gRPC takes 64 kB and what the sockets hold.
        rows = [messages.listener(1 + n % 60_000, cookie=1 + n) for n in range(4_000)]
        stream.send(batch=messages.batch(1, *rows, snapshot=True))
        stream.await_ack(1)
        answers = [
            collector.queries(channel).ListSockets(query_pb2.ListSocketsRequest())
            for channel in (questions, more_questions)
            for _ in range(gate.MOST_ANSWERS_OF_ONE)
        ]
        for answer in answers:
            assert next(iter(answer)).WhichOneof("part") == "coverage"
        for sequence in range(2, 8):
            stream.send(batch=messages.batch(sequence, messages.listener(443, cookie=100_000 + sequence)))
            stream.await_ack(sequence)
        for answer in answers:
            answer.cancel()
        stream.close()
