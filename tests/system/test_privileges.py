"""Started as root with its helper, the agent gives root up, and still learns who holds what root has opened."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from system.laboratory import Laboratory
from system.ledger import read

from demo.fabric import Host
from demo.programs import Program, until

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
# Where the agent of this test sees things: another user can walk neither to pytest's folders nor, often, to a clone.
_SEEN = Path("/mnt")
_MOUNTS = (
    "mount -t tmpfs -o mode=0755 none /mnt && cd /mnt && mkdir lab agent proto site && "
    'mount --bind "$0" lab && mount --bind "$1" agent && mount --bind "$2" proto && mount --bind "$3" site && '
    'shift 3 && exec "$@"'
)


def interpreter() -> str:
    """A Python of this version that every user can run; skips where there is none."""
    name = f"python3.{sys.version_info.minor}"
    for candidate in (os.path.realpath(sys.executable), f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        try:
            subprocess.run([candidate, "-c", "import ssl"], user=NOBODY, group=NOBODY, extra_groups=[], check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    pytest.skip(f"no {name} here that users other than root can run (Debian: apt-get install python3)")


def make_environment(directory: Path) -> str:
    """A virtual environment with what is installed for the tests, as it is seen in the end; its Python."""
    subprocess.run([interpreter(), "-m", "venv", "--without-pip", directory / "venv"], check=True)
    (packages,) = directory.glob("venv/lib/python3*/site-packages")
    (packages / "seen.pth").write_text("".join(f"{_SEEN / name}\n" for name in ("agent", "proto", "site")))
    return str(_SEEN / "lab" / "venv" / "bin" / "python")


def start_agent(lab: Laboratory, host: Host, state: Path) -> Program:
    """The agent, in mounts of its own, from an environment that every user can read."""
    python = make_environment(lab.directory)
    site = Path(pytest.__file__).parents[1]
    run = "import sys; from fleetnet_agent.main import main; sys.exit(main())"
    seen = _SEEN / "lab" / state.relative_to(lab.directory)
    command = host.command(
        *("unshare", "--mount", "sh", "-c", _MOUNTS, str(lab.directory), str(ROOT / "agent"), str(ROOT / "proto")),
        *(str(site), python, "-c", run, "run", "--state", str(seen), "--with-helper", "--namespaces", "own"),
    )
    return lab.programs.start("web1", command, {"TMPDIR": str(_SEEN / "lab"), "PYTHONPATH": ""})


def status_of(pid: int) -> dict[str, str]:
    lines = (line.split(":", 1) for line in Path("/proc", str(pid), "status").read_text().splitlines())
    return {name: value.strip() for name, value in lines}


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path("/proc", str(pid), "task", str(pid), "children").read_text().split()]


def test_the_agent_gives_root_up_and_its_helper_still_finds_the_owners(lab: Laboratory) -> None:
    host = lab.fabric.add_host("web1")
    fleet = lab.fleet()
    fleet.enroll("web1", host)
    lab.directory.chmod(0o711)
    state = fleet.state("web1")
    for path in (state, *state.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    many = lab.start(host, "many", "3")
    many.wait_for("^ledger ")
    agent = start_agent(lab, host, state)
    fleet.wait_until_fresh("web1")

    status = status_of(agent.pid)
    assert status["Uid"].split() == [str(NOBODY)] * 4
    assert status["Gid"].split() == [str(NOBODY)] * 4
    assert status["Groups"] == ""
    assert {int(status[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")} == {0}
    (helper,) = children_of(agent.pid)
    assert status_of(helper)["Uid"].split()[0] == "0"

    def owners_known() -> bool:
        items = fleet.expect(0, "who-listens", "-o", "json").items
        return [tuple(owner["pid"] for owner in item["owners"]) for item in items] == [
            entry.pids for entry in read(many.says())
        ]

    until(owners_known, within_s=10.0, what="the owners, who are root's")
    agent.kill()
    until(
        lambda: not Path("/proc", str(helper)).exists(),
        within_s=5.0,
        what="the end of the helper, whose agent was killed",
    )
