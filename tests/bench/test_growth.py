"""Slopes of what grows, of what does not, and of what has peaks; and what counts as taken."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.growth import HOUR_S, MB, Sample, Series, descriptors, floor, slope_per_hour, taken_bytes


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
    samples = [(float(at_s), 0.0 if at_s < 60 else 9 * MB) for at_s in range(0, 300, 4)]
    series = Series(os.getpid(), bytes=samples, files=[(0, 9), (200, 7), (300, 8)])
    assert series.mb_per_hour(from_s=60) == series.mb_per_hour_with_peaks(from_s=60) == 0
    assert series.files_differ(from_s=60) == 1


def test_what_is_given_up_within_a_minute_is_no_growth_and_what_stays_below_it_is() -> None:
    def taken(at_s: int, kept_per_s: float) -> float:
        return 100 * MB + kept_per_s * at_s + 50_000.0 * at_s * (at_s % 60)  # the peaks become larger and larger

    for kept_per_s in (0.0, 1_000.0):
        series = Series(os.getpid(), bytes=[(at_s, taken(at_s, kept_per_s)) for at_s in range(0, 1_200, 4)])
        assert series.mb_per_hour(0) == pytest.approx(kept_per_s * HOUR_S / MB)
        assert series.mb_per_hour_with_peaks(0) > 10


def test_the_floor_is_that_of_whole_minutes_alone() -> None:
    assert floor([]) == floor([(0, 5)]) == []
    assert floor([(0, 5), (30, 3), (60, 7), (90, 9), (110, 1)]) == [(30, 3)]


def test_of_less_than_three_minutes_growth_is_not_known() -> None:
    series = Series(os.getpid(), bytes=[(at_s, 1) for at_s in range(170)])
    assert math.isnan(series.mb_per_hour(0))


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
