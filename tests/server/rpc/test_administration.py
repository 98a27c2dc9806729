"""Administration as it is asked for: each wish that does something, or is refused, is logged, with who wished it."""

from pathlib import Path

import grpc
import pytest
from fleetnet_proto.v1 import admin_pb2, people_pb2, query_pb2
from server.agents import DEADLINE_S
from server.people import OPERATOR, administration, log_in, revoke
from server.running import Running, run

WISHES: dict[str, object] = {
    "CreateToken": admin_pb2.CreateTokenRequest(host="web1"),
    "RevokeToken": admin_pb2.RevokeTokenRequest(id="nothing"),
    "LabelHosts": admin_pb2.LabelHostsRequest(hosts=["web1"], set=[query_pb2.Label(key="role", value="web")]),
    "ApproveHosts": admin_pb2.ApproveHostsRequest(hosts=["web1"]),
    "RevokeHosts": admin_pb2.RevokeHostsRequest(hosts=["web1"]),
    "ForgetHosts": admin_pb2.ForgetHostsRequest(hosts=["nobody"]),
    "CreatePersonToken": people_pb2.CreatePersonTokenRequest(person="bob", role=OPERATOR),
    "ChangeRole": people_pb2.ChangeRoleRequest(person="alice", role=OPERATOR),
    "RevokePerson": people_pb2.RevokePersonRequest(person="nobody"),
}
CLAIM = (("fleetnet-login", "mallory" * 20),)
REFUSED = {"RevokeToken", "ForgetHosts", "RevokePerson"}
READ = {"DescribeCollector", "ListPeople", "ListTokens", "ListLog"}


def test_every_method_that_does_something_is_in_the_log_with_who_wished_it(data: Path) -> None:
    service = admin_pb2.DESCRIPTOR.services_by_name["AdminService"]
    assert {method.name for method in service.methods} == WISHES.keys() | READ
    running = Running(data)
    alice = log_in(running, "alice", OPERATOR)
    running.join("web1")
    with running.admin() as local, running.channel(alice) as remote:
        made = len(administration(local).ListLog(admin_pb2.ListLogRequest(), timeout=DEADLINE_S).entries)
        assert made == 2  # the tokens of both
        for channel in (local, remote):
            for name, wish in WISHES.items():
                call = getattr(administration(channel), name)
                if name in REFUSED:
                    with pytest.raises(grpc.RpcError):
                        call(wish, timeout=DEADLINE_S, metadata=CLAIM)
                elif not (name == "ApproveHosts" and channel is remote):  # revoked by then
                    call(wish, timeout=DEADLINE_S, metadata=CLAIM)
        entries = administration(remote).ListLog(admin_pb2.ListLogRequest(limit=100), timeout=DEADLINE_S).entries
    told = [(one.who, one.login, one.action, one.result.partition(":")[0]) for one in reversed(entries)][made:]
    assert [one.number for one in reversed(entries)] == list(range(1, len(entries) + 1))
    for who, login, wished in (
        ("local", ("mallory" * 20)[:64], list(WISHES)),
        ("spiffe://fleetnet/person/alice", "", [name for name in WISHES if name != "ApproveHosts"]),
    ):
        expected = [(who, login, _action(name), "refused" if name in REFUSED else "done") for name in wished]
        assert told[: len(wished)] == expected
        told = told[len(wished) :]
    assert told == []
    _, said = run("doctor", f"--data={data}")
    assert f"log of administration, unbroken (entries: {len(entries)})" in said
    assert running.terminate() == 0


def test_whoever_may_not_administer_is_in_the_log_with_each_wish_and_does_not_fill_it(data: Path) -> None:
    running = Running(data)
    bob, gone, web1 = log_in(running, "bob"), log_in(running, "gone", OPERATOR), running.join("web1")
    revoke(running, "gone")
    made = len(_log_of(running))
    refused = {
        "spiffe://fleetnet/person/bob": (
            grpc.StatusCode.PERMISSION_DENIED,
            "bob is a viewer, and this takes an operator",
        ),
        "spiffe://fleetnet/person/gone": (grpc.StatusCode.UNAUTHENTICATED, "was revoked"),
        "spiffe://fleetnet/host/web1": (grpc.StatusCode.PERMISSION_DENIED, "hosts"),
    }
    for identity, (code, words) in zip((bob, gone, web1), refused.values(), strict=True):
        with running.channel(identity) as channel:
            for name in (*READ, *WISHES) * 2:
                wish = WISHES.get(name) or getattr(admin_pb2, f"{name}Request", None) or people_pb2.ListPeopleRequest
                with pytest.raises(grpc.RpcError) as error:
                    getattr(administration(channel), name)(
                        wish() if isinstance(wish, type) else wish, timeout=DEADLINE_S
                    )
                assert isinstance(error.value, grpc.Call)
                assert error.value.code() is code
                assert words in (error.value.details() or "")
    first = _log_of(running)[made:]
    assert [(one.who, one.action, one.subject) for one in first] == [(who, "create-token", "") for who in refused]
    assert running.terminate() == 0
    again = Running(data)
    # What was counted is there, though its minute was not over.
    counted = _log_of(again)[made + len(first) :]
    assert [(one.who, one.action, one.login) for one in counted] == [(who, "revoke-person", "") for who in refused]
    for one, (_, words) in zip((*first, *counted), (*refused.values(), *refused.values()), strict=True):
        assert one.result.startswith("refused: ")
        assert words in one.result
        assert one.peer.startswith("ipv4:127.0.0.1:")
    assert {one.result.rpartition(" (")[2] for one in counted} == {f"{2 * len(WISHES) - 1} times more within a minute)"}
    assert again.terminate() == 0


def _log_of(collector: Running) -> list[admin_pb2.LogEntry]:
    """All entries, the first one first."""
    with collector.admin() as channel:
        request = admin_pb2.ListLogRequest(limit=1_000)
        return list(reversed(administration(channel).ListLog(request, timeout=DEADLINE_S).entries))


def _action(method: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in method).removeprefix("-")
