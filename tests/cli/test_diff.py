"""`fleetnet diff`: what it asks, what it says where not everything is known, and how it ends."""

import json
from collections.abc import Callable

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_proto.v1 import query_pb2

from cli import fleet

SINCE = "2026-02-27T13:00:00Z"
THEN_US = fleet.AS_OF_US - 48 * fleet.HOUR_US


@pytest.fixture
def then(canned: Canned) -> query_pb2.Coverage:
    """The coverage of the earlier answer, which is the same as the later one."""
    coverage = query_pb2.Coverage(as_of_us=THEN_US, hosts_asked=4, hosts_fresh=4)
    canned.then = (coverage, fleet.listeners())
    return coverage


def test_the_same_is_0_and_says_so(then: query_pb2.Coverage, fleetnet: Callable[..., Ran]) -> None:
    ran = fleetnet("diff", "443", "--since", SINCE)
    assert ran.status == 0
    assert ran.out == (
        "the same listens on 443: from 2026-02-27 13:00:00 UTC (4 hosts, all fresh) "
        "to 2026-03-01 13:00:00 UTC (4 hosts, all fresh)\n"
    )
    quiet = fleetnet("diff", "--since", SINCE, "-q")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")


def test_different_is_1(canned: Canned, then: query_pb2.Coverage, fleetnet: Callable[..., Ran]) -> None:
    canned.sockets.pop()
    ran = fleetnet("diff", "--since", SINCE, "-q")
    assert (ran.status, ran.out[:1], len(ran.out.splitlines())) == (1, "-", 1)


def test_not_everything_known_is_3_whether_something_differs_or_not(
    canned: Canned, then: query_pb2.Coverage, fleetnet: Callable[..., Ran]
) -> None:
    then.hosts_fresh = 3
    then.hosts_stale.extend(fleet.stale(9999, "web1"))
    quiet = fleetnet("diff", "--since", SINCE, "-q")
    assert (quiet.status, quiet.out) == (3, "")
    canned.sockets.pop()
    ran = fleetnet("diff", "--since", SINCE)
    assert ran.status == 3
    assert ran.out.splitlines()[1].startswith("?  web1")


def test_both_times_are_asked_about_with_the_same_filters(
    canned: Canned, then: query_pb2.Coverage, fleetnet: Callable[..., Ran]
) -> None:
    assert fleetnet(
        "diff", "https", "--since", SINCE, "--until", "2026-02-28T13:00:00Z", "--exposed", "--unit", "nginx.service",
        "--host", "web*", "--limit", "3",
    ).status == 0  # fmt: skip
    earlier, later = canned.asked
    assert isinstance(earlier, query_pb2.ListSocketsRequest)
    assert isinstance(later, query_pb2.ListSocketsRequest)
    assert earlier.selection.at_us < later.selection.at_us
    later.selection.at_us = earlier.selection.at_us
    assert earlier == later
    assert earlier.selection.limit == 0
    assert earlier.exposed_only
    assert earlier.listeners_only
    assert earlier.unit == "nginx.service"


def test_several_globs_are_asked_for_at_both_times(
    canned: Canned, then: query_pb2.Coverage, fleetnet: Callable[..., Ran]
) -> None:
    then.hosts_asked = 3  # so that hosts are asked about, too
    fleetnet("diff", "--since", SINCE, "--host", "web*", "--host", "db*")
    earlier, later, hosts = canned.asked
    assert isinstance(earlier, query_pb2.SeekSocketsRequest)
    assert isinstance(later, query_pb2.SeekSocketsRequest)
    assert isinstance(hosts, query_pb2.SeekHostsRequest)
    assert list(earlier.host_globs) == list(later.host_globs) == list(hosts.host_globs) == ["web*", "db*"]
    assert earlier.sockets.selection.at_us != later.sockets.selection.at_us == 0


def test_a_glob_that_matched_nobody_before_a_host_joined_does_match(
    canned: Canned, then: query_pb2.Coverage, fleetnet: Callable[..., Ran]
) -> None:
    then.hosts_asked, then.hosts_fresh = 3, 3
    then.unmatched_globs.extend(["odd*", "none*"])
    canned.coverage.unmatched_globs.append("none*")
    canned.hosts[1].enrolled_at_us = fleet.AS_OF_US - fleet.HOUR_US
    ran = fleetnet("diff", "--since", SINCE, "--host", "odd*", "--host", "none*", "-o", "json")
    assert json.loads(ran.out)["coverage"]["since"]["unmatched_globs"] == ["none*"]


