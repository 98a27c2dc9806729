"""`fleetnet audit` on a real application: a policy of twelve rules, each kept by the fleet as it should be and broken
by what became of it, in every format; the past judged by the same; and what is learned of the fleet.
"""

import csv
import io
import json
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.interchange import check_junit, check_sarif
from cli.schemas import check_document, check_lines
from system.laboratory import laboratory
from system.three_tiers import INSIDE, Tiers, three_tiers

from demo.fleet import Answer
from demo.programs import until

pytestmark = pytest.mark.root

CLEAN, VIOLATED, PARTIAL = 0, 1, 3
PARTLY = ("table", "json", "junit", "sarif")
FORMATS = (*PARTLY, "wide", "ndjson", "csv", "name")

# One of everything that a rule may say. MON1 stands for that host's address.
POLICY = """
[[rule]]
name = "everybody can be reached by ssh"
expect = [{ port = "ssh", process = "sshd", user = "root", netns = "host" }]

[[rule]]
name = "customers reach the balancer"
hosts = ["lb*"]
why = "sales"
expect = [{ port = 443, protocol = "tcp", process = "haproxy", exposed = true }]

[[rule]]
name = "the application is run by its unit"
hosts = ["APP?"]
expect = [{ port = "8000-8999", unit = "fleetnet-app-*.service" }]

[[rule]]
name = "the database serves the inside"
hosts = ["db1"]
exactly = [{ port = 22 }, { port = "postgresql", address = "10.10.0.0/24", process = "postgres", user = "65534" }]

[[rule]]
name = "no telnet"
severity = "warning"
forbid = [{ port = [23, "2323"] }]

[[rule]]
name = "no database at large"
forbid = [{ process = "postg*", scope = ["public", "any"] }]

[[rule]]
name = "no container beside the database"
hosts = ["db*"]
forbid = [{ container = "*" }]

[[rule]]
name = "the balancer does nothing else"
hosts = ["lb1"]
severity = "note"
only = [{ port = "22, 443" }]

[[rule]]
name = "the monitor has no secrets"
hosts = ["mon1"]
loopback = true
only = [{ port = [22, 53, 514] }]

[[rule]]
name = "connections are closed"
hosts = ["app*"]
at_most = { CLOSE_WAIT = 2, SYN_RECV = 10 }

[[rule]]
name = "names are served by one"
except = ["mon1"]
forbid = [{ port = 53, protocol = ["udp", "tcp"] }]

[[rule]]
name = "the log is taken"
hosts = ["mon1"]
expect = [{ port = 514, protocol = "udp", address = "MON1" }]
"""
# By which host each is broken in the end.
BROKEN = {
    ("everybody can be reached by ssh", "app2"),
    ("customers reach the balancer", "lb1"),
    ("the application is run by its unit", "app2"),
    ("the database serves the inside", "db1"),
    ("no telnet", "mon1"),
    ("no database at large", "db1"),
    ("no container beside the database", "db1"),
    ("the balancer does nothing else", "lb1"),
    ("the monitor has no secrets", "mon1"),
    ("connections are closed", "app1"),
    ("names are served by one", "lb1"),
    ("the log is taken", "mon1"),
}


@pytest.fixture(scope="module")
def tiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiers]:
    with laboratory(tmp_path_factory.mktemp("lab")) as lab, three_tiers(lab) as made:
        yield made


@pytest.fixture(scope="module")
def policy(tiers: Tiers) -> Path:
    path = tiers.lab.directory / "policy.toml"
    path.write_text(POLICY.replace("MON1", tiers.hosts["mon1"].address))
    assert {rule for rule, _ in BROKEN} == {rule["name"] for rule in tomllib.loads(POLICY)["rule"]}
    assert len(BROKEN) == 12
    return path


def test_the_application_works_through_all_its_tiers(tiers: Tiers) -> None:
    assert sorted(tiers.order(4)) == ["haproxy shop postgres"] * 4
    talks = tiers.fleet.ask("who-talks-to", f"{INSIDE}4:5432", "-o", "json").items
    assert {item["host"] for item in talks} >= {"app1", "app2"}


def test_what_is_learned_of_the_fleet_is_kept_by_it_until_something_listens_that_did_not(tiers: Tiers) -> None:
    path = tiers.lab.directory / "learned.toml"
    exposed = 11  # five of ssh, two of the application, haproxy, postgres, and two of the monitor
    path.write_text(
        until(
            lambda: answer.output if (answer := learned(tiers)).output.count("port =") == exposed else None,
            within_s=60.0,
            what="all that is exposed in what is learned",
        )
    )
    assert audited(tiers, path).status == CLEAN
    tiers.serve("mon1", "backdoor", "tcp:0.0.0.0:31337")
    until(lambda: audited(tiers, path).status == VIOLATED, within_s=60.0, what="the new listener")
    (found,) = audited(tiers, path).items
    assert (found["host"], found["socket"]["local_port"]) == ("mon1", 31337)
    tiers.stop("mon1", "backdoor")
    until(lambda: audited(tiers, path).status == CLEAN, within_s=60.0, what="the end of the new listener")


