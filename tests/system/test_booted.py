"""Hosts that boot: they are there, reach one another, keep what is theirs, and leave nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from system.booted import booted
from system.laboratory import Laboratory

from demo import fabric
from demo.programs import until

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("bootable"), pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
BOOT_AND_STAY = """
import sys
from pathlib import Path
from demo.fabric import Fabric
from demo.fleet import environment
from demo.programs import Programs
from system.booted import booted
directory = Path(sys.argv[1])
with Fabric() as fabric, Programs(directory, environment(directory)) as programs:
    with booted(fabric.add_host("killed"), directory / "killed", programs) as host:
        host.start()
        print("up", host.init, flush=True)
        sys.stdin.read()
"""


def left_of(maker: int, directory: Path) -> list[str]:
    """Control groups that bear the number of a maker, and mounts in its folder."""
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/fleetnet-booted-{maker}-*")]
    return groups + [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]


def test_two_hosts_on_a_switch_reach_each_others_sshd(lab: Laboratory) -> None:
    places = [lab.fabric.add_host(name) for name in ("one", "two")]
    with (
        booted(places[0], lab.directory / "one", lab.programs) as one,
        booted(places[1], lab.directory / "two", lab.programs) as two,
    ):
        one.start()
        two.start()
        assert [host.run("hostname").strip() for host in (one, two)] == ["one", "two"]
        assert one.run("cat", "/etc/machine-id") != two.run("cat", "/etc/machine-id")
        banner = f"import socket; print(socket.create_connection(('{places[1].address}', 22), 30).recv(8))"
        assert "SSH-2.0" in one.run("python3", "-c", banner)
        inits = [one.init, two.init]
    assert not any(Path("/proc", str(pid)).exists() for pid in inits)
    assert left_of(os.getpid(), lab.directory) == []
    assert sorted(lab.directory.iterdir()) == [lab.directory / "one.boot.log", lab.directory / "two.boot.log"]


def test_a_reboot_keeps_files_and_machine_id_and_nothing_else(lab: Laboratory) -> None:
    with booted(lab.fabric.add_host("again"), lab.directory / "again", lab.programs) as host:
        host.start()
        host.run("sh", "-c", "touch /etc/kept /run/gone")
        before = host.run("cat", "/etc/machine-id"), host.run("cat", "/proc/sys/kernel/random/boot_id")
        host.reboot()
        after = host.run("cat", "/etc/machine-id"), host.run("cat", "/proc/sys/kernel/random/boot_id")
        assert (after[0] == before[0], after[1] == before[1]) == (True, False)
        assert host.run("sh", "-c", "ls -d /etc/kept /run/gone 2>/dev/null || true") == "/etc/kept\n"


def test_a_host_does_not_outlive_a_maker_that_was_killed(lab: Laboratory) -> None:
    told = {**lab.programs.environment, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", BOOT_AND_STAY, str(lab.directory)]
    with subprocess.Popen(command, env=told, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as maker:
        assert maker.stdout
        try:
            word, init = maker.stdout.readline().split()
        finally:
            maker.send_signal(signal.SIGKILL)
    assert word == "up"
    until(lambda: not Path("/proc", init).exists(), within_s=60, what="the end of its host")
    with booted(lab.fabric.add_host("next"), lab.directory / "next", lab.programs):
        assert left_of(maker.pid, lab.directory) == [], "whoever boots a host next removes what it left"
    fabric.sweep()
