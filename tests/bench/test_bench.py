"""The bench runs, measures everything on the same sockets, and leaves nothing behind."""

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from bench.__main__ import EXPECTED
from bench.measures import Bar, cpu_s, resident_mib
from bench.population import population

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.root
def test_it_prints_every_contender_as_a_ratio() -> None:
    mark = f"FLEETNET_BENCH_TEST={uuid.uuid4()}"  # in all that it starts, and in nothing else
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--sizes", "300", "10000", "--rounds", "1"],
        cwd=ROOT,
        env=os.environ | dict([mark.split("=")]),
        capture_output=True,
        text=True,
        check=True,
    )
    for name in ("fleetnet", "ss -tan ", "ss -tanp", "netstat -tanp", "psutil", "/proc/net/tcp"):
        assert len(re.findall(rf"^  {re.escape(name)}.* ms +[\d.]+ x ss -tan", done.stdout, re.MULTILINE)) == 2
    assert "300 sockets asked for, 300 there" in done.stdout
    assert re.search(r"expected: at most 0\.60 x ss -tan; (NOT )?met", done.stdout)
    assert done.stderr == ""
    assert [pid for pid in os.listdir("/proc") if pid.isdecimal() and mark.encode() in _environment(pid)] == []


def _environment(pid: str) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended
        return []


def test_what_is_expected_is_written_down() -> None:
    assert EXPECTED == {10_000: 0.60, 50_000: 0.75}


def test_the_processes_that_hold_the_sockets_end_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with population(40) as made:
        pids = [holder.process.pid for holder in made._holders]
        made.renew_time_wait()
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_bar_says_plainly_whether_it_is_met() -> None:
    assert Bar("memory", 45, 44.9, "MiB").line().split() == ["memory", "≤", "45", "MiB", "44.9", "met"]
    assert Bar("memory", 45, 45.1, "MiB").line().endswith("NOT met")
    assert Bar("recorded", 0.9999, 1.0, at_least=True).line().endswith("  met")
    assert Bar("recorded", 0.9999, 0.999, at_least=True).line().endswith("NOT met")


def test_the_time_of_another_process_counts_its_threads_those_that_ended_too() -> None:
    burn = (
        "import threading, time, sys\n"
        "def work():\n"
        "    while time.thread_time() < 0.1: pass\n"
        "threads = [threading.Thread(target=work) for _ in range(2)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "print('done', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "done\n"
        assert cpu_s(process.pid) >= 0.2
        rss, pss = resident_mib(process.pid)
        assert rss >= pss > 0
        process.communicate()


@pytest.mark.root
def test_the_agents_bench_prints_each_bar_with_what_was_measured(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.agent", "--quick", "--only", "namespaces"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = re.findall(r"^  .* ≤ +[\d.]+ \S+ +[\d.]+  (?:NOT )?met$", done.stdout, re.MULTILINE)
    assert len(lines) == 12
    assert re.search(r"^  \d+ of 12 met$", done.stdout, re.MULTILINE)
    assert re.fullmatch(r"fleetnet-helper: ready on \S+\n", done.stderr)