def test_each_of_twelve_rules_is_kept_and_then_broken_in_every_format_and_was_kept_before(
    tiers: Tiers, policy: Path
) -> None:
    until(lambda: audited(tiers, policy).status == CLEAN, within_s=60.0, what="audit without findings")
    hold_to(tiers, policy, CLEAN, set())
    before = audited(tiers, policy).document["as_of"]

    tiers.drift()
    until(lambda: violated(audited(tiers, policy)) == BROKEN, within_s=60.0, what="all violations, and no other")
    hold_to(tiers, policy, VIOLATED, BROKEN)
    said = {item["rule"]: item for item in audited(tiers, policy).items}
    assert said["connections are closed"]["count"] > said["connections are closed"]["at_most"] == 2
    assert said["no telnet"]["socket"]["owners"][0]["name"] == "telnetd"
    assert said["no container beside the database"]["socket"]["container"]
    # Which sets it right: what is lacking is told as it is asked for, and what is too much with who holds it where.
    assert said["everybody can be reached by ssh"]["message"] == "nothing listens on 22 by sshd as root in netns host"
    assert said["no database at large"]["message"].startswith("postgres (")
    assert said["no database at large"]["message"].endswith(") listens on tcp 0.0.0.0:5432")

    hold_to(tiers, policy, CLEAN, set(), "--at", before, formats=PARTLY)


def test_a_host_that_was_never_heard_is_not_judged_and_leaves_no_audit_clean(tiers: Tiers, policy: Path) -> None:
    tiers.fleet.enroll("new1", tiers.fleet.place)
    alone = audited(tiers, policy, "--host", "new1")
    assert (alone.status, {item["verdict"] for item in alone.items}) == (PARTIAL, {"not-judged"})
    assert {item["message"] for item in alone.items} == {"it has never been heard"}
    junit, sarif = (ask(tiers, policy, name, "--host", "new1") for name in ("junit", "sarif"))
    check_junit(junit.output)
    check_sarif(sarif.output)
    suites = ElementTree.fromstring(junit.output)
    assert sum(int(suite.attrib["skipped"]) for suite in suites) == len(alone.items) + 1  # of the coverage
    assert {result["kind"] for result in json.loads(sarif.output)["runs"][0]["results"]} == {"open"}
    everybody = audited(tiers, policy)
    assert everybody.status == (VIOLATED if violated(everybody) else PARTIAL)
    assert {item["host"] for item in everybody.items if item["verdict"] == "not-judged"} == {"new1"}


def learned(tiers: Tiers) -> Answer:
    return tiers.fleet.ask("audit", "--learn")


def ask(tiers: Tiers, policy: Path, output: str, *options: str) -> Answer:
    return tiers.fleet.ask("audit", str(policy), "-o", output, *options)


def audited(tiers: Tiers, policy: Path, *options: str) -> Answer:
    return ask(tiers, policy, "json", *options)


def violated(answer: Answer) -> set[tuple[str, str]]:
    return {(item["rule"], item["host"]) for item in answer.items if item["verdict"] == "violated"}


def hold_to(
    tiers: Tiers,
    policy: Path,
    status: int,
    broken: set[tuple[str, str]],
    *options: str,
    formats: tuple[str, ...] = FORMATS,
) -> None:
    """Every format ends with this status, says which host breaks which rule and nothing else, and is valid."""
    for output in formats:
        answer = ask(tiers, policy, output, *options)
        assert (output, answer.status) == (output, status)
        assert (output, READ[output](answer.output)) == (output, broken)


def read_table(text: str) -> set[tuple[str, str]]:
    """Rules and hosts, which stand at the same places in all lines."""
    head, *lines = text.splitlines()
    shown = [line for line in lines if line.startswith("violated")]
    assert lines[-1].startswith("12 rules: 12 violated, on 5 hosts" if shown else "12 rules: none violated")
    rule, host, what = (head.find(column) for column in ("RULE", "HOST", "WHAT"))
    return {(line[rule:host].strip(), line[host:what].strip()) for line in shown}


def read_json(text: str) -> set[tuple[str, str]]:
    check_document(text)
    return {(item["rule"], item["host"]) for item in json.loads(text)["items"]}


def read_lines(text: str) -> set[tuple[str, str]]:
    check_lines(text)
    return {(item["rule"], item["host"]) for item in map(json.loads, text.splitlines()[1:-1])}


def read_csv(text: str) -> set[tuple[str, str]]:
    return {(row["rule"], row["host"]) for row in csv.DictReader(io.StringIO(text))}


def read_names(text: str) -> set[tuple[str, str]]:
    """Hosts alone."""
    return {(rule, host) for rule, host in BROKEN if host in text.split()}


def read_sarif(text: str) -> set[tuple[str, str]]:
    check_sarif(text)
    (run,) = json.loads(text)["runs"]
    assert {result["kind"] for result in run["results"]} <= {"fail"}
    return {(result["ruleId"], result["locations"][0]["logicalLocations"][0]["name"]) for result in run["results"]}


def read_junit(text: str) -> set[tuple[str, str]]:
    """Those that failed; where none did, every rule has been held against somebody."""
    check_junit(text)
    cases = {
        (case.attrib["classname"], case.attrib["name"]): case for case in ElementTree.fromstring(text).iter("testcase")
    }
    failed = {name for name, case in cases.items() if case.find("failure") is not None}
    assert all(len(case) == 0 for name, case in cases.items() if name not in failed), "nothing was skipped"
    assert {rule for rule, _ in cases} == {"coverage", *(rule for rule, _ in BROKEN)}
    return failed


READ: dict[str, Callable[[str], set[tuple[str, str]]]] = {
    "table": read_table,
    "wide": read_table,
    "json": read_json,
    "ndjson": read_lines,
    "csv": read_csv,
    "name": read_names,
    "sarif": read_sarif,
    "junit": read_junit,
}
