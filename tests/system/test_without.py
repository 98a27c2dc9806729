"""A host that refuses or lacks something: what can be seen is seen, each row says why the rest is missing, and the
doctor names the permission that would change it."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from system.laboratory import Laboratory
from system.ledger import Entry, read

from demo.fabric import Host

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[2]
BLIND_CAPABILITIES = "capability:sys_ptrace,dac_read_search"
DIAG = {"source tcp", "source udp"}


class Lessened:
    """A host with three listeners of root's, and the agent on it from which things are taken away."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        self.host: Host = lab.fabric.add_host("web1")
        many = lab.start(self.host, "many", "3")
        many.wait_for("^ledger ")
        self.entries: list[Entry] = read(many.says())

    def run(self, *words: str, takes: tuple[str, ...]) -> "subprocess.CompletedProcess[str]":
        command = self.host.command(sys.executable, "-m", "system.without", *takes, "--", *words)
        path = f"{ROOT}:{ROOT / 'tests'}"
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}, timeout=60
        )
        assert done.stderr == ""
        return done

    def rows(self, *takes: str, helper: str = "/nonexistent") -> list[dict[str, Any]]:
        """The rows of the three listeners, which are all there is."""
        done = self.run("once", "-o", "json", "--helper-socket", helper, takes=takes)
        assert done.returncode == 0
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        listeners = [item for item in items if item["state"] == "LISTEN" and item["protocol"] == "tcp"]
        assert [item["local_port"] for item in listeners] == sorted(entry.local_port for entry in self.entries)
        return listeners

    def findings(self, *takes: str, helper: str = "") -> dict[str, tuple[str, str]]:
        """What the doctor says, by topic: verdict and words."""
        words = ["--helper-socket", helper] if helper else []
        done = self.run("doctor", "-o", "json", *words, takes=takes)
        found = {item["topic"]: (item["verdict"], item["words"]) for item in json.loads(done.stdout)["items"]}
        assert done.returncode == any(verdict != "ok" for verdict, _ in found.values())
        plain = self.run("doctor", *words, takes=takes)
        assert plain.returncode == done.returncode
        assert re.findall(r"^(?:ok|reduced|missing|problem) +([^:]+): ", plain.stdout, re.MULTILINE) == list(found)
        return found

    def not_ok(self, *takes: str, helper: str = "") -> set[str]:
        """Topics about which not all is well, but for those that may have nothing to do with what was taken."""
        # The host is not enrolled, a machine's security may keep processes from root, and what a look costs varies.
        always = {"state", "source owners", "helper", "budget"}
        found = self.findings(*takes, helper=helper)
        return {topic for topic, (verdict, _) in found.items() if verdict != "ok"} - always


@pytest.fixture
def lessened(lab: Laboratory) -> Lessened:
    return Lessened(lab)


def test_with_nothing_taken_away_all_is_seen(lessened: Lessened) -> None:
    rows = lessened.rows()
    assert {row["source"] for row in rows} == {"diag"}
    assert {row["owner_status"] for row in rows} == {"known"}
    assert {row["owners"][0]["pid"] for row in rows} == {lessened.entries[0].pids[0]}
    assert lessened.not_ok() == set()


@pytest.mark.parametrize(
    "taken", ["diag:EPERM", "diag:EPROTONOSUPPORT", "diag:EACCES", "netlink:EAFNOSUPPORT", "netlink:EPERM"]
)
def test_without_socket_diagnostics_sockets_are_read_from_proc_and_say_so(lessened: Lessened, taken: str) -> None:
    rows = lessened.rows(taken)
    assert {row["source"] for row in rows} == {"psutil"}
    assert {row["uid"] for row in rows} == {None}, "not known, and not said to be root's"
    assert {row["owner_status"] for row in rows} <= {"known", "permission"}
    found = lessened.findings(taken)
    # Neither is the network read without netlink; and /proc shows UNIX sockets without what belongs to them.
    network = {"source interfaces", "source routes"} if taken.startswith("netlink") else set()
    assert lessened.not_ok(taken) == {*DIAG, "source unix", "source events", "events buffer", *network}
    for topic in DIAG:
        verdict, words = found[topic]
        assert verdict == "reduced"
        assert "read through /proc by psutil" in words
        assert "AF_NETLINK" in words
        assert "inet_diag" in words
    assert "connections between two looks" in found["source events"][1]


@pytest.mark.parametrize("taken", ["unmounted:/sys/fs/cgroup", "unmounted:/sys"])
def test_without_cgroup2_units_are_unknown_and_the_rest_is_not(lessened: Lessened, taken: str) -> None:
    rows = lessened.rows(taken)
    assert {(row["unit"], row["container"]) for row in rows} == {(None, None)}
    assert {(row["owner_status"], row["uid"], row["source"]) for row in rows} == {("known", 0, "diag")}
    verdict, words = lessened.findings(taken)["cgroup2"]
    assert verdict == "missing"
    assert "let the agent see the host's /sys/fs/cgroup" in words
    assert lessened.not_ok(taken) == {"cgroup2"}


def test_without_ptrace_rows_say_that_it_is_a_matter_of_permission(lessened: Lessened) -> None:
    rows = lessened.rows(BLIND_CAPABILITIES)
    assert {row["owner_status"] for row in rows} == {"permission"}
    assert {(row["uid"], row["user"]) for row in rows} == {(0, "root")}
    verdict, words = lessened.findings(BLIND_CAPABILITIES)["source owners"]
    assert verdict == "reduced"
    assert "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH" in words


