"""What the doctor says of a host that lacks something which a test can take away without root."""

import os
import resource
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from agent.proc_tree import BOOTED_AT_S, Clock, ProcTree, fixture_host
from fleetnet_agent import sight
from fleetnet_agent.config import Settings
from fleetnet_agent.host import Host, this_host
from fleetnet_agent.records import SourceStatus


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return fixture_host(ProcTree(tmp_path / "proc").root, Clock())


@pytest.mark.parametrize(
    ("status", "verdict", "words"),
    [
        (SourceStatus("tcp", True, ""), "ok", "reads whole"),
        (SourceStatus("raw", True, "read from its file"), "ok", "read from its file"),
        (SourceStatus("tcp", False, "read through /proc"), "reduced", "read through /proc; let the agent open netlink"),
        (SourceStatus("tcp", False, "not read", blind=True), "missing", "not read; let the agent open netlink"),
        (SourceStatus("owners", False, "no helper: do this"), "reduced", "no helper: do this"),
    ],
)
def test_each_source_is_told_with_what_to_do(status: SourceStatus, verdict: str, words: str) -> None:
    finding = sight.source(status)
    assert (finding.topic, finding.verdict) == (f"source {status.name}", verdict)
    assert finding.words.startswith(words)


def test_a_clock_of_before_there_were_certificates_is_wrong(host: Host) -> None:
    assert sight.clock(host).ok
    finding = sight.clock(replace(host, wall_clock_us=lambda: 86_400_000_000))
    assert (finding.verdict, finding.words) == (
        "problem",
        "says 1970-01-02 00:00:00 UTC, so no certificate is valid; set it",
    )
    assert BOOTED_AT_S * 1_000_000 > sight.YEAR_2020_US


def test_few_descriptors_are_too_few() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(used + 8, 64), 255), before[1]))
    try:
        finding = sight.descriptors()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert finding.verdict == "reduced"
    assert "LimitNOFILE=" in finding.words


def test_control_groups_that_are_not_there_or_not_readable_are_missing(host: Host, tmp_path: Path) -> None:
    assert sight.control_groups(host).verdict == "missing"
    assert sight.control_groups(replace(host, cgroup_root=tmp_path)).verdict == "ok"
    finding = sight.control_groups(replace(host, cgroup_root=tmp_path / "none"))
    assert finding.verdict == "missing"
    assert "No such file" in finding.words


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    """A unix socket on which this process listens."""
    path = tmp_path / "helper.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path


@pytest.mark.parametrize(
    ("powers", "enters", "verdict", "words"),
    [
        ("000001ffffffffff", False, "ok", "has CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE"),
        ("0000000000080004", False, "ok", "has CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE"),
        ("0000000000080004", True, "reduced", "lacks CAP_NET_BROADCAST and CAP_NET_ADMIN and CAP_SYS_ADMIN;"),
        ("0000000000281804", True, "ok", "and CAP_SYS_ADMIN"),
        ("0000000000000004", False, "reduced", "lacks CAP_SYS_PTRACE;"),
        ("0000000000000000", False, "reduced", "lacks CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE;"),
        ("", True, "ok", "cannot be seen from here"),
    ],
)
def test_a_helper_is_judged_by_its_capabilities(
    host: Host, listening: Path, powers: str, enters: bool, verdict: str, words: str
) -> None:
    (host.proc / str(os.getpid())).mkdir()
    (host.proc / str(os.getpid()) / "status").write_text(f"Name:\thelper\nCapEff:\t{powers}\n" if powers else "Name:\n")
    finding = sight.helper(Settings(helper_socket=listening), host, enters=enters)
    assert finding.verdict == verdict
    assert words in finding.words


@pytest.mark.parametrize(
    ("others", "words"), [(None, "reads its own, "), (12, " and all others that are found, 12 now")]
)
def test_the_namespaces_beside_the_own_one_are_counted_where_they_are_read(others: int | None, words: str) -> None:
    finding = sight.namespaces(this_host(), others)
    assert finding.ok
    assert words in finding.words


def test_what_a_look_costs_stands_beside_what_is_allowed() -> None:
    costs = sight.Costs(cpu_us=100_000, resident_bytes=60 * 1024 * 1024, interval_s=1.0)
    assert sight.budget(Settings(cpu_ceiling_percent=11, memory_ceiling_mib=61), costs).ok
    unbounded = sight.budget(Settings(cpu_ceiling_percent=0, memory_ceiling_mib=0), costs)
    assert unbounded.ok
    assert unbounded.words.endswith("where any use of a core and any use of memory are allowed")
    finding = sight.budget(Settings(cpu_ceiling_percent=9, memory_ceiling_mib=59), costs)
    assert finding.verdict == "reduced"
    assert "100.0 ms of CPU and 60 MiB of memory" in finding.words
    assert "raise --cpu-ceiling-percent and --memory-ceiling-mib" in finding.words


def test_the_checks_leave_no_thread_and_no_descriptor_behind() -> None:
    list(sight.findings(Settings(), this_host()))
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    list(sight.findings(Settings(), this_host()))
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == (threads, files)
