"""A whole fleet connects at one moment: hundreds of real streams before one door."""

import datetime
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fleetnet_server.identity import ca, certificates
from server.agents import pem_of
from server.running import Running

HOSTS = 500
PER_SECOND = 50


def _enroll_all(data: Path, directory: Path) -> None:
    """What enrolling leaves behind, without as many handshakes: the collector is not running."""
    directory.mkdir()
    now = datetime.datetime.now(datetime.UTC)
    authority = ca.open_authority(data, now)
    (directory / "ca.pem").write_bytes(authority.pem)
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    with closing(sqlite3.connect(data / "fleetnet.db")) as database, database:
        for n in range(HOSTS):
            certificate = certificates.issue_host(authority, public, f"web{n}", now)
            (directory / f"web{n}.key").write_bytes(pem_of(key))
            (directory / f"web{n}.pem").write_bytes(certificate.pem)
            database.execute(
                "INSERT INTO hosts (name, status, enrolled_at_us, certificate_serial, generation, whole, latest_us) "
                "VALUES (?, 'active', 1, ?, 0, 0, 0)",
                (f"web{n}", certificate.serial),
            )


@pytest.mark.slow
def test_all_get_in_none_waits_for_ever_and_never_more_at_once_than_the_rate(data: Path, tmp_path: Path) -> None:
    Running(data).terminate()
    _enroll_all(data, tmp_path / "hosts")
    collector = Running(data, f"--streams-per-second={PER_SECOND}")
    try:
        command = [sys.executable, "-m", "server.crowd", collector.report_address, str(tmp_path / "hosts")]
        crowd = subprocess.run(
            command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=110, check=False
        )
        assert crowd.returncode == 0, crowd.stderr
        away = [int(times) for times in crowd.stdout.split()]
        assert len(away) == HOSTS
        # Many had to come twice, and nobody much oftener than that.
        assert sum(away) > HOSTS / 4
        assert max(away) <= 5
        opened = re.findall(r"at=(\S+) level=info event=\"stream opened\" host=(\w+)", collector.log())
        assert len({host for _, host in opened}) == len(opened) == HOSTS
        first, last = (datetime.datetime.fromisoformat(at) for at, _ in (min(opened), max(opened)))
        # A slow machine may take longer; that it took no less is what the door is for.
        assert (last - first).total_seconds() >= (HOSTS - PER_SECOND / 10) / PER_SECOND * 0.9
    finally:
        collector.kill()
