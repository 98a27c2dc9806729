"""The host as a value."""

import os
import pwd
import socket
from pathlib import Path

from fleetnet_agent.host import Remembered, cgroup2_mount, this_host

MOUNTINFO = r"""22 27 0:21 / /proc rw,nosuid - proc proc rw
30 27 0:25 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:26 /docker/abc /sys/fs/cgroup/part rw - cgroup2 cgroup2 rw
32 30 0:26 / /sys/fs/cgroup/uni\040fied rw,nosuid shared:4 - cgroup2 cgroup2 rw
33 30 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
"""


def test_the_unified_hierarchy_is_found_where_its_root_is_mounted() -> None:
    assert cgroup2_mount(MOUNTINFO) == Path("/sys/fs/cgroup/uni fied")


def test_without_one_there_is_none() -> None:
    assert cgroup2_mount(MOUNTINFO.replace("cgroup2", "cgroup")) is None
    assert cgroup2_mount("nonsense\n\n - \n") is None


def test_this_host_knows_its_users_interfaces_and_clocks() -> None:
    host = this_host()
    assert host.user_name(os.getuid()) == pwd.getpwuid(os.getuid()).pw_name
    assert host.user_name(3_999_999_999) == ""
    assert host.interface_name(socket.if_nametoindex("lo")) == "lo"
    assert host.interface_name(0) == ""
    assert host.interface_name(999_999) == ""
    assert host.boottime_us() <= host.boottime_us()
    assert host.wall_clock_us() > 1_600_000_000_000_000


def test_a_name_is_asked_once_and_again_when_it_is_old() -> None:
    asked: list[int] = []
    now_s = [0.0]

    def find(number: int) -> str:
        asked.append(number)
        return f"name {number}"

    names = Remembered(find, lambda: now_s[0])
    assert [names(1), names(1), names(2)] == ["name 1", "name 1", "name 2"]
    assert asked == [1, 2]
    now_s[0] = Remembered.FOR_S
    names(1)
    assert asked == [1, 2, 1]


def test_it_does_not_remember_without_bound() -> None:
    names = Remembered(str, lambda: 0.0)
    for number in range(Remembered.AT_MOST * 2 + 5):
        names(number)
    assert len(names._names) <= Remembered.AT_MOST
