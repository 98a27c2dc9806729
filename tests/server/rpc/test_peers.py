"""Who gets in on the report port: hosts of the fleet, and nobody who merely looks like one."""

import datetime
import json
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from fleetnet_proto.v1 import report_pb2, report_pb2_grpc
from fleetnet_server.identity import ca
from server.agents import DEADLINE_S, Identity, ReportStream, ended_with
from server.forged import CLIENT
from server.running import Running

from server import forged, messages


@pytest.fixture(scope="module")
def web1(collector: Running) -> Identity:
    """A host of the fleet, whom others would like to be."""
    return collector.join("web1")


def serial_of(identity: Identity) -> int:
    return x509.load_pem_x509_certificate(identity.certificate_pem).serial_number


WEB1 = "spiffe://fleetnet/host/web1"


@pytest.mark.usefixtures("web1")
@pytest.mark.parametrize(
    ("uris", "options", "words"),
    [
        ((), {}, "exactly one name"),
        ((WEB1, "spiffe://fleetnet/host/db1"), {}, "exactly one name"),
        ((WEB1,), {"purposes": (CLIENT, ExtendedKeyUsageOID.SERVER_AUTH)}, "not for client authentication alone"),
        (("spiffe://fleetnet/person/web1",), {}, "not that of a host"),
        (("spiffe://fleetnet/host/never-enrolled",), {}, "not in the fleet"),
        ((WEB1,), {}, "not in the fleet"),
    ],
    ids=["common name only", "two names", "too many purposes", "not a host", "unknown host", "unknown serial"],
)
def test_a_certificate_of_our_ca_that_is_not_a_hosts_is_refused(
    collector: Running, uris: tuple[str, ...], options: dict[str, tuple[x509.ObjectIdentifier, ...]], words: str
) -> None:
    with collector.channel(forged.certificate(collector, uris, **options)) as channel:  # type: ignore[arg-type]  # only purposes
        stream = ReportStream(channel)
        stream.send(hello=messages.hello())
        code, sentence = ended_with(stream)
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert words in sentence
        with pytest.raises(grpc.RpcError) as refused:
            report_pb2_grpc.ReportServiceStub(channel).Renew(report_pb2.RenewRequest(), timeout=DEADLINE_S)
        assert isinstance(refused.value, grpc.Call)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def not_let_in(channel: grpc.Channel) -> bool:
    """True if TLS itself keeps the peer out."""
    stream = ReportStream(channel)
    stream.send(hello=messages.hello())
    return ended_with(stream)[0] is grpc.StatusCode.UNAVAILABLE


@pytest.mark.usefixtures("web1")
def test_tls_itself_keeps_strangers_out(collector: Running, tmp_path: Path) -> None:
    foreign = ca.open_authority(tmp_path, datetime.datetime.now(datetime.UTC))
    for identity in (
        forged.certificate(collector, (WEB1,), authority=foreign),
        forged.certificate(collector, (WEB1,), days=-1),
        forged.certificate(collector, (WEB1,), purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    ):
        with collector.channel(identity) as channel:
            assert not_let_in(channel)
    nobody = grpc.ssl_channel_credentials(collector.ca_pem)
    with grpc.secure_channel(collector.report_address, nobody) as channel:
        assert not_let_in(channel)


_RESUME = """
import json, sys, time, grpc
from grpc.experimental import session_cache
from fleetnet_proto.v1 import report_pb2, report_pb2_grpc

print("ready", flush=True)
key, certificate, ca, address, end_s = json.load(sys.stdin)
credentials = grpc.ssl_channel_credentials(ca.encode(), key.encode(), certificate.encode())
cache = session_cache.ssl_session_cache_lru(1)

def attempt():
    with grpc.secure_channel(address, credentials, [("grpc.ssl_session_cache", cache)]) as channel:
        try:
            report_pb2_grpc.ReportServiceStub(channel).Renew(report_pb2.RenewRequest(), timeout=20)
        except grpc.RpcError as error:
            return [error.code().name, error.details()]

first = attempt()
time.sleep(max(0.0, end_s - time.time()) + 1.1)
print(json.dumps([first, attempt()]))
"""


def test_a_certificate_that_ended_does_not_get_in_by_an_older_session(collector: Running, web1: Identity) -> None:
    # In a process of its own: gRPC's session cache stays for good.
    command = [sys.executable, "-c", _RESUME]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"  # made only now: it ends before a slow start would
        identity = forged.certificate(collector, (WEB1,), days=3 / 86_400, serial=serial_of(web1))
        end = x509.load_pem_x509_certificate(identity.certificate_pem).not_valid_after_utc
        told = [
            identity.key_pem.decode(),
            identity.certificate_pem.decode(),
            identity.ca_pem.decode(),
            collector.report_address.replace("127.0.0.1", "localhost"),  # gRPC keeps sessions by name
            end.timestamp(),
        ]
        answer, _ = process.communicate(json.dumps(told), timeout=DEADLINE_S)
    assert process.returncode == 0
    while_valid, afterwards = json.loads(answer)
    # Let in, and refused only for its empty request.
    assert while_valid[0] == "INVALID_ARGUMENT"
    assert afterwards[0] == "UNAUTHENTICATED"
    assert "expired" in afterwards[1]


def test_a_stream_does_not_outlive_its_certificate(collector: Running, web1: Identity) -> None:
    shown = forged.certificate(collector, (WEB1,), days=2 / 86_400, serial=serial_of(web1))
    with collector.channel(shown) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello())
        assert stream.receive().reconnect.reason == "the stream has reached its age"
        assert stream.receive_all() == []


def test_refused_peers_are_logged_but_do_not_flood_the_log(collector: Running) -> None:
    with collector.channel(forged.certificate(collector, ("spiffe://fleetnet/person/flood",))) as channel:
        for _ in range(30):
            stream = ReportStream(channel)
            stream.send(hello=messages.hello())
            ended_with(stream)
    lines = [line for line in collector.log().splitlines() if "not that of a host" in line]
    assert 1 <= len(lines) <= 5
