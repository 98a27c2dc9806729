"""What the host is."""

import hashlib
import platform
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from agent.proc_tree import BOOTED_AT_S, Clock, ProcTree, fixture_host
from fleetnet_agent import facts
from fleetnet_agent.host import Host, this_host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return replace(fixture_host(ProcTree(tmp_path / "proc").root, Clock()), root=tmp_path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "Debian GNU/Linux 12 (bookworm)"),
        ("PRETTY_NAME=Alpine\n", "Alpine"),
        (r'PRETTY_NAME="Say \"hi\""', 'Say "hi"'),
        ('PRETTY_NAME="cut', '"cut'),
        ("NAME=x\n# PRETTY_NAME=no\n", ""),
        ("", ""),
    ],
)
def test_the_system_is_called_what_os_release_calls_it(text: str, name: str) -> None:
    assert facts.os_name(text) == name


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("MemTotal:        8063968 kB\nMemFree: 1 kB\n", 8063968 * 1024), ("MemFree: 1 kB\n", 0), ("MemTotal: x kB", 0)],
)
def test_memory_is_what_meminfo_says(text: str, size_bytes: int) -> None:
    assert facts.memory_bytes(text) == size_bytes


def test_os_release_is_found_in_both_its_places(host: Host) -> None:
    write(host.root / "usr/lib/os-release", "PRETTY_NAME=Vendor\n")
    assert facts.host_facts(host).os == "Vendor"
    write(host.root / "etc/os-release", "PRETTY_NAME=Local\n")
    assert facts.host_facts(host).os == "Local"


def test_a_host_that_tells_nothing_has_empty_facts_but_for_its_clocks_and_no_crash(host: Host) -> None:
    (host.proc / "stat").unlink()
    told = facts.host_facts(host)
    assert (told.os, told.booted_at_us) == ("", BOOTED_AT_S * 1_000_000)
    assert facts.machine_id_hash(host) == b""
    assert facts.netns_inode(host) == 0


def test_the_boot_is_named_by_sixteen_bytes(host: Host) -> None:
    boot = uuid.uuid4()
    write(host.proc / "sys/kernel/random/boot_id", f"{boot}\n")
    assert facts.boot_id(host) == boot.bytes
    assert facts.booted_at_us(host) == BOOTED_AT_S * 1_000_000


def test_the_machine_id_itself_is_not_told(host: Host) -> None:
    write(host.root / "etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    hashed = facts.machine_id_hash(host)
    assert len(hashed) == 32
    assert hashed != hashlib.sha256(b"0123456789abcdef0123456789abcdef").digest()
    assert hashed == facts.machine_id_hash(host)


def test_this_machine_has_facts() -> None:
    host = this_host()
    told = facts.host_facts(host)
    assert told.kernel == platform.release()
    assert told.cpu_count > 0
    assert told.memory_bytes > 1 << 20
    assert 0 < told.booted_at_us < host.wall_clock_us()
    assert len(facts.boot_id(host)) == 16
    assert facts.netns_inode(host) > 0
