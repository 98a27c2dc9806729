"""What the documents show is what works: each of their commands is typed into a shell as it stands there, in the order
in which they are read, before a real collector and three real hosts, and is answered.

Only names that are somebody's own are put in place of others: where the collector is, and where it keeps what it has.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from examples import shown
from system.laboratory import Laboratory, laboratory

from demo.fabric import Host
from demo.fleet import Fleet

pytestmark = [pytest.mark.root, pytest.mark.slow]

# An answer, that there is none, or that not all could be judged: see `fleetnet help exit-codes`.
ANSWERED = (0, 1, 3)
_ENDS_WITHIN_S = 60.0

# The way of the README from nothing to a host that reports.
COLLECTOR = "fleetnet-server run --data /var/lib/fleetnet --advertise collector.example.com:7443"
TOKEN = "(umask 077; fleetnet token create --host web1 > web1.token)"
ENROLL = "fleetnet-agent enroll --server collector.example.com:7444 --token-file web1.token"
AGENT = "fleetnet-agent run --with-helper"
INSTALLS = (COLLECTOR, TOKEN, ENROLL, AGENT)
# What needs more than these hosts, and which test runs it.
ELSEWHERE = {
    "fleetnet-server run --data /var/lib/fleetnet --database postgresql+psycopg://fleetnet@db.example.com/fleetnet "
    "--advertise c1.example.com:7443 --advertise c2.example.com:7443": "system/test_on_postgresql.py",
    "fleetnet-server ca issue-server --name c2.example.com --out c2 --database postgresql+psycopg://…": (
        "server/test_authority.py"
    ),
}
# These do nothing yet, and say why: somebody's token knows the former CA alone.
NOT_YET = {
    "fleetnet-server ca rotate --finish": "token web9",
    "fleetnet-server ca rotate --retire": "is to issue next",
}
# Commands of other programs, which are not here: each holds what it is given to what it would need.
OTHERS = {
    "jq": f"""exec {sys.executable} -c 'import json, sys; [json.loads(line) for line in sys.stdin]'""",
    "dot": "grep -q '^digraph'",
    "ssh": """[ "$*" = "$1 systemctl reload nginx" ]""",
    "ansible": """[ "$#" = 5 ] && [ "$1 $3 $4 $5" = "-i all -m ping" ]""",
}


@dataclass(frozen=True, slots=True)
class Typed:
    """How a line ended, and what it said."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Desk:
    """Where somebody sits who tries what is shown."""

    lab: Laboratory
    fleet: Fleet
    collector: Host
    folder: Path

    def command(self, line: str, place: Host) -> list[str]:
        """A line, for a shell on a host."""
        line = line.replace("collector.example.com", self.collector.address)
        line = line.replace("/var/lib/fleetnet", str(self.fleet.data)).replace("/safe/", "")
        path = f"PATH={self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = [
            f"HOME={self.folder}",
            f"FLEETNET_SERVER=unix://{self.fleet.admin_socket}",
            f"FLEETNET_SERVER_DATA={self.fleet.data}",
            f"FLEETNET_SERVER_ADMIN_SOCKET={self.fleet.admin_socket}",
        ]
        return place.command("env", f"--chdir={self.folder}", path, *own, "bash", "-o", "pipefail", "-c", line)

    def type(self, line: str, place: Host | None = None) -> Typed:
        """Type it and wait for its end, or where it has none for what it says first."""
        command = self.command(line, place or self.collector)
        if line.startswith("fleetnet watch"):
            watching = self.lab.programs.start("watch", command)
            said = watching.wait_for(r"(?m)^.*\S.*$", within_s=_ENDS_WITHIN_S)[0]
            watching.stop()
            return Typed(0, said, "")
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.lab.programs.environment,
            timeout=_ENDS_WITHIN_S,
            check=False,
        )
        return Typed(done.returncode, done.stdout, done.stderr)

    def join(self, name: str, *sockets: str) -> None:
        """What the README has web1 do; these sockets are there."""
        place = self.lab.fabric.add_host(name)
        self.lab.start(place, "listening", name, *sockets, name=f"{name}.listening").wait_for("ready", within_s=60.0)
        state = f"FLEETNET_AGENT_STATE={self.fleet.state(name)}"
        for line in (TOKEN, ENROLL):
            done = self.type(line.replace("web1", name).replace("fleetnet-agent", f"{state} fleetnet-agent"), place)
            assert done.status == 0, done.err
        self.lab.programs.start(name, ["env", state, *self.command(AGENT, place)])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """By the README's own lines a collector, and hosts that report to it."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "bin").mkdir()
    for name, does in OTHERS.items():
        (folder / "bin" / name).write_text(f"#!/bin/bash\n{does}\n")
        (folder / "bin" / name).chmod(0o755)
    with laboratory(tmp_path_factory.mktemp("documents")) as lab:
        collector = lab.fabric.add_host("collector")
        desk = Desk(lab, Fleet(lab.directory, lab.programs, collector), collector, folder)
        desk.fleet.start_collector(wrap=lambda _: desk.command(COLLECTOR, collector))
        desk.join("web1", "tcp:0.0.0.0:443", "tcp:0.0.0.0:22", "close-wait:3")
        desk.join("web2", "tcp:0.0.0.0:443")
        desk.join("db1", "tcp:0.0.0.0:5432")
        desk.fleet.wait_until_fresh("web1", "web2", "db1")
        yield desk


LINES = [line for line in dict.fromkeys(example.line for example in shown()) if line not in {*INSTALLS, *ELSEWHERE}]


@pytest.fixture(scope="module")
def typed(desk: Desk) -> dict[str, Typed]:
    """All of them, in their order: some need what one before has made."""
    return {line: desk.type(line) for line in LINES}


@pytest.mark.parametrize("line", LINES)
def test_a_line_that_is_shown_is_answered(line: str, typed: dict[str, Typed]) -> None:
    done = typed[line]
    if line in NOT_YET:
        assert (done.status, NOT_YET[line] in done.out + done.err) == (2, True), done
    else:
        assert done.status in ANSWERED, done.err
    assert "Traceback" not in done.err


def test_what_is_there_is_found(typed: dict[str, Typed]) -> None:
    assert typed["fleetnet who-listens 443"].out.count("0.0.0.0:443") == 2
    assert typed['fleetnet who-listens 5432 --exposed --host "db*"'].out.count("0.0.0.0:5432") == 1
    assert typed["fleetnet netstat web1 -tulpn"].out.count("LISTEN") == 2
    assert typed["fleetnet who-listens 5432 -o name | xargs -r fleetnet host label role=db"].out == "db1: role=db\n"


def test_what_is_typed_elsewhere_is_still_shown() -> None:
    assert {*INSTALLS, *ELSEWHERE} <= {example.line for example in shown()}
    assert all((Path(__file__).parents[1] / test).exists() for test in ELSEWHERE.values())
