"""The simulated fleet does what it says, in small: real streams, and what they told is in history."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from fleetnet_proto.v1 import report_pb2

from bench.fleet import identities
from bench.fleet.population import SERVICES, Population
from demo.fleet import Fleet, environment
from demo.programs import Programs

ROOT = Path(__file__).resolve().parents[2]


def batches(bodies: object) -> list[report_pb2.Batch]:
    return [report_pb2.Batch.FromString(body) for body in bodies]  # type: ignore[attr-defined]  # an iterator of bytes


def test_one_seed_makes_one_host() -> None:
    def sockets(seed: int) -> list[tuple[int, int, bytes]]:
        parts = [body for body, _ in Population(seed).snapshot()]
        return [(s.key.cookie, s.local_port, s.remote_address) for b in batches(parts) for s in b.opened]

    assert sockets(1) == sockets(1)
    assert sockets(1) != sockets(2)


def test_what_changes_adds_up() -> None:
    population = Population(1, connections=10)
    [snapshot] = batches(body for body, _ in population.snapshot())
    there = {socket.key.cookie for socket in snapshot.opened}
    assert len(there) == 10 + len(SERVICES)
    for _ in range(20):
        for batch in batches(population.change(3)):
            new, gone = {s.key.cookie for s in batch.opened}, {s.key.cookie for s in batch.closed}
            assert len(new) == len(gone) == 3
            assert gone <= there | new
            assert not new & there
            there = (there | new) - gone
    assert len(there) == 10 + len(SERVICES)


@pytest.mark.slow
def test_simulated_agents_are_agents_to_a_collector(tmp_path: Path) -> None:
    with Programs(tmp_path, environment(tmp_path)) as programs:
        _simulate(tmp_path, programs)


def _simulate(tmp_path: Path, programs: Programs) -> None:
    fleet = Fleet(tmp_path, programs)
    fleet.start_collector()
    names = [f"host{number}" for number in range(5)]
    ca_pem = (fleet.data / "ca.pem").read_bytes()
    identities.write(list(identities.join(names, fleet.admin_socket, fleet.enroll_address, ca_pem)), tmp_path / "five")
    command = [sys.executable, "-m", "bench.fleet.agents", "--identities", str(tmp_path / "five")]
    orders = "connect 100\nchurn 5 100 2\nlive 50 5 2\nlisten 23456\nend\n"
    done = subprocess.run(
        [*command, "--report", fleet.report_address],
        input=orders, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    _, _, churned, lived, listened = [json.loads(line) for line in done.stdout.splitlines()]
    assert listened["batches"] == 1
    assert lived["leaves"] > 0
    assert fleet.expect(0, "who-listens", "23456", "--max-age", "1h", "-o", "json").items[0]["host"] in names
    fleet.collector.stop()
    with sqlite3.connect(f"file:{fleet.data}/fleetnet.db?mode=ro", uri=True) as database:
        [(opened,)] = database.execute("SELECT count(*) FROM current").fetchall()
        [(closed,)] = database.execute("SELECT count(*) FROM history").fetchall()
    assert opened == 5 * len(Population(1).sockets) + 1
    assert closed == (churned["changes"] + lived["changes"]) // 2
    assert len(re.findall("event=.stream opened", fleet.collector.says())) == 5 + lived["leaves"]