def test_a_plain_user_without_a_helper_sees_all_but_owners(lessened: Lessened) -> None:
    rows = lessened.rows("user:65534", helper="")
    assert {(row["owner_status"], row["uid"], row["user"]) for row in rows} == {("no-helper", 0, "root")}
    found = lessened.findings("user:65534")
    assert "start the agent with --with-helper" in found["source owners"][1]
    assert found["helper"][0] == "ok"
    assert "run --with-helper" in found["helper"][1]
    assert found["events buffer"][0] == "reduced"


@pytest.fixture
def helper(lessened: Lessened, request: pytest.FixtureRequest) -> str:
    """The socket of a helper from which the test's parameter is taken away."""
    path = lessened.lab.directory / "helper.sock"
    started = lessened.lab.start(lessened.host, "without", *request.param, "--", "helper", "--socket", str(path))
    started.wait_for("ready")
    return str(path)


@pytest.mark.parametrize("helper", [[]], indirect=True)
def test_with_a_helper_an_agent_without_any_capability_sees_the_owners(lessened: Lessened, helper: str) -> None:
    rows = lessened.rows(BLIND_CAPABILITIES, helper=helper)
    assert {row["owner_status"] for row in rows} == {"known"}
    verdict, words = lessened.findings(BLIND_CAPABILITIES, helper=helper)["helper"]
    assert (verdict, "has CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE" in words) == ("ok", True)


@pytest.mark.parametrize("helper", [[BLIND_CAPABILITIES]], indirect=True)
def test_of_a_helper_without_its_capabilities_the_doctor_says_which(lessened: Lessened, helper: str) -> None:
    rows = lessened.rows(BLIND_CAPABILITIES, helper=helper)
    assert {row["owner_status"] for row in rows} == {"permission"}
    verdict, words = lessened.findings(BLIND_CAPABILITIES, helper=helper)["helper"]
    assert verdict == "reduced"
    assert "lacks CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE" in words


def test_where_a_helper_should_be_and_is_not_the_doctor_says_how_to_start_it(lessened: Lessened) -> None:
    verdict, words = lessened.findings(helper="/nonexistent")["helper"]
    assert (verdict, "start fleetnet-helper --socket /nonexistent" in words) == ("missing", True)


def test_where_proc_hides_processes_owners_are_not_taken_for_none(lessened: Lessened) -> None:
    takes = ("proc:hidepid=2", "user:65534")
    rows = lessened.rows(*takes, helper="")
    assert {(row["owner_status"], tuple(row["owners"])) for row in rows} == {("no-helper", ())}
    assert lessened.findings(*takes)["source owners"][0] == "reduced"


def test_nothing_depends_on_btf(lessened: Lessened) -> None:
    assert lessened.rows("hidden:/sys/kernel/btf")[0]["owner_status"] == "known"
    assert lessened.not_ok("hidden:/sys/kernel/btf") == set()


def test_without_net_admin_the_buffer_of_events_is_small_and_says_how_small(lessened: Lessened) -> None:
    assert {row["owner_status"] for row in lessened.rows("capability:net_admin")} == {"known"}
    allowed = int(Path("/proc/sys/net/core/rmem_max").read_text())
    verdict, words = lessened.findings("capability:net_admin")["events buffer"]
    assert verdict == "reduced"
    assert f"{allowed:,} of 33,554,432 bytes" in words
    assert "CAP_NET_ADMIN" in words
    assert "net.core.rmem_max" in words


def test_without_the_kernels_list_of_netlink_sockets_losses_cannot_be_counted_and_that_is_said(
    lessened: Lessened,
) -> None:
    taken = "hidden:/proc/self/net"
    assert {row["source"] for row in lessened.rows(taken)} == {"diag"}
    verdict, words = lessened.findings(taken)["events lost"]
    assert verdict == "reduced"
    assert "/proc/net/netlink cannot be read" in words


def test_with_a_proc_of_processes_alone_owners_still_began_when_they_did(lessened: Lessened) -> None:
    whole, rows = lessened.rows(), lessened.rows("proc:subset=pid")
    assert {row["source"] for row in rows} == {"diag"}
    began, as_well = ({row["inode"]: started(row) for row in some} for some in (whole, rows))
    assert began.keys() == as_well.keys()
    assert all(abs(began[inode] - as_well[inode]) < 2 for inode in began)


def started(row: dict[str, Any]) -> float:
    return datetime.fromisoformat(row["owners"][0]["started_at"]).timestamp()


NAMELESS = """
import encodings.idna, os, socket, sys
os.setresuid(54321, 54321, 54321)
with socket.create_server(("127.0.0.1", 0)):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_user_without_a_name_is_a_number(lab: Laboratory) -> None:
    lessened = Lessened(lab)
    lab.programs.start("nameless", lessened.host.command(sys.executable, "-c", NAMELESS)).wait_for("ready")
    done = lessened.run("once", takes=("hidden:/etc/passwd",))
    rows = [item for item in json.loads(done.stdout)["items"] if item["uid"] == 54321]
    assert [(row["state"], row["user"], row["owner_status"]) for row in rows] == [("LISTEN", None, "known")]


def test_with_everything_taken_away_at_once_what_is_left_is_seen(lessened: Lessened) -> None:
    takes = ("unmounted:/sys", "hidden:/etc/passwd", "proc:hidepid=2", "user:65534", "netlink:EPERM")
    rows = lessened.rows(*takes, helper="")
    assert {(row["source"], row["owner_status"], row["uid"]) for row in rows} == {("psutil", "no-helper", None)}
    assert lessened.not_ok(*takes) >= {*DIAG, "source events", "cgroup2"}
