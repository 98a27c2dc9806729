"""What people and programs read, to the letter: each command in each format on a fixed answer.

UPDATE_GOLDEN=1 writes the files anew; read the difference before it is kept.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.canned import Canned
from cli.conftest import Ran
from fleetnet_proto.v1 import query_pb2

from cli import fleet, network

GOLDEN = Path(__file__).parent / "golden"

ANSWERS: dict[str, tuple[str, ...]] = {
    "who-listens.table": ("who-listens",),
    "who-listens.json": ("who-listens", "-o", "json"),
    "who-listens-quiet.table": ("who-listens", "-q"),
    "who-holds.table": ("who-holds", "CLOSE_WAIT", "TIME_WAIT"),
    "who-holds.json": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "-o", "json"),
    "who-holds-by-host.table": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "host"),
    "who-holds-by-host.json": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "host", "-o", "json"),
    "who-holds-by-process.table": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "process"),
    "who-holds-by-process.json": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "process", "-o", "json"),
    "hosts.table": ("hosts",),
    "hosts.json": ("hosts", "-o", "json"),
    "netstat.table": ("netstat", "web1", "-tuanp"),
    "netstat.json": ("netstat", "web1", "-tuan", "-o", "json"),
    "netstat-both.table": ("netstat", "web1", "-anp"),
    "netstat-unix.table": ("netstat", "web1", "-xap"),
    "netstat-unix.json": ("netstat", "web1", "-wxa", "-o", "json"),
    "netstat-extended.table": ("netstat", "web1", "-tuae"),
    "netstat-routes.table": ("netstat", "web1", "-r"),
    "netstat-routes-metrics.table": ("netstat", "web1", "-rne"),
    "netstat-routes-all.table": ("netstat", "web1", "-rnee"),
    "netstat-routes-ipv6.table": ("netstat", "web1", "-rn6"),
    "netstat-routes-elsewhere.table": ("netstat", "web1", "-rn", "--netns", "4026532281"),
    "netstat-routes.json": ("netstat", "web1", "-r", "-o", "json"),
    "netstat-interfaces.table": ("netstat", "web1", "-ia"),
    "netstat-interfaces-wide.table": ("netstat", "web1", "-iaW"),
    "netstat-interfaces-live.table": ("netstat", "web1", "-i", "--live"),
    "netstat-interfaces.json": ("netstat", "web1", "-i", "-o", "json"),
    "netstat-interfaces-live.json": ("netstat", "web1", "-i", "--live", "-o", "json"),
    "netstat-statistics.table": ("netstat", "web1", "-s"),
    "netstat-statistics.json": ("netstat", "web1", "-s", "-o", "json"),
    "netstat-live.table": ("netstat", "web1", "-ntp", "--live", "--timers"),
    "netstat-live.json": ("netstat", "web1", "-nta", "--live", "-o", "json"),
    "token-create.table": ("token", "create", "--host", "web1"),
    "explain.table": ("explain",),
    "explain-state.table": ("explain", "close-wait"),
    "explain-state.json": ("explain", "CLOSE_WAIT", "-o", "json"),
    "explain-port.table": ("explain", "443"),
    "explain-column.table": ("explain", "Send-Q"),
    "explain-two.table": ("explain", "gap"),
    "help-exit-codes.table": ("help", "exit-codes"),
    "help-times.table": ("help", "times"),
    "help-formats.table": ("help", "formats"),
    "help-filters.table": ("help", "filters"),
}
WITH_UNIX = ("netstat-both.table", "netstat-unix.table", "netstat-unix.json")


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_looks_as_it_always_has(name: str, canned: Canned, fleetnet: Callable[..., Ran]) -> None:
    arguments = ANSWERS[name]
    if arguments[0] == "who-holds" or name.startswith("explain-state"):
        canned.sockets = fleet.connections()
    elif arguments[0] == "netstat":
        canned.coverage.hosts_asked = canned.coverage.hosts_fresh = 1
        canned.sockets = fleet.listeners() + fleet.connections() + (network.unix_sockets() if name in WITH_UNIX else [])
    elif arguments[0] == "hosts":
        canned.coverage = query_pb2.Coverage(
            as_of_us=fleet.AS_OF_US, hosts_asked=4, hosts_fresh=2,
            hosts_stale=[*fleet.stale(180, "web1"), query_pb2.StaleHost(host="web2")], gaps=1,
        )  # fmt: skip
    ran = fleetnet(*arguments)
    assert ran.status == (3 if arguments[0] == "hosts" else 0)
    said = f"--- stderr\n{ran.err}" if ran.err else ""
    _compare(GOLDEN / name, ran.out + said)


def _compare(path: Path, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", [n for n in ANSWERS if n.endswith(".json")])
def test_the_golden_documents_parse_and_have_the_one_envelope(name: str) -> None:
    document = json.loads((GOLDEN / name).read_text())
    assert list(document) == ["api_version", "kind", "as_of", "coverage", "items"]
    assert list(document["coverage"]) == ["hosts_asked", "hosts_fresh", "hosts_stale", "gaps", "not_kept", "truncated"]


def test_every_file_in_golden_belongs_to_an_answer() -> None:
    assert {p.name for p in GOLDEN.iterdir()} == set(ANSWERS)
