"""A full disk loses nothing and ends nothing."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from server.agents import ReportStream
from server.running import Running, ports_of, refused, start, starts_well

from server import messages


@pytest.fixture
def small_disk(data: Path) -> Iterator[Path]:
    """A data directory on a disk of its own, of 8 MiB: what is told is there twice until it is at its place."""
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "fleetnet-test", data], check=True)
    try:
        yield data
    finally:
        subprocess.run(["umount", "--lazy", data], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on `disk`; the file that takes it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4_096)):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017  # it is how the loop ends
    return filler


@pytest.mark.root
def test_a_full_disk_at_the_first_start_is_said_in_one_sentence_and_nothing_half_is_left(
    small_disk: Path, tmp_path: Path
) -> None:
    filler = fill(small_disk)
    assert "the disk is full" in refused(tmp_path, *start(small_disk))
    filler.unlink()
    assert starts_well(small_disk)


@pytest.mark.root
def test_a_full_disk_at_a_later_start_is_said_in_one_sentence(small_disk: Path, tmp_path: Path) -> None:
    assert starts_well(small_disk)
    filler = fill(small_disk)
    assert "disk" in refused(tmp_path, *start(small_disk))
    filler.unlink()
    assert starts_well(small_disk)


@pytest.mark.root
def test_on_a_full_disk_it_takes_nothing_answers_questions_and_goes_on_by_itself(small_disk: Path) -> None:
    running = Running(small_disk)
    try:
        with running.channel(running.join("web1")) as channel:
            stream = ReportStream(channel)
            stream.open(messages.hello())
            stream.send(batch=messages.batch(1, messages.listener(443), snapshot=True))
            stream.await_ack(1)
            filler = fill(small_disk)
            large = messages.batch(2, *(messages.listener(port) for port in range(1_000, 6_000)))
            stream.send(batch=large)
            reconnect = stream.receive()
            assert reconnect.WhichOneof("message") == "reconnect", reconnect
            assert reconnect.reconnect.after_ms >= 1_000
            assert "disk is full" in reconnect.reconnect.reason
            assert ports_of(running, "web1") == [443]
            filler.unlink()
            again = ReportStream(channel)
            assert again.open(messages.hello()).committed_sequence == 1
            again.send(batch=large)
            again.await_ack(2)
            again.close()
        assert len(ports_of(running, "web1")) == 5_001
        assert 'event="storage failed"' in running.log()
        assert 'event="storage works again"' in running.log()
    finally:
        running.kill()
