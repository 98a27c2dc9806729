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
from fleetnet_cli import times
from fleetnet_cli.doctor import way
from fleetnet_cli.output.presentation import FORMATS
from fleetnet_proto.v1 import query_pb2

from cli import fleet, network, talkers

GOLDEN = Path(__file__).parent / "golden"

ANSWERS: dict[str, tuple[str, ...]] = {
    "audit.table": ("audit", "policy.toml"),
    "audit.json": ("audit", "policy.toml", "-o", "json"),
    "audit.junit": ("audit", "policy.toml", "-o", "junit"),
    "audit-learn.toml": ("audit", "--learn"),
    "who-listens.table": ("who-listens",),
    "who-listens.json": ("who-listens", "-o", "json"),
    "who-listens-quiet.table": ("who-listens", "-q"),
    "who-holds.table": ("who-holds", "CLOSE_WAIT", "TIME_WAIT"),
    "who-holds.json": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "-o", "json"),
    "who-holds-by-host.table": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "host"),
    "who-holds-by-host.json": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "host", "-o", "json"),
    "who-holds-by-process.table": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "process"),
    "who-holds-by-process.json": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "process", "-o", "json"),
    "diff.table": ("diff", "--since", "2026-02-27T13:00:00Z"),
    "diff.json": ("diff", "--since", "2026-02-27T13:00:00Z", "-o", "json"),
    "diff-quiet.table": ("diff", "--since", "2026-02-27T13:00:00Z", "-q"),
    "diff-partial.table": ("diff", "--since", "2026-02-27T13:00:00Z"),
    "history.table": ("history", "web1", "--since", "2026-02-27T13:00:00Z"),
    "history.json": ("history", "web1:443", "--since", "2026-02-27T13:00:00Z", "-o", "json"),
    "host.table": ("host", "web1"),
    "host.json": ("host", "web1", "-o", "json"),
    "who-holds-by-remote.table": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "remote"),
    "who-holds-by-remote.json": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "remote", "-o", "json"),
    "who-talks-to.table": ("who-talks-to", "198.18.0.3"),
    "who-talks-to.json": ("who-talks-to", "198.18.0.3", "-o", "json"),
    "who-talks-to-sockets.table": ("who-talks-to", "198.18.0.3", "--by", "socket"),
    "who-talks-to-by.json": ("who-talks-to", "198.18.0.3", "--by", "host,process,remote", "-o", "json"),
    "who-talks-to-host.table": ("who-talks-to", "web1"),
    "map.table": ("map",),
    "map.json": ("map", "-o", "json"),
    "map.dot": ("map", "-o", "dot"),
    "map.mermaid": ("map", "-o", "mermaid"),
    "map-quiet.table": ("map", "-q", "--external", "none"),
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
    "netstat-interfaces-live.table": ("netstat", "web1", "-i", "--live"),
    "netstat-interfaces.json": ("netstat", "web1", "-i", "-o", "json"),
    "netstat-interfaces-live.json": ("netstat", "web1", "-i", "--live", "-o", "json"),
    "netstat-statistics.table": ("netstat", "web1", "-s"),
    "netstat-statistics.json": ("netstat", "web1", "-s", "-o", "json"),
    "netstat-live.table": ("netstat", "web1", "-ntp", "--live", "--timers"),
    "netstat-live.json": ("netstat", "web1", "-nta", "--live", "-o", "json"),
    "host-revoke.table": ("host", "revoke", "db1", "web2"),
    "host-revoke.json": ("host", "revoke", "db1", "web2", "-o", "json"),
    "host-forget.table": ("host", "forget", "web2", "--yes"),
    "host-label.table": ("host", "label", "db1", "web1", "env=prod", "role=db"),
    "host-label.json": ("host", "label", "db1", "web1", "env=prod", "role=db", "-o", "json"),
    "token-create.table": ("token", "create", "--host", "web1"),
    "person-list.table": ("person", "list"),
    "explain.table": ("explain",),
    "explain-state.table": ("explain", "close-wait"),
    "explain-state.json": ("explain", "CLOSE_WAIT", "-o", "json"),
    "explain-port.table": ("explain", "443"),
    "explain-column.table": ("explain", "Send-Q"),
    "explain-two.table": ("explain", "gap"),
    "config-explain.json": ("config", "explain", "--server", "/run/f.sock", "-o", "json"),
    "help-exit-codes.table": ("help", "exit-codes"),
    "help-times.table": ("help", "times"),
    "help-formats.table": ("help", "formats"),
    "help-filters.table": ("help", "filters"),
    "help-policies.table": ("help", "policies"),
}
# In every format beside the layouts above, each with its own ending.
BY_ITEM: dict[str, tuple[str, ...]] = {
    "who-listens": ("who-listens",),
    "who-holds": ("who-holds", "CLOSE_WAIT", "TIME_WAIT"),
    "who-holds-by-host": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "host"),
    "who-holds-by-process": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "process"),
    "who-holds-by-remote": ("who-holds", "CLOSE_WAIT", "TIME_WAIT", "--by", "remote"),
    "who-talks-to": ("who-talks-to", "198.18.0.3"),
    "audit": ("audit", "policy.toml"),
    "map": ("map",),
    "hosts": ("hosts",),
    "diff": ("diff", "--since", "2026-02-27T13:00:00Z"),
    "history": ("history", "web1", "--since", "2026-02-27T13:00:00Z"),
    "netstat": ("netstat", "web1", "-tuan"),
    "netstat-unix": ("netstat", "web1", "-wxa"),
    "netstat-routes": ("netstat", "web1", "-r"),
    "netstat-interfaces": ("netstat", "web1", "-i"),
    "netstat-interfaces-live": ("netstat", "web1", "-i", "--live"),
    "netstat-statistics": ("netstat", "web1", "-s"),
    "netstat-live": ("netstat", "web1", "-nta", "--live"),
    "host-revoke": ("host", "revoke", "db1", "web2"),
    "host-label": ("host", "label", "db1", "web1", "env=prod", "role=db"),
    "token-create": ("token", "create", "--host", "web1", "--label", "role=web", "--label", "env=prod"),
    "token-list": ("token", "list"),
    "log": ("log",),
    "person-list": ("person", "list"),
}
MAKE_NO_SENSE = (
    "netstat-routes.name",
    "netstat-statistics.name",
    "token-create.name",
    "token-list.name",
    "log.name",
    "person-list.name",
    "map.name",
)
ANSWERS |= {
    f"{name}.{output}": (*arguments, "-o", output)
    for name, arguments in BY_ITEM.items()
    for output in ("wide", "ndjson", "csv", "name")
    if f"{name}.{output}" not in MAKE_NO_SENSE
}
ANSWERS |= {f"doctor.{output}": ("doctor", "-o", output) for output in ("table", "json", "ndjson")}
ANSWERS["host.ndjson"] = ("host", "web1", "-o", "ndjson")
ANSWERS["token-create.json"] = (*BY_ITEM["token-create"], "-o", "json")
ANSWERS["token-create-person.json"] = ("token", "create", "--person", "alice", "--role", "operator", "-o", "json")
ANSWERS["log.json"] = (*BY_ITEM["log"], "-o", "json")
ANSWERS["log.table"] = BY_ITEM["log"]
ANSWERS["log-limit.table"] = ("log", "--limit", "2")
ANSWERS["token-list.json"] = (*BY_ITEM["token-list"], "-o", "json")
ANSWERS["token-list.table"] = BY_ITEM["token-list"]
ANSWERS["token-revoke.table"] = ("token", "revoke", "4f1c09a2b37e")
ANSWERS["token-create-several.table"] = ("token", "create", "--label", "role=web", "--max-uses", "5", "--approve")
ANSWERS["host-approve.table"] = ("host", "approve", "web2")
ANSWERS["person-list.json"] = (*BY_ITEM["person-list"], "-o", "json")
# An interface whose name is hostile, and sockets whose process is not known.
NOT_ALL_NAMED = ("netstat-interfaces.name", "who-holds-by-process.name")
WITH_UNIX = ("netstat-both.table", *(f"netstat-unix.{output}" for output in ("table", *FORMATS)))
STATUSES = {"hosts": 3, "audit": 1, "diff": 1, "doctor": 1, "map": 3}
PARTIAL = (*NOT_ALL_NAMED, "audit-learn.toml", "diff-partial.table")


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_looks_as_it_always_has(
    name: str, canned: Canned, fleetnet: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = ANSWERS[name]
    if arguments[0] in ("who-holds", "who-talks-to") or name.startswith("explain-state"):
        canned.sockets = fleet.connections()
    elif arguments[0] == "netstat":
        canned.coverage.hosts_asked = canned.coverage.hosts_fresh = 1
        canned.sockets = fleet.listeners() + fleet.connections() + (network.unix_sockets() if name in WITH_UNIX else [])
    elif arguments[0] == "hosts":
        canned.coverage = query_pb2.Coverage(
            as_of_us=fleet.AS_OF_US, hosts_asked=4, hosts_fresh=2,
            hosts_stale=[*fleet.stale(180, "web1"), query_pb2.StaleHost(host="web2")], gaps=1,
        )  # fmt: skip
    elif arguments[0] == "map":
        canned.sockets, canned.namespaces, canned.narrows = talkers.sockets(), talkers.namespaces(), True
    elif arguments[0] == "host":
        canned.coverage.hosts_asked = canned.coverage.hosts_fresh = 1
        canned.sockets, canned.lives = fleet.listeners() + fleet.connections(), fleet.lives()
        canned.hosts[2].degraded.append("owners: no\x1b helper")
    elif arguments[0] == "history":
        canned.coverage.hosts_asked = canned.coverage.hosts_fresh = 1
        canned.lives = fleet.lives()
    elif arguments[0] == "doctor":
        canned.described = fleet.described()
        (tmp_path / "admin.sock").chmod(0o660)
        monkeypatch.setattr(way, "_user", lambda _uid: "fleetnet")
        monkeypatch.setattr(way, "_group", lambda _gid: "fleetnet")
    elif arguments[0] == "diff":
        _two_days_apart(canned, partial="partial" in name)
    monkeypatch.setattr(times, "now_us", lambda: fleet.AS_OF_US)
    monkeypatch.chdir(Path(__file__).parent)
    monkeypatch.setattr("fleetnet_cli.settings.SYSTEM_FILE", Path("/etc/fleetnet/none.toml"))
    ran = fleetnet(*arguments)
    assert ran.status == (3 if name in PARTIAL else STATUSES.get(arguments[0], 0))
    said = f"--- stderr\n{ran.err}" if ran.err else ""
    _compare(GOLDEN / name, ran.out.replace(str(tmp_path), "/home/admin") + said)


def _two_days_apart(canned: Canned, *, partial: bool) -> None:
    then = query_pb2.Coverage(as_of_us=fleet.AS_OF_US - 48 * fleet.HOUR_US, hosts_asked=4, hosts_fresh=4)
    if partial:
        # db1 was silent, and odd enrolled afterwards.
        then.hosts_asked, then.hosts_fresh = 3, 2
        then.hosts_stale.add(host="db1", last_seen_us=then.as_of_us - 3 * fleet.HOUR_US)
        canned.hosts[1].enrolled_at_us = fleet.AS_OF_US - fleet.HOUR_US
        canned.then = (then, [s for s in fleet.listeners_before() if s.host != "odd"])
        return
    canned.then = (then, fleet.listeners_before())


def _compare(path: Path, text: str) -> None:
    # To the letter: the lines of CSV end with CR and LF.
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_bytes(text.encode())
    assert text == path.read_bytes().decode()


@pytest.mark.parametrize("name", [n for n in ANSWERS if n.endswith(".json")])
def test_the_golden_documents_parse_and_have_the_one_envelope(name: str) -> None:
    document = json.loads((GOLDEN / name).read_text())
    assert list(document) == ["api_version", "kind", "as_of", "coverage", "items"]
    coverage = ["hosts_asked", "hosts_fresh", "hosts_stale", "gaps", "not_kept", "unseen_holders", "unmatched_globs"]
    then = document["coverage"].pop("since", None)
    assert list(document["coverage"]) == [*coverage, "truncated"]
    assert then is None or list(then) == ["as_of", *coverage]


def test_every_file_in_golden_belongs_to_an_answer() -> None:
    assert {p.name for p in GOLDEN.iterdir()} == set(ANSWERS)
