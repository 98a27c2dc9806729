"""A host whose certificate has ended comes back once somebody has approved it, and nobody else does in its place."""

import datetime
import re
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_proto.v1 import admin_pb2, authority_pb2, authority_pb2_grpc, enroll_pb2, query_pb2
from fleetnet_server.identity import ca
from server.agents import DEADLINE_S, Identity, ReportStream, pem_of
from server.people import administration
from server.running import Running, ports_of
from server.slept import Slept, aged

from server import forged, messages

NOT_IN = (
    "the host of this certificate is not in the fleet, was revoked, or has a newer certificate; "
    "enroll it again with a new token"
)
RIVALS = (
    "another machine asks to be let in as this host with the same old key, so neither is; "
    "enroll the one that is the host again with a new token"
)


def refusal(slept: Slept, request: enroll_pb2.ReadmitRequest | None = None) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        slept.say(request) if request is not None else slept.ask()
    assert isinstance(refused.value, grpc.Call)
    return refused.value.code(), refused.value.details() or ""


def approve(collector: Running, *names: str) -> list[admin_pb2.HostStanding]:
    with collector.admin() as channel:
        request = admin_pb2.ApproveHostsRequest(hosts=names)
        return list(administration(channel).ApproveHosts(request, timeout=DEADLINE_S).hosts)


def host_item(collector: Running, name: str) -> query_pb2.HostItem:
    with collector.admin() as channel:
        request = query_pb2.ListHostsRequest(selection=query_pb2.Selection(host=name))
        answer = list(collector.queries(channel).ListHosts(request, timeout=DEADLINE_S))
    [item] = [item for message in answer for item in message.page.items]
    return item


def reported(collector: Running, identity: Identity, sequence: int, port: int) -> None:
    with collector.channel(identity) as channel:
        stream = ReportStream(channel)
        stream.open(messages.hello(epoch=sequence))
        stream.send(batch=messages.batch(1, messages.listener(port), epoch=sequence, snapshot=True))
        stream.await_ack(1)
        stream.close()


def test_a_host_that_slept_waits_is_shown_is_approved_and_goes_on_as_the_same_host(collector: Running) -> None:
    joined = collector.join("sleeper")
    reported(collector, joined, 1, 80)
    slept = Slept(collector, aged(collector, joined))
    enrolled_at_us = host_item(collector, "sleeper").enrolled_at_us

    answer = slept.ask()
    assert (answer.certificate_pem, answer.ca_pem, answer.again_after_s) == (b"", b"", 30)
    item = host_item(collector, "sleeper")
    assert item.status == query_pb2.HOST_STATUS_PENDING_RENEWAL
    [told] = item.degraded
    assert re.fullmatch(
        r"certificate: it has ended; 127\.0\.0\.1 asks for another, for the key [0-9a-f]{16}, and waits to be approved",
        told,
    )
    assert slept.ask() == answer  # as often as it likes

    [standing] = approve(collector, "sleeper")
    assert (standing.status, standing.changed) == (query_pb2.HOST_STATUS_ACTIVE, True)
    assert [one.changed for one in approve(collector, "sleeper")] == [False]
    lost = slept.back()  # an answer that does not arrive
    assert slept.back().certificate_pem != lost.certificate_pem
    reported(collector, slept.back(), 2, 81)
    item = host_item(collector, "sleeper")
    assert (item.status, list(item.degraded)) == (query_pb2.HOST_STATUS_ACTIVE, [])
    assert (item.enrolled_at_us, ports_of(collector, "sleeper")) == (enrolled_at_us, [81])
    assert refusal(slept) == (grpc.StatusCode.UNAUTHENTICATED, NOT_IN)  # the old key is worth nothing any more
    with collector.admin() as channel:
        entries = administration(channel).ListLog(admin_pb2.ListLogRequest(limit=10), timeout=DEADLINE_S).entries
    assert [(e.action, e.subject, e.result) for e in entries if "sleeper" in e.subject][:1] == [
        ("approve-hosts", "sleeper", "done")
    ]
    log = collector.log()
    assert log.count("host asks to be let in again, and waits") == 1
    assert "host let in again" in log


def test_a_host_that_is_kept_out_or_has_left_gets_nothing(collector: Running) -> None:
    for name, request in (("gone-1", "revoke"), ("gone-2", "forget")):
        slept = Slept(collector, aged(collector, collector.join(name)))
        slept.ask()
        with collector.admin() as channel:
            admin = administration(channel)
            if request == "revoke":
                admin.RevokeHosts(admin_pb2.RevokeHostsRequest(hosts=[name]), timeout=DEADLINE_S)
            else:
                admin.ForgetHosts(admin_pb2.ForgetHostsRequest(hosts=[name]), timeout=DEADLINE_S)
        assert refusal(slept) == (grpc.StatusCode.UNAUTHENTICATED, NOT_IN)
        with pytest.raises(grpc.RpcError, match="waits for nothing"):
            approve(collector, name)
        collector.join(name)  # by a token, and then what it asked for before is not to be approved any more
        assert [one.changed for one in approve(collector, name)] == [False]
        assert refusal(slept) == (grpc.StatusCode.UNAUTHENTICATED, NOT_IN)


def test_an_older_key_gets_nothing(collector: Running) -> None:
    older = aged(collector, collector.join("renewed"))
    collector.join("renewed")
    assert refusal(Slept(collector, older)) == (grpc.StatusCode.UNAUTHENTICATED, NOT_IN)
    assert host_item(collector, "renewed").status == query_pb2.HOST_STATUS_ACTIVE


