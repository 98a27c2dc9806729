"""One token lets one host in, once."""

import asyncio
import concurrent.futures
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from fleetnet_proto.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    enroll_pb2,
    enroll_pb2_grpc,
    query_pb2,
    report_pb2,
    report_pb2_grpc,
)
from fleetnet_server.errors import TooMuchAtOnce
from fleetnet_server.identity import tokens
from fleetnet_server.rpc import enroll
from fleetnet_server.services.guesses import OF_ONE_AT_ONCE, Guesses
from server.agents import DEADLINE_S, ReportStream, new_request
from server.people import enroll_person, person_token
from server.running import Running, wait_for

from server import messages

REFUSED = (
    "token refused: it is unknown, used up, revoked or expired; create a new one with "
    "`fleetnet token create --host NAME`, or `--person NAME` for a login"
)


def refusal(collector: Running, secret: bytes, csr: bytes) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        collector.enroll(secret, csr)
    assert isinstance(refused.value, grpc.Call)
    return refused.value.code(), refused.value.details() or ""


def test_a_token_carries_the_ca_and_becomes_a_certificate_for_its_host(collector: Running) -> None:
    secret, ca_der = tokens.decode(collector.token("web1"))
    assert ca_der == ssl.PEM_cert_to_DER_cert(collector.ca_pem.decode())
    answer = collector.enroll(secret, new_request())
    assert answer.host == "web1"
    assert answer.ca_pem == collector.ca_pem
    assert list(answer.report_addresses) == []
    assert collector.report_address == f"127.0.0.1:{answer.report_port}"
    certificate = x509.load_pem_x509_certificate(answer.certificate_pem)
    (name,) = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert name.value == "spiffe://fleetnet/host/web1"


def test_of_fifty_who_bring_one_token_exactly_one_gets_in(tmp_path: Path) -> None:
    collector = Running(tmp_path)  # its own, for all that are refused come from one address
    secret, _ = tokens.decode(collector.token("crowd"))

    def attempt(csr: bytes) -> str:
        try:
            return collector.enroll(secret, csr).host
        except grpc.RpcError as error:
            return str(error.details() if isinstance(error, grpc.Call) else error)

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        outcomes = sorted(pool.map(attempt, [new_request() for _ in range(50)]))
    assert outcomes == ["crowd"] + [REFUSED] * 49
    assert collector.terminate() == 0


def test_used_and_unknown_and_short_are_one_to_a_stranger(collector: Running) -> None:
    secret, _ = tokens.decode(collector.token("once"))
    collector.enroll(secret, new_request())
    for wrong in (secret, bytes(32), b"", secret[:-1]):
        assert refusal(collector, wrong, new_request()) == (grpc.StatusCode.UNAUTHENTICATED, REFUSED)


def test_strangers_wait_in_line_and_no_longer_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> tuple[list[float], list[str]]:
        waited: list[float] = []

        async def sleep(wait_s: float) -> None:
            waited.append(wait_s)

        monkeypatch.setattr("fleetnet_server.rpc.enroll.time.monotonic", lambda: 1_000.0)
        monkeypatch.setattr("fleetnet_server.rpc.enroll.asyncio.sleep", sleep)
        nobody: Any = None
        desk, refused = enroll.EnrollService(nobody, nobody, nobody, nobody, (), 0), list[str]()
        for _ in range(1_000):
            try:
                await desk._turn()
            except TooMuchAtOnce as error:
                refused.append(str(error))
        return waited, refused

    waited, refused = asyncio.run(story())
    assert waited[:100] == [0.0] * 100
    assert waited == sorted(waited)
    assert waited[-1] == 5.0
    assert len(waited) == 350
    assert set(refused) == {"too many want to enroll at once; try again in some seconds"}


