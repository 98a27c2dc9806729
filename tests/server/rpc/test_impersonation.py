"""A host of the fleet writes as itself, and as no other, by whatever way it tries. The other one notices nothing."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import live_pb2, query_pb2, report_pb2, report_pb2_grpc
from fleetnet_server.identity import tokens
from server.agents import DEADLINE_S, Identity, ReportStream, ended_with
from server.running import Running, ports_of

from server import forged, messages

URI = "spiffe://fleetnet/host/victim"
CYRILLIC_I = "\u0456"
FULL_WIDTH_V = "\uff56"


@pytest.fixture(scope="module")
def attacker(collector: Running) -> Identity:
    """A host of the fleet whose owner wants to be another."""
    return collector.join("attacker")


@pytest.fixture(scope="module")
def victims_stream(collector: Running) -> Iterator[ReportStream]:
    """Of the other: open for as long as the attacks go on, with one listener told."""
    with collector.channel(collector.join("victim")) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
        stream.await_ack(1)
        yield stream
        stream.close()


class Victim:
    """What it says, and whether that counts."""

    def __init__(self, collector: Running, stream: ReportStream) -> None:
        self._collector = collector
        self.stream = stream
        self._sequence = 1

    def still_reports_and_nothing_else_is_stored(self) -> None:
        self._sequence += 1
        self.stream.send(batch=messages.batch(self._sequence))
        self.stream.await_ack(self._sequence)
        assert ports_of(self._collector, "victim") == [443]


@pytest.fixture(scope="module")
def victim(collector: Running, victims_stream: ReportStream) -> Victim:
    """The other host."""
    return Victim(collector, victims_stream)


@pytest.mark.parametrize(
    "uris",
    [
        (),
        (URI, "spiffe://fleetnet/host/attacker"),
        ("spiffe://fleetnet/host/attacker", URI),
        (URI, URI),
        (URI.replace("victim", "VICTIM"),),
        (URI.replace("victim", "Victim"),),
        ("SPIFFE://fleetnet/host/victim",),
        ("spiffe://FLEETNET/host/victim",),
        (URI + ".",),
        (URI + "/",),
        (URI + "/../victim",),
        (URI + "#",),
        (URI + "?attacker",),
        (URI + " ",),
        (URI + "\n",),
        (URI + "\0.example.org",),
        (URI.replace("victim", "v%69ctim"),),
        (URI.replace("victim", f"v{CYRILLIC_I}ctim"),),
        (URI.replace("victim", f"{FULL_WIDTH_V}ictim"),),
        (URI.replace("victim", "vi\u200bctim"),),
        (URI.replace("fleetnet", "fleetnet:443"),),
        (URI.replace("fleetnet", "user@fleetnet"),),
        (URI.replace("host", "person"),),
    ],
    ids=ascii,
)
def test_a_name_that_is_nearly_the_others_is_nobodys(collector: Running, victim: Victim, uris: tuple[str, ...]) -> None:
    # Signed by the collector's own CA: worse than anything that it signs.
    with collector.channel(forged.certificate(collector, uris, name="victim")) as channel:
        stream = ReportStream(channel)
        stream.send(hello=messages.hello())
        code, _ = ended_with(stream)
        # gRPC's own TLS keeps out what it cannot read.
        assert code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE)
    victim.still_reports_and_nothing_else_is_stored()


@pytest.mark.parametrize(
    "name",
    ["", "Victim", "VICTIM", "victim.", "victim ", f"v{CYRILLIC_I}ctim", "vict\u0131m", "vi\u200bctim", "victim\0"],
)
def test_no_token_is_made_for_a_name_that_could_be_taken_for_anothers(collector: Running, name: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        collector.token(name)
    assert isinstance(refused.value, grpc.Call)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def _fields_below(message: Any, seen: set[str]) -> Iterator[str]:
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield field.name
        if field.message_type is not None:
            yield from _fields_below(field.message_type, seen)


def test_nothing_that_a_host_sends_has_a_field_for_who_sends_it() -> None:
    told = set[str]()
    for message in (report_pb2.AgentMessage.DESCRIPTOR, report_pb2.RenewRequest.DESCRIPTOR):
        told |= set(_fields_below(message, set()))
    assert {"look_at_us", "local_address", "csr"} <= told
    assert [name for name in told if "host" in name or "sender" in name or "identity" in name] == []


def test_what_the_other_said_is_the_repeaters_own_when_it_is_said_again(
    collector: Running, victim: Victim, attacker: Identity
) -> None:
    listens = messages.listener(443)
    with collector.channel(attacker) as channel:
        stream = ReportStream(channel)
        # Boot, epoch and sequence of the other, its very sockets, and the news that one of them is gone.
        stream.open(messages.hello())
        stream.send(batch=messages.batch(1, listens, messages.listener(31337), snapshot=True))
        gone = messages.batch(2)
        gone.closed.add(key=listens.key)
        stream.send(batch=gone)
        stream.await_ack(2)
        victim.still_reports_and_nothing_else_is_stored()
        assert ports_of(collector, "attacker") == [31337]
        stream.close()


@pytest.mark.usefixtures("victim")
def test_a_request_that_names_the_other_gets_the_senders_own_name(collector: Running, attacker: Identity) -> None:
    names_victim = forged.request(
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "victim")]),
        x509.SubjectAlternativeName([x509.UniformResourceIdentifier(URI), x509.DNSName("victim")]),
    )
    enrolled = collector.enroll(tokens.decode(collector.token("other"))[0], names_victim)
    with collector.channel(attacker) as channel:
        # What a proxy would say of who stands behind it; there is none, so nobody listens to it.
        metadata = (("x-forwarded-client-cert", f"URI={URI}"), ("x-spiffe-id", URI), ("host", "victim"))
        stub = report_pb2_grpc.ReportServiceStub(channel)
        renewed = stub.Renew(report_pb2.RenewRequest(csr=names_victim), timeout=DEADLINE_S, metadata=metadata)
    for pem, own in ((enrolled.certificate_pem, "other"), (renewed.certificate_pem, "attacker")):
        signed = x509.load_pem_x509_certificate(pem)
        names = list(signed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        assert [name.value for name in names] == [f"spiffe://fleetnet/host/{own}"]
        assert "victim" not in signed.subject.rfc4514_string()


def test_a_live_look_at_the_other_is_answered_by_the_other_alone(
    collector: Running, victim: Victim, attacker: Identity
) -> None:
    def part(number: int, port: int) -> live_pb2.LivePart:
        told = live_pb2.LivePart(request=number, look_at_us=messages.now_us(), last=True)
        told.processes.append(messages.process())
        told.holders.append(messages.holder())
        told.sockets.add(socket=messages.listener(port))
        return told

    with collector.admin() as admin, collector.channel(attacker) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello(epoch=2))
        question = query_pb2.LiveRequest(host="victim", wanted=live_pb2.LiveWanted(sockets=True))
        answer = collector.queries(admin).Live(question, timeout=DEADLINE_S)
        number = victim.stream.receive().look_now.request
        # The very number, which another host could only guess, and its neighbours.
        for guess in range(max(0, number - 2), number + 3):
            stream.send(live=part(guess, 31337))
        stream.send(batch=messages.batch(1, snapshot=True, epoch=2))
        stream.await_ack(1)
        victim.stream.send(live=part(number, 443))
        ports = [item.socket.local_port for told in answer for item in told.page.sockets]
        assert ports == [443]
        stream.close()
    victim.still_reports_and_nothing_else_is_stored()