def test_who_does_not_have_the_key_gets_nothing_whoever_he_says_to_be(collector: Running) -> None:
    mine, other = (aged(collector, collector.join(name)) for name in ("mine", "other"))
    thief = Slept(collector, other)  # with the other's certificate, which is no secret, and a key of its own
    for key in (mine.key_pem, pem_of(ec.generate_private_key(ec.SECP256R1()))):
        assert refusal(thief, thief.request(thief.challenge(), signed_by=key)) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "whoever asks does not have the key of the certificate that it shows",
        )
    request = thief.request(thief.challenge())
    for wrong in (b"", b"\0" * 72, b"\0" * 73, request.signature[:-1]):
        again = thief.request(thief.challenge())
        again.signature = wrong
        assert refusal(thief, again)[0] is grpc.StatusCode.UNAUTHENTICATED
    # A signature is for one request: another key cannot be put in its place.
    swapped = thief.request(thief.challenge())
    swapped.csr = Slept(collector, other).request(b"").csr
    assert refusal(thief, swapped)[0] is grpc.StatusCode.UNAUTHENTICATED
    assert host_item(collector, "other").status == query_pb2.HOST_STATUS_ACTIVE


def test_a_request_that_was_seen_is_of_no_use(collector: Running) -> None:
    slept = Slept(collector, aged(collector, collector.join("replayed")))
    request = slept.request(slept.challenge())
    slept.say(request)
    ask_anew = "the challenge is not of this collector, was used, or is older than a minute; ask anew"
    assert refusal(slept, request) == (grpc.StatusCode.UNAUTHENTICATED, ask_anew)
    for made_up in (b"", b"\0" * 56, slept.challenge()[:-1] + b"\0"):
        assert refusal(slept, slept.request(made_up)) == (grpc.StatusCode.UNAUTHENTICATED, ask_anew)


def test_of_two_machines_with_the_same_old_key_neither_is_let_in(collector: Running) -> None:
    old = aged(collector, collector.join("copied"))
    first, second = Slept(collector, old), Slept(collector, old)
    first.ask()
    assert refusal(second) == (grpc.StatusCode.UNAUTHENTICATED, RIVALS)
    assert refusal(first) == (grpc.StatusCode.UNAUTHENTICATED, RIVALS)
    item = host_item(collector, "copied")
    assert item.status == query_pb2.HOST_STATUS_PENDING_RENEWAL
    [told] = item.degraded
    assert told == (
        "certificate: it has ended, and two machines ask for another with its key: only a new token lets one in"
    )
    with pytest.raises(grpc.RpcError, match="two machines ask to be let in as copied"):
        approve(collector, "copied")
    reported(collector, collector.join("copied"), 1, 80)
    assert host_item(collector, "copied").status == query_pb2.HOST_STATUS_ACTIVE


def test_a_second_machine_that_comes_after_the_approval_spoils_it_as_long_as_nobody_has_come_back(
    collector: Running,
) -> None:
    old = aged(collector, collector.join("late-copy"))
    first = Slept(collector, old)
    first.ask()
    approve(collector, "late-copy")
    assert refusal(Slept(collector, old)) == (grpc.StatusCode.UNAUTHENTICATED, RIVALS)
    assert refusal(first) == (grpc.StatusCode.UNAUTHENTICATED, RIVALS)


def test_what_is_no_certificate_of_a_host_of_this_fleet_is_refused(collector: Running) -> None:
    joined = collector.join("well")
    foreign = ca.make(datetime.datetime.now(datetime.UTC))
    web = "spiffe://fleetnet/host/well"
    code, words = refusal(Slept(collector, joined))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "the certificate has not ended, but is good until" in words
    for old, why in (
        (aged(collector, joined, foreign), "the certificate is of no CA that this fleet trusts now"),
        (forged.certificate(collector, [web, web], days=-1), "exactly one name"),
        (forged.certificate(collector, ["spiffe://fleetnet/person/alice"], days=-1), "not that of a host"),
        (forged.certificate(collector, [web], days=-1, purposes=(forged.SERVER,)), "not for client authentication"),
        (forged.certificate(collector, [web], days=-1), NOT_IN),
        (forged.certificate(collector, [f"{web}-not"], days=-1), NOT_IN),
    ):
        code, words = refusal(Slept(collector, old))
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert why in words
    assert host_item(collector, "well").status == query_pb2.HOST_STATUS_ACTIVE


def _turn(collector: Running, step: authority_pb2.RotationStep) -> None:
    with collector.admin() as channel:
        request = authority_pb2.RotateRequest(step=step, leave_behind=True)
        authority_pb2_grpc.AuthorityServiceStub(channel).Rotate(request, timeout=DEADLINE_S)


def test_a_host_that_slept_while_the_ca_made_way_comes_back_as_long_as_its_own_is_trusted(tmp_path: Path) -> None:
    collector = Running(tmp_path / "turning")
    try:
        sleepers = [Slept(collector, aged(collector, collector.join(f"sleeper{n}"))) for n in range(3)]
        _turn(collector, authority_pb2.ROTATION_STEP_BEGIN)
        sleepers[0].ask()
        approve(collector, "sleeper0")
        trusts_both = sleepers[0].back().ca_pem
        assert trusts_both.count(b"BEGIN CERTIFICATE") == 2
        _turn(collector, authority_pb2.ROTATION_STEP_FINISH)
        collector.ca_pem = trusts_both  # as of a host that had renewed since the first step
        sleepers[1].ask()
        approve(collector, "sleeper1")
        back = sleepers[1].back()
        reported(collector, back, 1, 80)
        _turn(collector, authority_pb2.ROTATION_STEP_RETIRE)
        reported(collector, back, 2, 81)
        code, words = refusal(sleepers[2])
        assert code is grpc.StatusCode.UNAUTHENTICATED
        assert words == "the certificate is of no CA that this fleet trusts now; join anew with a new token"
    finally:
        collector.terminate()
