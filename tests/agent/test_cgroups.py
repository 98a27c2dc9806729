"""From a control group to its unit and container."""

import os
import socket
from functools import partial
from pathlib import Path

import pytest
from agent.proc_tree import Clock
from fleetnet_agent.cgroups import NOWHERE, CGroups, Place, place_of
from fleetnet_agent.changes import DiagTable
from fleetnet_agent.host import this_host
from fleetnet_agent.records import Protocol
from fleetnet_agent.sources.diag import DiagSocket
from fleetnet_agent.sources.tcp import Tcp

ID = "4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339c4c01db0b339cabcd"


@pytest.mark.parametrize(
    ("path", "unit", "container", "runtime"),
    [
        ("/", "", "", ""),
        ("/init.scope", "init.scope", "", ""),
        ("/system.slice/ssh.service", "ssh.service", "", ""),
        ("/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service", "", ""),
        ("/system.slice/nginx.service/workers/1", "nginx.service", "", ""),
        ("/system.slice/cups.socket", "cups.socket", "", ""),
        ("/user.slice/user-1000.slice/session-2.scope", "session-2.scope", "", ""),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/syncthing.service",
            "syncthing.service",
            "",
            "",
        ),
        ("/system.slice/_odd.service", "odd.service", "", ""),
        (f"/system.slice/docker-{ID}.scope", f"docker-{ID}.scope", ID, "docker"),
        (f"/docker/{ID}", "", ID, "docker"),
        (f"/docker/{ID}/system.slice/nginx.service", "nginx.service", ID, "docker"),
        (f"/machine.slice/libpod-{ID}.scope/container", f"libpod-{ID}.scope", ID, "podman"),
        (f"/machine.slice/libpod-conmon-{ID}.scope", f"libpod-conmon-{ID}.scope", "", ""),
        (f"/libpod_parent/libpod-{ID}", "", ID, "podman"),
        (
            f"/kubepods.slice/kubepods-podab_cd.slice/cri-containerd-{ID}.scope",
            f"cri-containerd-{ID}.scope",
            ID,
            "containerd",
        ),
        (f"/kubepods.slice/kubepods-podab_cd.slice/crio-{ID}.scope", f"crio-{ID}.scope", ID, "cri-o"),
        (f"/kubepods.slice/kubepods-podab_cd.slice/crio-conmon-{ID}.scope", f"crio-conmon-{ID}.scope", "", ""),
        (f"/kubepods/burstable/pod7f3a-11/{ID}", "", ID, ""),
        (
            f"/system.slice/containerd.service/kubepods-burstable-pod7f3a.slice:cri-containerd:{ID}",
            "containerd.service",
            ID,
            "containerd",
        ),
        (f"/user.slice/user-1000.slice/user@1000.service/nerdctl-{ID}.scope", f"nerdctl-{ID}.scope", ID, "containerd"),
        ("/lxc/web1", "", "web1", "lxc"),
        ("/lxc/web1/system.slice/nginx.service", "nginx.service", "web1", "lxc"),
        ("/lxc.payload.web1/system.slice/nginx.service", "nginx.service", "web1", "lxc"),
        ("/lxc.payload/web1", "", "web1", "lxc"),
        ("/lxc.monitor.web1", "", "", ""),
        (r"/machine.slice/machine-web\x2d1.scope", r"machine-web\x2d1.scope", "web-1", "nspawn"),
        (r"/machine.slice/machine-web\x2d1.scope/payload/system.slice/a.service", "a.service", "web-1", "nspawn"),
        ("/machine.slice/systemd-nspawn@web1.service/payload/system.slice/a.service", "a.service", "web1", "nspawn"),
        ("/machine.slice/systemd-nspawn@web1.service/supervisor", "systemd-nspawn@web1.service", "", ""),
        (f"/lxc.payload.node1/docker/{ID}", "", ID, "docker"),
        (f"/default/{ID}", "", ID, "containerd"),
        (r"/machine.slice/machine-qemu\x2d1\x2dvm.scope", r"machine-qemu\x2d1\x2dvm.scope", "qemu-1-vm", ""),
    ],
)
def test_a_path_names_the_innermost_unit_and_container_and_what_runs_it(
    path: str, unit: str, container: str, runtime: str
) -> None:
    assert place_of(path) == Place(unit, container, runtime)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "system.slice/ssh.service").mkdir(parents=True)
    return tmp_path


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_the_id_of_a_control_group_is_the_inode_of_its_directory(root: Path) -> None:
    cgroups = CGroups(root, Clock())
    assert cgroups.place(inode(root / "system.slice/ssh.service")) == Place("ssh.service", "")
    assert cgroups.place(inode(root)) == NOWHERE


def test_what_is_younger_than_the_last_walk_is_found_by_the_next(root: Path) -> None:
    clock = Clock()
    cgroups = CGroups(root, clock)
    cgroups.place(1)
    (root / "system.slice/new.service").mkdir()
    new = inode(root / "system.slice/new.service")
    assert cgroups.place(new) is None  # walks are spaced
    clock.go(1)
    assert cgroups.place(new) == Place("new.service", "")


def test_without_a_unified_hierarchy_there_are_no_places() -> None:
    assert CGroups(None, Clock()).place(77) == NOWHERE
    assert CGroups(Path("/nothing/here"), Clock()).place(77) is None


def test_a_socket_without_a_control_group_has_no_place(root: Path) -> None:
    assert CGroups(root, Clock()).place(0) == NOWHERE


def test_the_kernels_id_of_this_process_leads_to_its_own_control_group() -> None:
    host = this_host()
    own = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"), None)
    if host.cgroup_root is None or own is None:
        pytest.skip("no unified hierarchy is mounted here")
    diag = DiagSocket()
    table = DiagTable(Tcp(diag), partial(diag.find, protocol=Protocol.TCP))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        table.look()
        (one,) = table.holding({os.fstat(listener.fileno()).st_ino})
    diag.close()
    assert one.cgroup_id == inode(Path(f"{host.cgroup_root}{own}"))
    assert CGroups(host.cgroup_root, host.boottime_us).place(one.cgroup_id) == place_of(own)
