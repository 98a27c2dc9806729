"""Network namespaces found by processes and mounts, on fixture files."""

import os
from pathlib import Path

import pytest
from fleetnet_agent.helper import census
from fleetnet_agent.helper.census import AT_LEAST_S, Census, Residents, mounted, open_namespace


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def live(proc: Path, pid: int, inode: int) -> None:
    """A process in the namespace with this inode."""
    link = proc / str(pid) / "ns" / "net"
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(f"net:[{inode}]")


def end(proc: Path, pid: int) -> None:
    (proc / str(pid) / "ns" / "net").unlink()
    (proc / str(pid) / "ns").rmdir()
    (proc / str(pid)).rmdir()


def test_processes_are_sorted_by_their_namespace(tmp_path: Path) -> None:
    for pid, inode in ((12, 7), (9, 7), (30, 8)):
        live(tmp_path, pid, inode)
    (tmp_path / "self").mkdir()
    assert dict(Residents(tmp_path, Clock()).by_inode()) == {7: [9, 12], 8: [30]}


def test_newcomers_are_read_at_once_and_once_more_and_the_rest_only_now_and_then(tmp_path: Path) -> None:
    clock = Clock()
    live(tmp_path, 1, 7)
    residents = Residents(tmp_path, clock)
    residents.by_inode()
    live(tmp_path, 2, 7)
    assert residents.by_inode() == {7: [1, 2]}
    live(tmp_path, 1, 8)  # an old one moves, and a newcomer does
    live(tmp_path, 2, 8)
    assert residents.by_inode() == {7: [1], 8: [2]}
    live(tmp_path, 2, 9)
    assert residents.by_inode() == {7: [1], 8: [2]}
    clock.now_s += AT_LEAST_S
    assert residents.by_inode() == {8: [1], 9: [2]}
    end(tmp_path, 1)
    assert residents.by_inode() == {9: [2]}


def test_a_link_that_is_none_of_a_namespace_is_counted_as_unreadable(tmp_path: Path) -> None:
    live(tmp_path, 1, 7)
    (tmp_path / "2" / "ns").mkdir(parents=True)
    (tmp_path / "2" / "ns" / "net").symlink_to("somewhere")
    residents = Residents(tmp_path, Clock())
    assert residents.by_inode() == {7: [1]}
    assert residents.unreadable == 1


MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
43 42 0:4 net:[4026532177] /run/netns/a\\040b rw shared:2 - nsfs nsfs rw
44 42 0:4 net:[4026532177] /mnt/again rw shared:2 master:1 - nsfs nsfs rw
45 42 0:4 mnt:[4026532999] /run/mnt rw - nsfs nsfs rw
46 42 0:4 net:[99999999999999999999999] /run/netns/long rw - nsfs nsfs rw
47 42 0:9 net:[5] /tmp/lie rw - tmpfs none rw
48
"""


def test_mounts_of_network_namespaces_are_found_among_all_others() -> None:
    assert mounted(MOUNTINFO) == {4026532177: ["/run/netns/a b", "/mnt/again"]}


@pytest.mark.parametrize("mark", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_a_mount_point_may_hold_what_others_take_for_the_end_of_a_line(mark: str) -> None:
    line = f"88 22 0:4 net:[4026532177] /run/netns/a{mark}b rw shared:9 - nsfs nsfs rw\n"
    assert mounted(line) == {4026532177: [f"/run/netns/a{mark}b"]}


def test_the_own_namespace_opens_by_the_first_path_that_leads_to_it(tmp_path: Path) -> None:
    own = os.stat("/proc/self/ns/net").st_ino
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # opening it to read would block
    doors = [str(tmp_path / "missing"), str(pipe), "/proc/self/ns/mnt", "/proc/self/ns/net"]
    before = len(os.listdir("/proc/self/fd"))
    opened = open_namespace(own, doors)
    assert os.fstat(opened).st_ino == own
    os.close(opened)
    with pytest.raises(OSError, match="No such file"):
        open_namespace(own, doors[:3])
    with pytest.raises(OSError, match="No such file"):
        open_namespace(own + 1, doors)
    assert len(os.listdir("/proc/self/fd")) == before


def test_whoever_makes_many_namespaces_does_not_push_out_those_that_were_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census, "MOST_NAMESPACES", 3)
    (tmp_path / "self" / "ns").mkdir(parents=True)
    (tmp_path / "self" / "ns" / "net").touch()
    (tmp_path / "self" / "mountinfo").touch()
    own = (tmp_path / "self" / "ns" / "net").stat().st_ino
    live(tmp_path, 1, own + 1)
    live(tmp_path, 2, own + 2)
    taking = Census(tmp_path)
    assert [one.inode for one in taking.take().namespaces] == [own, own + 1, own + 2]
    for pid in range(10, 20):
        live(tmp_path, pid, pid)
    listing = taking.take()
    assert [one.inode for one in listing.namespaces] == [own, own + 1, own + 2]
    assert "10 namespaces more than one list holds are left out" in listing.trouble
    taking.close()
