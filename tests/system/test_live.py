"""Live looks at real hosts: what ss says at that moment, and nothing of it in history."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from fleetnet_proto.v1 import live_pb2, query_pb2, query_pb2_grpc
from system import archive, details, ledger, oracles
from system.laboratory import Laboratory, laboratory
from system.population import populate

from demo.fabric import Host
from demo.fleet import Fleet
from demo.programs import FailedError, Program, until

pytestmark = pytest.mark.root

_ANSWER_S = 30.0
_WITHIN_S = 90.0
_MOVING = {"last_sent_ms", "last_received_ms", "expires_ms"}  # by themselves
_LIVE_LOOKS = 5
# What is told of the columns of /proc/net/dev.
_OF_DEV = {
    "received_bytes": 0,
    "received_packets": 1,
    "receive_errors": 2,
    "receive_drops": 3,
    "receive_overruns": 4,
    "sent_bytes": 8,
    "sent_packets": 9,
    "send_errors": 10,
    "send_drops": 11,
    "send_overruns": 12,
}


@contextmanager
def asking(fleet: Fleet) -> Iterator[query_pb2_grpc.QueryServiceStub]:
    with grpc.insecure_channel(f"unix://{fleet.admin_socket}") as channel:
        yield query_pb2_grpc.QueryServiceStub(channel)


def ask_live(fleet: Fleet, host: str, wanted: live_pb2.LiveWanted) -> list[query_pb2.LiveResponse]:
    """A whole answer, asked for as soon as it is allowed."""
    request = query_pb2.LiveRequest(host=host, wanted=wanted)

    def answer() -> list[query_pb2.LiveResponse] | None:
        try:
            return list(queries.Live(request, timeout=_ANSWER_S))
        except grpc.RpcError as refused:
            if isinstance(refused, grpc.Call) and refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                return None
            raise

    with asking(fleet) as queries:
        parts = until(answer, within_s=_WITHIN_S, what="a live look that is not too soon")
    assert [part.page.trouble for part in parts if part.page.trouble] == []
    assert parts[0].coverage.hosts_fresh == 1
    pages = [part.page for part in parts]
    items = sum(len(page.sockets) + len(page.interfaces) + len(page.statistics) for page in pages)
    assert parts[-1].end == query_pb2.End(items=items)
    return parts


def look_live(fleet: Fleet, host: str) -> list[query_pb2.LiveItem]:
    """The sockets of a live look."""
    parts = ask_live(fleet, host, live_pb2.LiveWanted(sockets=True, details=True))
    return [item for part in parts for item in part.page.sockets]


def inet(items: list[query_pb2.LiveItem]) -> list[query_pb2.LiveItem]:
    """Those of TCP and UDP."""
    return [item for item in items if item.socket.protocol in (6, 17)]


def peak_kib(program: Program) -> int:
    """The most memory that it ever had at once."""
    (line,) = [line for line in Path(f"/proc/{program.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1])


@pytest.mark.slow
def test_a_live_look_equals_ss_socket_by_socket(tmp_path_factory: pytest.TempPathFactory) -> None:
    with laboratory(tmp_path_factory.mktemp("live")) as lab:
        host, far = lab.fabric.add_host("full"), lab.fabric.add_host("far")
        fleet = lab.fleet()
        fleet.enroll("full", host)
        populate(lab, host, far)
        fleet.start_agent("full", host)
        fleet.wait_until_fresh("full")
        compared: Counter[str] = Counter()
        timers: set[object] = set()

        def differences() -> list[str]:
            before = details.of_ss(host)
            ours = details.of_live(inet(look_live(fleet, "full")))
            after = details.of_ss(host)
            compared.clear()
            found = [f"{cookie:x} is shown by one only" for cookie in before.keys() & after.keys() ^ ours.keys()]
            for cookie in before.keys() & ours.keys() & after.keys():
                shown = {*before[cookie], *ours[cookie]} - _MOVING
                for field in shown:
                    was, now = before[cookie].get(field), after[cookie].get(field)
                    if was == now:  # what moved meanwhile may be either, or anything between
                        compared[field] += 1
                        if ours[cookie].get(field) != was:
                            found.append(f"{cookie:x} {field}: {ours[cookie].get(field)}, and ss says {was}")
                found += expiry_is_off(before[cookie], ours[cookie], after[cookie])
                timers.add(ours[cookie].get("timer"))
            return found

        try:
            until(lambda: not differences(), within_s=_WITHIN_S, what="a live look equal to what ss says")
        except FailedError as failure:
            pytest.fail(f"{failure}\n" + "\n".join(differences()[:40]))
    assert timers >= {None, 1, 3}
    assert compared["send_buffer_bytes"] > 1_000
    assert compared["congestion_control"] > 1_000
    assert min(compared[field] for field in ("sent_segments", "rtt_us", "retransmission_timeout_us")) > 500
    assert compared["received_bytes"] > 0


def expiry_is_off(before: details.Details, ours: details.Details, after: details.Details) -> list[str]:
    """A timer that is the same before and after runs down between the two; ss shows seconds, or minutes."""
    if not before.get("timer") == ours.get("timer") == after.get("timer") or "timer" not in ours:
        return []
    latest, earliest, shown = (each["expires_ms"] for each in (before, after, ours))
    assert isinstance(latest, int)
    assert isinstance(earliest, int)
    assert isinstance(shown, int)
    if earliest > latest:  # set anew meanwhile
        return []
    coarse_ms = 60_000 if latest >= 600_000 else 1_000
    return [] if earliest - coarse_ms <= shown <= latest + coarse_ms else [f"{shown} ms: not {latest} to {earliest}"]


def test_live_looks_during_churn_show_what_stays_once_and_leave_history_as_it_is(lab: Laboratory) -> None:
    host = lab.fabric.add_host("churn")
    fleet = lab.fleet()
    fleet.enroll("churn", fleet.place)
    churn = lab.start(host, "churn", "3")
    churn.wait_for("^churning")
    agent = fleet.start_agent("churn", host)
    fleet.wait_until_fresh("churn")
    seen: list[Counter[int]] = []
    names: list[Counter[object]] = []
    for _ in range(_LIVE_LOOKS):
        items = inet(look_live(fleet, "churn"))
        seen.append(Counter(item.socket.cookie for item in items))
        names.append(Counter((item.socket.local_port, item.socket.remote_port) for item in items))
    churn.tell("")
    churn.wait_for("^ledger ")

    def equal() -> bool:
        items = fleet.ask("netstat", "churn", "-tuan", "-o", "json").items
        return oracles.of_items(items) == oracles.of_ss(host)

    until(equal, within_s=_WITHIN_S, what="an answer equal to that of ss")
    steady = [entry for entry in ledger.read(churn.says()) if entry.kind == "steady"]
    agent.stop()
    fleet.collector.stop()
    assert max(count for look in seen for count in look.values()) == 1
    for entry in steady:
        for look in names:
            assert look[entry.local_port, entry.remote_port or 0] == 1, f"{entry} is not there once"
    kept = archive.read(fleet.data, "churn")
    assert kept.doubled() == []
    assert kept.gaps == []
    for entry in steady:
        assert len(kept.of(entry)) == 1


@pytest.mark.slow
def test_a_live_look_at_20000_sockets_costs_agent_and_collector_a_few_mebibytes(lab: Laboratory) -> None:
    host = lab.fabric.add_host("many")
    fleet = lab.fleet()
    fleet.enroll("many", host)
    for number in range(4):  # each on an address of its own: a free port is hard to find where most are taken
        lab.start(host, "many", "5000", f"127.0.0.{1 + number}", name=f"many{number}").wait_for(
            "^ledger ", within_s=_WITHIN_S
        )
    agent = fleet.start_agent("many", host)
    fleet.wait_until_fresh("many", within_s=_WITHIN_S)
    before = peak_kib(agent), peak_kib(fleet.collector)
    items = look_live(fleet, "many")
    after = peak_kib(agent), peak_kib(fleet.collector)
    assert len(inet(items)) > 20_000
    assert after[0] - before[0] < 8 * 1024
    assert after[1] - before[1] < 64 * 1024


def test_counters_and_statistics_lie_between_what_the_kernel_shows_before_and_after(lab: Laboratory) -> None:
    host = lab.fabric.add_host("web1")
    fleet = lab.fleet()
    fleet.enroll("web1", host)
    fleet.start_agent("web1", host)
    fleet.wait_until_fresh("web1")
    before = counted_by_the_kernel(host)
    parts = ask_live(fleet, "web1", live_pb2.LiveWanted(interfaces=True, statistics=True))
    after = counted_by_the_kernel(host)
    ours = {
        (statistic.group, statistic.name): statistic.value for part in parts for statistic in part.page.statistics
    } | {
        (counters.name, field): getattr(counters, field)
        for part in parts
        for counters in part.page.interfaces
        for field in _OF_DEV
    }
    assert {name for name, _ in ours} >= {"lo", "eth0", "Ip", "Tcp", "TcpExt"}
    for name in before:
        lowest, highest = sorted((before[name], after[name]))
        assert lowest <= ours[name] <= highest, name
    assert ours["eth0", "received_packets"] > 0


def counted_by_the_kernel(host: Host) -> dict[tuple[str, str], int]:
    """/proc/net/dev, snmp and netstat on a host."""
    found: dict[tuple[str, str], int] = {}
    for line in host.run("cat", "/proc/net/dev").splitlines()[2:]:
        name, _, numbers = line.partition(":")
        found |= {(name.strip(), field): int(numbers.split()[at]) for field, at in _OF_DEV.items()}
    lines = host.run("cat", "/proc/net/snmp", "/proc/net/netstat").splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        group, *columns = names.split()
        pairs = zip(columns, values.split()[1:], strict=True)
        found |= {(group.removesuffix(":"), column): int(value) for column, value in pairs}
    return found
