"""Slopes of what grows, of what does not, and of what has peaks; and what counts as taken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.growth import HOUR_S, MB, Sample, Series, descriptors, slope_per_hour, taken_bytes


def every_second(*values: float) -> list[Sample]:
    return list(enumerate(values))


def test_what_grows_evenly_has_its_slope() -> None:
    assert slope_per_hour(every_second(*range(100))) == pytest.approx(HOUR_S)


def test_what_is_flat_has_none_whatever_its_peaks() -> None:
    peaks = [50.0 if number % 4 == 0 else 7.0 for number in range(100)]
    assert slope_per_hour(every_second(*peaks)) == 0


def test_peaks_do_not_hide_what_grows_below_them() -> None:
    grown = [number + (1_000 if number % 10 == 0 else 0) for number in range(100)]
    assert slope_per_hour(every_second(*grown)) == pytest.approx(HOUR_S, rel=0.05)


def test_of_one_moment_there_is_no_slope() -> None:
    assert slope_per_hour([]) == slope_per_hour([(1, 5)]) == slope_per_hour([(1, 5), (1, 9)]) == 0


def test_only_what_comes_after_the_warm_up_counts() -> None:
    series = Series(os.getpid(), bytes=[(0, 0), (1, 9 * MB), (2, 9 * MB), (3, 9 * MB)], files=[(0, 9), (2, 7), (3, 8)])
    assert series.mb_per_hour(from_s=1) == 0
    assert series.files_differ(from_s=1) == 1


def test_what_a_process_takes_is_its_own_memory_and_not_what_it_reads_of_files(tmp_path: Path) -> None:
    code = (
        "import mmap, sys\n"
        "print(flush=True); sys.stdin.readline()\n"
        "kept = bytearray(b'x' * 30_000_000)\n"
        "opened = open(sys.argv[1], 'rb')\n"
        "file = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)\n"
        "sum(file[at] for at in range(0, len(file), 4096))\n"
        "print(flush=True); sys.stdin.readline()\n"
    )
    large = tmp_path / "large"
    large.write_bytes(bytes(40_000_000))
    with subprocess.Popen(
        [sys.executable, "-c", code, str(large)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        before, open_before = taken_bytes(process.pid), descriptors(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert 29_000_000 < taken_bytes(process.pid) - before < 34_000_000
        assert descriptors(process.pid) == open_before + 2  # the file, and mmap's own of it
        process.communicate(b"\n")
