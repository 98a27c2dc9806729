"""The kernel's texts, from files of a test and from this machine's."""

import os
from pathlib import Path

import pytest
from fleetnet_agent.network import texts
from fleetnet_agent.network.statistics import STATISTICS_FILES, statistics
from fleetnet_agent.network.texts import read_descriptors, read_files
from fleetnet_agent.sources.source import SourceError


def test_files_that_are_there_are_read_and_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    (tmp_path / "dev").write_bytes(b"e\xff: 1\n")
    (tmp_path / "snmp").write_bytes(b"x" * 200_000)
    read = read_files(tmp_path, ("dev", "snmp", "snmp6"))
    assert read == {"dev": "e\udcff: 1\n", "snmp": "x" * 200_000}


def test_a_descriptor_is_read_from_its_beginning_however_often(tmp_path: Path) -> None:
    (tmp_path / "dev").write_text("one\n")
    with (tmp_path / "dev").open("rb") as file:
        assert [read_descriptors({"dev": file.fileno()}) for _ in range(2)] == [{"dev": "one\n"}] * 2
        os.fstat(file.fileno())  # still open


def test_a_text_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "LONGEST_BYTES", 1_000)
    (tmp_path / "dev").write_bytes(bytes(1_001))
    with pytest.raises(SourceError, match="more than 1000 bytes"):
        read_files(tmp_path, ("dev",))


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    with pytest.raises(SourceError, match="Is a directory"):
        read_files(tmp_path, ("dev",))
    (tmp_path / "snmp").symlink_to(tmp_path / "snmp")
    with pytest.raises(SourceError, match="symbolic links"):
        read_files(tmp_path, ("snmp",))


def test_this_machines_statistics_are_the_same_by_files_and_by_descriptors() -> None:
    net = Path("/proc/self/net")
    by_files = read_files(net, STATISTICS_FILES)
    descriptors = {name: os.open(net / name, os.O_RDONLY) for name in by_files}
    try:
        by_descriptors = read_descriptors(descriptors)
    finally:
        for descriptor in descriptors.values():
            os.close(descriptor)
    names = [[(one.group, one.name) for one in statistics(read)] for read in (by_files, by_descriptors)]
    assert names[0] == names[1]
    assert len(names[0]) > 100
