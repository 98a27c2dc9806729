"""`fleetnet host revoke` and `host forget`."""

import os
import pty
from collections.abc import Callable

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_proto.v1 import admin_pb2


def test_hosts_are_named_once_each_and_what_became_of_them_is_told(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("host", "revoke", "DB1", "web2", "db1")
    assert (ran.status, ran.err) == (0, "")
    first, second = ran.out.splitlines()
    assert first.startswith("db1 is revoked: nothing it reports is stored any more")
    assert second.endswith("(as before)")
    assert canned.asked == [admin_pb2.RevokeHostsRequest(hosts=["db1", "web2"])]
    assert fleetnet("host", "revoke", "-q", "db1").out == ""


@pytest.mark.usefixtures("canned")
@pytest.mark.parametrize("command", [("revoke",), ("forget", "--yes")])
def test_an_unknown_host_is_2_and_its_nearest_name_is_told(
    command: tuple[str, ...], fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("host", *command, "web11")
    assert (ran.status, ran.out) == (2, "")
    assert 'no host "web11" in this fleet, did you mean "web1"?' in ran.err


def test_where_nobody_can_be_asked_nobody_is_forgotten_without_yes(
    canned: Canned, fleetnet: Callable[..., Ran]
) -> None:
    ran = fleetnet("host", "forget", "web1")
    assert (ran.status, ran.out) == (2, "")
    assert "nobody here to ask whether web1 is to leave the fleet; give --yes if so" in ran.err
    assert canned.asked == []


@pytest.mark.parametrize(("answer", "forgotten"), [("y", True), ("n", False), ("", False)])
def test_who_can_be_asked_is_told_what_it_means_first(
    answer: str, forgotten: bool, canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        ran = fleetnet("host", "forget", "web1", "db1")
    os.close(ours)
    assert "2 hosts will not be asked any more, and may not report; history stays" in ran.err
    assert bool(canned.asked) is forgotten
    assert (ran.status == 0) is forgotten
