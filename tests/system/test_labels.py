"""Labels on real hosts: one has them from its token, others are labelled, and questions are asked of some of them."""

import os
from pathlib import Path

import pytest
from system.laboratory import Laboratory

from demo.fleet import Answer, Fleet, console_script
from demo.programs import until

pytestmark = pytest.mark.root

RULE = "[[rule]]\nname = 'r'\nlabels = {{ role = '{role}' }}\nonly = [{{ process = 'nginx' }}]\n"


def test_hosts_are_asked_watched_and_judged_by_their_labels(lab: Laboratory) -> None:
    fleet = lab.fleet()
    assert fleet.place is not None
    for name, labels in {"web1": ("--label", "role=web"), "web2": (), "db1": ()}.items():
        host = lab.fabric.add_host(name)
        lab.start(host, "listening", "nginx", "tcp:0.0.0.0:443", name=f"{name}.nginx").wait_for("^ready")
        fleet.enroll(name, fleet.place, *labels)
        fleet.start_agent(name, host)
    fleet.wait_until_fresh("web1", "web2", "db1")

    answer = fleet.expect(0, "who-listens", "443", "--label", "role=web", "-o", "json")
    assert hosts(answer) == ["web1"]
    assert answer.document["coverage"]["hosts_asked"] == 1
    assert fleet.expect(0, "host", "web1", "-o", "json").items[0]["labels"] == {"role": "web"}
    then = answer.document["as_of"]

    told = {**os.environ, "FLEETNET_SERVER": f"unix://{fleet.admin_socket}"}
    command = fleet.place.command(
        console_script("fleetnet"), "watch", "who-listens", "443", "--label", "role=web", "-q"
    )
    watch = lab.programs.start("watch", command, told)
    watch.wait_for(r"^            web1 +tcp +0\.0\.0\.0:443 ")
    assert fleet.expect(0, "host", "label", "--host", "web*", "role=web", "env=prod").output == "2 hosts labelled\n"
    watch.wait_for(r"^\+ \d\d:\d\d:\d\d  web2 +tcp +0\.0\.0\.0:443 ")
    assert fleet.expect(0, "host", "label", "web2", "role-").output == "web2: env=prod\n"
    watch.wait_for(r"^- \d\d:\d\d:\d\d  web2 +tcp +0\.0\.0\.0:443 ")

    # What hosts are called now is what counts, whatever time is asked about.
    fleet.expect(0, "host", "label", "db1", "role=db")
    assert hosts(fleet.expect(0, "who-listens", "--label", "role=db", "--at", then, "-o", "json")) == ["db1"]
    assert hosts(fleet.expect(0, "hosts", "--label", "env", "-o", "json")) == ["web1", "web2"]
    assert hosts(fleet.expect(0, "hosts", "--label", "env=prod", "--label", "role", "-o", "json")) == ["web1"]
    nobody = fleet.expect(1, "who-listens", "--label", "role=wbe")
    assert nobody.output == 'no host has role=wbe, did you mean "role=web"? "fleetnet hosts -o wide" lists them\n'

    path = lab.directory / "policy.toml"
    until(lambda: judged(fleet, path, "web") == (0, []), within_s=60.0, what="what web servers are to have")
    assert judged(fleet, path, "wbe") == (3, ["no host has role=wbe"])
    fleet.collector.stop()
    fleet.start_collector()
    assert hosts(fleet.ask("hosts", "--label", "role=web", "-o", "json")) == ["web1"]


def hosts(answer: Answer) -> list[str]:
    return [item["host"] for item in answer.items]


def judged(fleet: Fleet, path: Path, role: str) -> tuple[int, list[str]]:
    """The exit status of an audit of hosts with this label, and what it says."""
    path.write_text(RULE.format(role=role))
    answer = fleet.ask("audit", str(path), "-o", "json")
    return answer.status, [item["message"] for item in answer.items]