def test_who_has_guessed_too_often_hears_so_late_unless_that_would_shut_the_door() -> None:
    async def story() -> tuple[int, int, int, int]:
        nobody: Any = None
        looked_up = 0

        async def admits() -> bool:
            nonlocal looked_up
            looked_up += 1
            return False

        async def is_good() -> bool:
            return True

        desk = enroll.EnrollService(nobody, nobody, nobody, nobody, (), 0)
        desk._guesses = Guesses(lambda: 1_000.0)
        for _ in range(OF_ONE_AT_ONCE):
            desk._guesses.refused("ipv4:192.0.2.1:5")
        await desk._check_guesses("ipv4:192.0.2.2:5", admits)
        await desk._check_guesses("ipv4:192.0.2.1:5", is_good)
        again = [asyncio.create_task(desk._check_guesses("ipv4:192.0.2.1:5", admits)) for _ in range(200)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        at_once = sum(one.done() for one in again)
        waiting = desk._waiting
        refused = await asyncio.gather(*again, return_exceptions=True)
        assert {type(one) for one in refused} == {TooMuchAtOnce}
        return at_once, waiting, desk._waiting, looked_up

    assert asyncio.run(story()) == (72, 128, 0, 128)


def test_who_has_a_good_token_gets_in_whatever_is_guessed_behind_the_same_address(tmp_path: Path) -> None:
    collector = Running(tmp_path)  # its own, for what other tests show comes from that address
    web1, _ = tokens.decode(collector.token("web1"))
    alice, _ = tokens.decode(person_token(collector, "alice"))
    codes, done = list[grpc.StatusCode](), threading.Event()

    def guess() -> None:
        with grpc.secure_channel(collector.enroll_address, grpc.ssl_channel_credentials(collector.ca_pem)) as channel:
            stub, csr = enroll_pb2_grpc.EnrollServiceStub(channel), new_request()
            while not done.is_set():
                with pytest.raises(grpc.RpcError) as refused:
                    stub.Enroll(enroll_pb2.EnrollRequest(secret=os.urandom(32), csr=csr), timeout=DEADLINE_S)
                assert isinstance(refused.value, grpc.Call)
                codes.append(refused.value.code())

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        guessing = [pool.submit(guess) for _ in range(20)]
        try:
            wait_for(lambda: True if codes.count(grpc.StatusCode.RESOURCE_EXHAUSTED) > 20 else None, "turning away")
            assert collector.enroll(web1, new_request()).host == "web1"
            assert enroll_person(collector, alice, new_request()).person == "alice"
        finally:
            done.set()
        for one in guessing:
            one.result()
    assert set(codes) == {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert refusal(collector, web1, new_request())[0] in set(codes)  # it admits once
    assert collector.terminate() == 0


def test_a_bad_request_does_not_use_up_the_token(collector: Running) -> None:
    secret, _ = tokens.decode(collector.token("clumsy"))
    code, sentence = refusal(collector, secret, b"garbage")
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "not PKCS #10" in sentence
    assert collector.enroll(secret, new_request()).host == "clumsy"


def test_a_host_that_enrolls_again_goes_on_under_its_name(collector: Running) -> None:
    for _ in range(2):
        identity = collector.join("again")
        with collector.channel(identity) as channel:
            stream = ReportStream(channel)
            stream.open(messages.hello())
            stream.close()


def test_a_token_can_neither_be_for_a_bad_name_nor_for_ever(collector: Running) -> None:
    with collector.admin() as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        for request, words in (
            (admin_pb2.CreateTokenRequest(host="Web1"), "cannot be the name of a host"),
            (admin_pb2.CreateTokenRequest(host=" "), "cannot be the name of a host"),
            (admin_pb2.CreateTokenRequest(host=""), "name the host (--host NAME), or say"),
            (
                admin_pb2.CreateTokenRequest(host="web1", labels=[query_pb2.Label(key="role")]),
                "what the label role says",
            ),
            (admin_pb2.CreateTokenRequest(host="web1", ttl_s=59), "between one minute and 30 days"),
            (admin_pb2.CreateTokenRequest(host="web1", ttl_s=30 * 86_400 + 1), "between one minute and 30 days"),
            (admin_pb2.CreateTokenRequest(host="web1", ttl_s=2**64 - 1), "between one minute and 30 days"),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                admin.CreateToken(request, timeout=DEADLINE_S)
            assert isinstance(refused.value, grpc.Call)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert words in (refused.value.details() or "")


def test_a_token_says_when_it_expires(collector: Running) -> None:
    with collector.admin() as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        for ttl_s, lives_s in ((0, 3_600), (60, 60)):
            request = admin_pb2.CreateTokenRequest(host="web1", ttl_s=ttl_s)
            answer = admin.CreateToken(request, timeout=DEADLINE_S)
            assert abs(answer.expires_at_us - messages.now_us() - lives_s * 1_000_000) < 10_000_000


def test_nothing_but_enrollment_is_answered_to_strangers(collector: Running) -> None:
    with grpc.secure_channel(collector.enroll_address, grpc.ssl_channel_credentials(collector.ca_pem)) as channel:
        for call in (
            lambda: admin_pb2_grpc.AdminServiceStub(channel).CreateToken(
                admin_pb2.CreateTokenRequest(host="web1"), timeout=DEADLINE_S
            ),
            lambda: report_pb2_grpc.ReportServiceStub(channel).Renew(report_pb2.RenewRequest(), timeout=DEADLINE_S),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                call()
            assert isinstance(refused.value, grpc.Call)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("port", ["report", "enroll"])
def test_nobody_speaks_less_than_tls_1_3(collector: Running, port: str, tmp_path: Path) -> None:
    address = collector.report_address if port == "report" else collector.enroll_address
    identity = collector.join(f"old-{port}")
    pair = tmp_path / "pair.pem"
    pair.write_bytes(identity.key_pem + identity.certificate_pem)
    context = ssl.create_default_context(cadata=collector.ca_pem.decode())
    context.load_cert_chain(pair)
    context.set_alpn_protocols(["h2"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        spoken(address, context)
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    assert spoken(address, context) == "TLSv1.3"


def spoken(address: str, context: ssl.SSLContext) -> str | None:
    """The version of TLS that a handshake ends with."""
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        return connection.version()


def test_no_secret_is_ever_logged(collector: Running) -> None:
    text = collector.token("quiet")
    secret, _ = tokens.decode(text)
    collector.enroll(secret, new_request())
    refusal(collector, secret, new_request())
    log = collector.await_log("host=quiet")
    assert "token created" in log
    for form in (text[5:60], secret.hex(), repr(secret)[2:20], tokens.secret_hash(secret).hex()):
        assert form not in log


def _hosts(collector: Running, *labels: query_pb2.Label) -> dict[str, dict[str, str]]:
    """The hosts that have these labels, each with all that it has."""
    with collector.admin() as channel:
        asked = query_pb2.SeekHostsRequest(labels=labels)
        answer = list(collector.queries(channel).SeekHosts(asked, timeout=DEADLINE_S))
    items = (item for part in answer for item in part.page.items)
    return {item.host: {label.key: label.value for label in item.labels} for item in items}


def test_a_host_has_the_labels_of_its_token_from_its_enrollment_on(collector: Running) -> None:
    first, second, other = (
        query_pb2.Label(key=key, value=value) for key, value in (("zone", "a"), ("zone", "b"), ("tier", "1"))
    )
    for given, expected in (
        ([], {}),
        ([first, other], {"zone": "a", "tier": "1"}),
        ([second], {"zone": "b", "tier": "1"}),
    ):
        with collector.admin() as channel:
            request = admin_pb2.CreateTokenRequest(host="labelled", labels=given)
            made = admin_pb2_grpc.AdminServiceStub(channel).CreateToken(request, timeout=DEADLINE_S)
        assert list(made.labels) == given
        before = _hosts(collector).get("labelled")
        assert before != expected
        collector.enroll(tokens.decode(made.token)[0], new_request())
        assert _hosts(collector)["labelled"] == expected
    assert _hosts(collector, second) == {"labelled": {"zone": "b", "tier": "1"}}
    assert _hosts(collector, first) == {}


def test_labels_are_given_over_the_admin_socket_and_what_is_not_known_is_refused(collector: Running) -> None:
    collector.join("given")
    with collector.admin() as channel:
        desk = admin_pb2_grpc.AdminServiceStub(channel)
        label = query_pb2.Label(key="role", value="web")
        request = admin_pb2.LabelHostsRequest(host_globs=["giv*"], set=[label], remove=["env"])
        for changed in (True, False):
            answer = desk.LabelHosts(request, timeout=DEADLINE_S)
            assert answer == admin_pb2.LabelHostsResponse(
                hosts=[admin_pb2.LabelledHost(host="given", labels=[label], changed=changed)]
            )
        newer = admin_pb2.LabelHostsRequest.FromString(request.SerializeToString() + bytes([15 << 3, 1]))
        for refused, code, words in (
            (newer, grpc.StatusCode.INVALID_ARGUMENT, "does not know field 15"),
            (admin_pb2.LabelHostsRequest(hosts=["no"], set=[label]), grpc.StatusCode.NOT_FOUND, '"no"'),
            (admin_pb2.LabelHostsRequest(hosts=["given"]), grpc.StatusCode.INVALID_ARGUMENT, "name the hosts"),
        ):
            with pytest.raises(grpc.RpcError) as error:
                desk.LabelHosts(refused, timeout=DEADLINE_S)
            assert isinstance(error.value, grpc.Call)
            assert error.value.code() is code
            assert words in (error.value.details() or "")


def test_a_token_whose_labels_are_too_many_for_its_host_is_refused_and_not_used_up(collector: Running) -> None:
    collector.join("full")
    with collector.admin() as channel:
        desk = admin_pb2_grpc.AdminServiceStub(channel)
        many = [query_pb2.Label(key=f"k{n}", value="v") for n in range(64)]
        desk.LabelHosts(admin_pb2.LabelHostsRequest(hosts=["full"], set=many), timeout=DEADLINE_S)
        request = admin_pb2.CreateTokenRequest(host="full", labels=[query_pb2.Label(key="role", value="web")])
        secret, _ = tokens.decode(desk.CreateToken(request, timeout=DEADLINE_S).token)
        code, sentence = refusal(collector, secret, new_request())
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "full would have 65 labels" in sentence
        desk.LabelHosts(admin_pb2.LabelHostsRequest(hosts=["full"], remove=["k0"]), timeout=DEADLINE_S)
    assert collector.enroll(secret, new_request()).host == "full"