def test_of_hosts_that_differ_while_there_are_gaps_each_is_asked_whether_they_are_its_own(
    canned: Canned, then: query_pb2.Coverage, fleetnet: Callable[..., Ran]
) -> None:
    then.gaps = 2
    del canned.sockets[0], canned.sockets[1]  # one of db1, one of web1
    canned.coverages_of_hosts["web1"] = query_pb2.Coverage(as_of_us=THEN_US, hosts_asked=1, hosts_fresh=1, gaps=1)
    canned.coverages_of_hosts["db1"] = query_pb2.Coverage(as_of_us=THEN_US, hosts_asked=1, hosts_fresh=1)
    ran = fleetnet("diff", "--since", SINCE)
    assert ran.status == 3
    assert [line[:7] for line in ran.out.splitlines()[1:3]] == ["-  db1 ", "?  web1"]
    assert "web1: not known at 2026-02-27 13:00:00, for there is a gap\n" in ran.out
    asked = [r.selection.host for r in canned.asked if isinstance(r, query_pb2.ListHostsRequest)]
    assert asked == ["db1", "web1"]


def test_where_what_has_ended_is_no_longer_kept_nothing_is_said_to_have_begun(
    canned: Canned, then: query_pb2.Coverage, fleetnet: Callable[..., Ran]
) -> None:
    then.not_kept.add(kind=query_pb2.KEPT_LISTENERS, since_us=fleet.AS_OF_US)
    assert canned.then is not None
    began = canned.then[1].pop(2)
    stopped = canned.sockets.pop(0)
    ran = fleetnet("diff", "--since", SINCE, "-q")
    assert ran.status == 3
    assert [line[:7] for line in ran.out.splitlines()] == [f"-  {stopped.host} ", f"?  {began.host}"]


def test_a_limit_cuts_differences_and_says_so(
    canned: Canned, then: query_pb2.Coverage, fleetnet: Callable[..., Ran]
) -> None:
    canned.sockets.clear()
    ran = fleetnet("diff", "--since", SINCE, "--limit", "2", "--ephemeral")
    assert ran.status == 1
    assert len(ran.out.splitlines()) == 4
    assert "cut at 2 by --limit, there is more" in ran.out
    document = json.loads(fleetnet("diff", "--since", SINCE, "--limit", "2", "-o", "json").out)
    assert document["coverage"]["truncated"]
    assert [item["change"] for item in document["items"]] == ["stopped", "stopped"]


def test_udp_on_a_port_that_the_kernel_hands_out_counts_only_if_asked_for(
    canned: Canned, then: query_pb2.Coverage, fleetnet: Callable[..., Ran]
) -> None:
    passing = canned.sockets[1]
    passing.local_port = 40_000
    canned.then = (then, [s for s in canned.sockets if s is not passing])
    assert fleetnet("diff", "--since", SINCE).status == 0
    for more in (["--ephemeral"], ["40000"]):
        assert fleetnet("diff", *more, "--since", SINCE).status == 1


def test_an_answer_that_breaks_off_is_3(canned: Canned, then: query_pb2.Coverage, fleetnet: Callable[..., Ran]) -> None:
    canned.breaks_after_pages = 1
    canned.sockets.clear()
    ran = fleetnet("diff", "--since", SINCE)
    assert ran.status == 3
    assert "the answer broke off" in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "say since when"),
        (["--since", "1h ago", "--until", "2h ago"], '--since "1h ago" is not before'),
        (["--since", "2999-01-01"], "lies in the future"),
        (["--since", "2h ago", "--until", "2999-01-01"], "lies in the future"),
        (["--since", "tomorrow"], '"tomorrow" is not a time'),
    ],
)
def test_times_that_make_no_sense_are_2(
    canned: Canned, fleetnet: Callable[..., Ran], options: list[str], said: str
) -> None:
    ran = fleetnet("diff", *options)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    assert canned.asked == []
