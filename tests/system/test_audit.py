"""`fleetnet audit` on real hosts: a policy that one of them keeps in every rule, and another in none."""

import tomllib
from pathlib import Path

import pytest
from system.laboratory import Laboratory

from demo.fabric import Host
from demo.fleet import Answer, Fleet
from demo.programs import Program, until

pytestmark = pytest.mark.root

NOBODY = 65534
GOOD = {"sshd": ["tcp:0.0.0.0:22"], "nginx": ["tcp:0.0.0.0:443"], "postgres": ["tcp:127.0.0.1:5432"]}

POLICY = """
rule = [
    {{ name = "ssh", expect = [{{ port = 22, process = "sshd", user = "root" }}] }},
    {{ name = "https", expect = [{{ port = "443", protocol = "tcp", process = "nginx" }}] }},
    {{ name = "no telnet", forbid = [{{ port = 23 }}] }},
    {{ name = "database inside", forbid = [{{ port = 5432, exposed = true }}] }},
    {{ name = "no names served", forbid = [{{ port = 53, protocol = "udp" }}] }},
    {{ name = "nothing of nobody", forbid = [{{ user = "nobody" }}] }},
    {{ name = "nothing on the switch", forbid = [{{ address = "{net}", port = "1024-65535", process = "dns" }}] }},
    {{ name = "no database at large", forbid = [{{ process = "postg*", scope = "any" }}] }},
    {{ name = "only these", only = [{{ port = 22 }}, {{ port = 443, process = "nginx" }}] }},
    {{ name = "only these inside", loopback = true, only = [{{ port = "22, 443, 5432, 53, 23" }}] }},
    {{ name = "just these", exactly = [{{ port = 22, process = "sshd" }}, {{ port = 443 }}] }},
    {{ name = "few left", at_most = {{ CLOSE_WAIT = 2 }} }},
]
"""


def test_each_of_twelve_rules_is_kept_by_one_host_and_violated_by_the_other_now_and_in_the_past(
    lab: Laboratory,
) -> None:
    good, bad = lab.fabric.add_host("good"), lab.fabric.add_host("bad")
    bad_ones = {
        "postgres": ["tcp:0.0.0.0:5432"],
        "telnetd": ["tcp:0.0.0.0:23"],
        "nc": [f"tcp:0.0.0.0:443:{NOBODY}"],
        "dns": ["udp:0.0.0.0:53", f"tcp:{bad.address}:1234", "tcp:127.0.0.1:9999"],
        "leak": ["close-wait:3"],
    }
    fleet = lab.fleet()
    replaced = start(lab, bad, GOOD)
    start(lab, good, GOOD)
    for host in (good, bad):
        fleet.enroll(host.name, fleet.place)
        fleet.start_agent(host.name, host)
    path = lab.directory / "policy.toml"
    path.write_text(POLICY.format(net=f"{bad.address}/32"))
    until(lambda: audited(fleet, path).status == 0, within_s=60.0, what="audit without findings")
    before = audited(fleet, path).document["as_of"]

    for program in replaced:
        program.stop()
    start(lab, bad, bad_ones)
    rules = {rule["name"] for rule in tomllib.loads(path.read_text())["rule"]}
    until(lambda: violated(fleet, path) == {(rule, "bad") for rule in rules}, within_s=60.0, what="all violations")
    ended = audited(fleet, path)
    assert ended.status == 1
    assert len(rules) == 12
    said = {item["rule"]: item for item in ended.items}
    assert said["few left"]["count"] == 3
    assert said["no telnet"]["socket"]["owners"][0]["name"] == "telnetd"

    earlier = audited(fleet, path, "--at", before)
    assert (earlier.status, earlier.items) == (0, []), "what began since is not held against the time before"


def test_what_is_learned_of_real_hosts_is_kept_by_them(lab: Laboratory) -> None:
    host = lab.fabric.add_host("good")
    fleet = lab.fleet()
    start(lab, host, GOOD)
    fleet.enroll("good", fleet.place)
    fleet.start_agent("good", host)
    path = lab.directory / "learned.toml"

    def learned() -> bool:
        answer = fleet.ask("audit", "--learn")
        path.write_text(answer.output)
        return answer.status == 0 and answer.output.count("port =") == 2

    until(learned, within_s=60.0, what="both exposed listeners in what is learned")
    assert audited(fleet, path).status == 0
    start(lab, host, {"telnetd": ["tcp:0.0.0.0:23"]})
    until(lambda: audited(fleet, path).status == 1, within_s=60.0, what="the new listener")


def start(lab: Laboratory, host: Host, services: dict[str, list[str]]) -> list[Program]:
    programs = [
        lab.start(host, "listening", name, *sockets, name=f"{host.name}.{name}") for name, sockets in services.items()
    ]
    for program in programs:
        program.wait_for(r"^ready")
    return programs


def audited(fleet: Fleet, policy: Path, *options: str) -> Answer:
    return fleet.ask("audit", str(policy), "-o", "json", *options)


def violated(fleet: Fleet, policy: Path) -> set[tuple[str, str]]:
    return {(item["rule"], item["host"]) for item in audited(fleet, policy).items if item["verdict"] == "violated"}
